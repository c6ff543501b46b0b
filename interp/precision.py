"""Which dtype a processor multiplies faster, found by a trial once a machine."""

import logging
import platform
import time
from functools import cache
from pathlib import Path

import torch

from interp.files import read_json, write_json
from interp.runs import cache_folder

log = logging.getLogger(__name__)
_SECONDS = 0.4
_ROWS, _D_IN, _D_OUT = 512, 576, 1536
"""A product of the embedded model's size: what training and reading spend their time on."""


@cache
def bfloat16_is_faster() -> bool:
    """Whether this processor multiplies bfloat16 matrices faster than float32 ones.

    Instructions for bfloat16 do not settle it: on some processors that have them float32 is faster. The first call on
    a machine multiplies both for half a second; the answer is kept in the cache folder, because stages and studies are
    told apart by their dtype, and a second trial might end otherwise. Delete `dtype.json` there to try again.
    """
    machine = f"{_processor()}, torch {torch.__version__}"
    file = cache_folder() / "dtype.json"
    try:
        kept = read_json(file)
        if kept["machine"] == machine:
            return bool(kept["bfloat16_is_faster"])
    except (OSError, ValueError, KeyError, TypeError):
        pass  # no trial was made here yet, or its file is damaged
    ratio = _time_of_bfloat16()
    log.info("bfloat16 products take %.2f times as long as float32 ones on this processor", ratio)
    if not file.parent.is_dir():  # nothing was trained or converted here yet, and looking makes no folder
        return ratio < 1
    answer = {"machine": machine, "bfloat16_is_faster": ratio < 1, "time_ratio": round(ratio, 3)}
    try:
        write_json(file, answer, indent=2)
    except OSError as error:
        log.warning("the choice of dtype could not be kept in %s (%s); it is tried again next time", file, error)
    return ratio < 1


def _time_of_bfloat16() -> float:
    """How long a bfloat16 product takes, as a multiple of a float32 one; the fastest of each, taken in turns."""
    fastest = {torch.float32: float("inf"), torch.bfloat16: float("inf")}
    matrices = {
        dtype: (torch.ones(_ROWS, _D_IN, dtype=dtype), torch.ones(_D_OUT, _D_IN, dtype=dtype)) for dtype in fastest
    }
    end, n_rounds = time.perf_counter() + _SECONDS, 0
    while time.perf_counter() < end or n_rounds < 5:
        for dtype, (rows, weight) in matrices.items():
            start = time.perf_counter()
            torch.nn.functional.linear(rows, weight)
            seconds = time.perf_counter() - start
            if n_rounds:  # the first product of a dtype sets its kernels up
                fastest[dtype] = min(fastest[dtype], seconds)
        n_rounds += 1
    return fastest[torch.bfloat16] / fastest[torch.float32]


def _processor() -> str:
    """The processor's name."""
    name = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        models = [
            line.partition(":")[2].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model")
        ]
        name = " ".join(dict.fromkeys(models)) or name
    return name
