"""What does this model do? Behaviour measures of one stack of adapters, beside the bare base model."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.adapters import BASE, fingerprint, stack_name
from experiments.console import table
from experiments.fields import checked, set_field
from experiments.measures.config import MEASURES, MeasuresConfig
from experiments.measures.judge import COSTS, JudgeConfig
from experiments.measures.take import Behaviour, SamplerName
from experiments.report.tables import number
from experiments.resumable import Ledger
from interp.chat import check_system
from interp.model import Model
from interp.rows import write_rows
from interp.runs import RunFolder, content_key, did_you_mean, read_jsonl, write_jsonl
from interp.sources import adapter_folder, pick_device, pick_dtype
from interp.template import AS_IS, TemplateSettings


def measures_of(names: Sequence[str], changes: Sequence[str]) -> MeasuresConfig:
    """The measures by name, with `measure.field=value` changes.

    Raises:
        ValueError: an unknown measure or field, or a change to a measure that is not taken.
    """
    if not names:
        raise ValueError(f"no measure is named; known: {', '.join(MEASURES)}")
    for name in names:
        if name not in MEASURES:
            raise ValueError(did_you_mean("measure", name, sorted(MEASURES)))
    raw: dict[str, Any] = {name: {} for name in names}
    for change in changes:
        name = change.partition("=")[0].partition(".")[0]
        if name not in raw:
            taken = ", ".join(names)
            raise ValueError(f"--set {change}: begins with {name!r}, which is none of the measures taken ({taken})")
        set_field(raw, change)
    return checked(MeasuresConfig, raw)


def run(
    *,
    model: str,
    adapters: Sequence[Path],
    measures: MeasuresConfig,
    judge: JudgeConfig | None,
    out: Path,
    system: str,
    seed: int,
    alone: bool,
    sampler: SamplerName,
    device: str,
    dtype: str,
    template: TemplateSettings = AS_IS,
) -> dict[str, Any]:
    """The `evaluate` command: writes OUT/metrics.jsonl, a file of records for each measure, and a manifest.

    A run that was stopped goes on where it stopped.

    Args:
        alone: Leave the bare base model out, and with it what changed.
        sampler: What writes free-form answers; all models of a run share it.

    Raises:
        ValueError, FileNotFoundError: bad input, named; nothing was changed.
        InterpError: a broken invariant.
    """
    place = pick_device(device)
    folders = [adapter_folder(adapter) for adapter in adapters]
    weights = [fingerprint(folder) for folder in folders]
    behaviour = Behaviour(measures.taken(), judge=judge, journal=out / "judge.jsonl", seed=seed, sampler=sampler)
    behaviour.check()
    definition = {
        "evaluate": model,
        "adapters": weights,
        "dtype": str(pick_dtype(dtype, place)).removeprefix("torch."),
        "system": system,
        "seed": seed,
        "alone": alone,
        "sampler": sampler,
        "measures": [measure.declared() for measure in measures.taken()],
        "judge": judge.model_dump(mode="json", exclude=COSTS) if judge else None,
    }
    if RunFolder.at(out, definition).manifest.get("status") == "complete":
        return _result(out, ran=False)
    start = time.monotonic()
    loaded = Model.load(model, template, device=device, dtype=dtype)
    check_system(system, loaded.chat.native_system)
    loaded.use(*folders)
    folder = RunFolder.open(out, definition)
    with folder.locked():
        ledger = Ledger(folder, loaded, {"adapters": [str(a) for a in adapters]}, time.monotonic() - start)
        name = stack_name(folders)
        stages: list[tuple[str, tuple[Path, ...]]] = [] if alone or not folders else [(BASE, ())]
        stages.append((name, tuple(folders)))
        taken = {}
        for stage, stack in stages:
            key = content_key([loaded.identity, weights if stack else []])
            with loaded.using(*stack):
                taken[stage] = (key, behaviour.take(loaded, ledger.once, key, stage, system=system))
        rows, records = [], []
        for stage, (key, found) in taken.items():
            mark = {"arm": "evaluate", "stage": stage, "stage_key": key, "seed": None}
            beside = taken[BASE][1] if stage != BASE and BASE in taken else None
            rows += [{**mark, **row} for row in behaviour.rows(found, beside)]
            records += [(measure, {**mark, **record}) for measure, some in found.items() for record in some]
        for measure in measures.taken():
            path = out / "records" / f"{measure.name}.jsonl"
            write_jsonl(path, [record for owner, record in records if owner == measure.name])
        write_rows(out / "metrics.jsonl", rows)
        ledger.manifest["measures"] = [measure.declared() for measure in measures.taken()]
        ledger.finish()
    return _result(out, ran=True)


def _result(out: Path, *, ran: bool) -> dict[str, Any]:
    manifest = json.loads((out / "manifest.json").read_text("utf-8"))
    rows = read_jsonl(out / "metrics.jsonl")
    seconds = {step["name"]: step["seconds"] for step in manifest["steps"]}
    return {"out": str(out), "ran": ran, "wall_seconds": manifest["wall_seconds"], "seconds": seconds, "metrics": rows}


def show(result: dict[str, Any]) -> None:
    """A table for each measure: its metrics in rows, the models in columns, and the paired difference."""
    if not result["ran"]:
        print(f"{result['out']}: this evaluation is finished; nothing was run. Another --out runs it again.")
    rows = result["metrics"]
    stages = list(dict.fromkeys(row["stage"] for row in rows))
    columns = [*stages, *(["difference"] if len(stages) > 1 else [])]
    for measure in dict.fromkeys(row["measure"] for row in rows):
        cells: dict[str, dict[str, str]] = {}
        for row in rows:
            if row["measure"] == measure:
                metric = row["metric"].removesuffix("_minus_base")
                column = row["stage"] if metric == row["metric"] else "difference"
                cells.setdefault(metric + _which(row), {})[column] = _cell(row)
        shown = [[metric, *(some.get(column, "") for column in columns)] for metric, some in cells.items()]
        table(f"{measure} (95 % intervals; n counts questions)", ["", *columns], shown)
        print()
    for note in dict.fromkeys(row.get("judge_validation") or row["judge"] for row in rows if "judge" in row):
        print(note)
    print(f"{result['wall_seconds']} s; written: {result['out']}")


def _which(row: dict[str, Any]) -> str:
    named = [
        row[key] for key in ("data", "foil", "source", "domain", "context", "split") if isinstance(row.get(key), str)
    ]
    return f" [{', '.join(named)}]" if named else ""


def _cell(row: dict[str, Any]) -> str:
    if row["value"] is None:
        return f"{number(None)} (n={row['n']})"
    signed = row["metric"].endswith("_minus_base")
    value = number(row["value"], 3, signed=signed)
    if row["ci_low"] is None:
        return f"{value} (n={row['n']})"
    low, high = (number(row[key], 3, signed=signed) for key in ("ci_low", "ci_high"))
    return f"{value} [{low}, {high}] (n={row['n']})"
