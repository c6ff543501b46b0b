"""Does what a run asks for fit the memory? Found out before any of it is made, with no weight read.

1. Main memory holds the treatments and a record of every answer until they are written. Answers are counted at their
   longest; what a judge or a measure keeps is not counted.
2. The device holds the weights and, of each answer that is being written, the KV cache and what the last step makes.
   Afterwards answers are read, one at least at a time, with logits at each of their tokens. On the CPU it is all one
   memory. Adapters are not counted.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from experiments.sizes import Size
from experiments.treatments import Treatment
from interp.directions import Direction

_RECORD, _RECORD_WRITTEN, _RECORD_READ = 4096, 180, 40
"""Bytes that an answer takes in main memory, each of its tokens, and each of its prompt's, with the copies that are
made on the way to the files: measured over sweeps of the embedded model with answers of 4 to 256 tokens."""
_EDIT = 1024
"""Bytes of an edit, beside its vector."""
_LOGIT = 24
"""Bytes that each entry of the vocabulary takes where a token is drawn or scored: its logit with the copies of it."""
_SHARE = 0.9
"""Of the memory that is left, what a batch may take."""
_LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)
"""Where a container's limit stands, and what it uses."""


def memory_left(device: torch.device) -> int:
    """Bytes that can still be had on a device; of main memory all there is, where the system does not say more."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    left = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError):
        told = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
        left = int(told["MemAvailable"].split()[0]) * 1024
    for limit, used in _LIMITS:
        with suppress(OSError, ValueError):
            left = min(left, int(Path(limit).read_text()) - int(Path(used).read_text()))
    return left


def of_treatments(directions: Sequence[Direction], treatments: Sequence[Treatment], random: int) -> int:
    """Bytes of treatments, given those without random controls: each control holds as much as its direction does, once
    as drawn and once as it is applied."""
    vectors = sum(direction.vectors.nbytes for direction in directions)
    return (1 + random) * (2 * vectors + _EDIT * sum(len(treatment.edits) for treatment in treatments))


def require_main_memory(what: str, n_bytes: int, remedy: str) -> None:
    """Check that main memory holds `n_bytes` more.

    Raises:
        ValueError: it does not; the message says what would take them, and the remedy.
    """
    if n_bytes > (left := memory_left(torch.device("cpu"))):
        raise ValueError(f"{what} would take {shown(n_bytes)} of main memory, and {shown(left)} are left; {remedy}")


@dataclass(frozen=True)
class Answers:
    """Answers that a model is to write.

    Attributes:
        n: How many.
        prompt: Tokens of the longest prompt.
        longest: Tokens of an answer at the most.
    """

    n: int
    prompt: int
    longest: int

    def __str__(self) -> str:
        return f"{self.n:,} answers of up to {self.longest:,} tokens"

    @property
    def records(self) -> int:
        """Bytes that they take in main memory."""
        return self.n * (_RECORD + _RECORD_WRITTEN * self.longest + _RECORD_READ * self.prompt)

    def at_a_time(self, most: int, size: Size, device: torch.device, dtype: torch.dtype, *, beside: int) -> int:
        """How many to write at a time: `most`, halved until they fit.

        Args:
            beside: Bytes of main memory that are taken by then.

        Raises:
            ValueError: not even one fits.
        """
        width = torch.empty((), dtype=dtype).element_size()
        cache = width * size.cached(self.prompt + self.longest)
        activations = 4 * (8 * size.d_model + 6 * size.d_ff) * self.prompt  # of a block, as measured on a CPU
        writing, reading = cache + activations + _LOGIT * size.vocab, _LOGIT * size.vocab * self.longest
        left = memory_left(device) - width * size.parameters - (beside if device.type == "cpu" else 0)
        if max(writing, reading) > left:
            raise ValueError(
                f"one answer of up to {self.longest:,} tokens to a prompt of {self.prompt:,} would take "
                f"{shown(writing)} to write (its KV cache {shown(cache)}) and {shown(reading)} to read back, but "
                f"{device} has {shown(max(0, left))} left beside weights and records; lower --max-new-tokens, shorten "
                "the questions, or take a device with more memory"
            )
        n = max(1, min(most, self.n))
        while n > 1 and n * writing > _SHARE * left:
            n //= 2
        return n


def shown(n_bytes: float) -> str:
    """`1.5 MiB`, `12.0 GiB`."""
    return f"{n_bytes / 2**30:,.1f} GiB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:,.1f} MiB"
