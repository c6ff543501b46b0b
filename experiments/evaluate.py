"""What does this model do? Behaviour measures of one stack of adapters, beside the bare base model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.adapters import BARE, BASE, Stack
from experiments.console import table
from experiments.fields import checked, set_field
from experiments.loading import Loading
from experiments.measures.config import MEASURES, MeasuresConfig
from experiments.measures.judge import COSTS, JudgeConfig
from experiments.measures.take import Behaviour, SamplerName
from experiments.report.tables import number
from experiments.resumable import Ledger, Name, Row, Work, run_once
from interp.chat import check_system
from interp.errors import did_you_mean
from interp.files import write_jsonl


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
    loading: Loading,
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
    stack = Stack.of(adapters)
    behaviour = Behaviour(measures.taken(), judge=judge, journal=out / "judge.jsonl", seed=seed, sampler=sampler)
    behaviour.check()
    declared = [measure.declared() for measure in measures.taken()]
    definition = {
        "evaluate": model,
        "adapters": list(stack.weights),
        "dtype": loading.dtype_name,
        "system": system,
        "seed": seed,
        "alone": alone,
        "sampler": sampler,
        "measures": declared,
        "judge": judge.model_dump(mode="json", exclude=COSTS) if judge else None,
    }

    def prepare() -> Work:
        loaded = loading.model(model)
        check_system(system, loaded.chat.native_system)
        loaded.use(*stack.folders)  # an adapter that does not fit is refused here
        stacks = [stack] if alone or not adapters else [BARE, stack]

        def measure(ledger: Ledger) -> list[Row]:
            taken = {}
            for one in stacks:
                key = one.key(loaded.identity)
                records = behaviour.take(loaded, one.folders, ledger.once, key, Name.of(one.name), system=system)
                taken[one.name] = (key, records)
            return _rows_and_records(behaviour, taken, out)

        return Work(loaded, {"adapters": [str(a) for a in adapters], "measures": declared}, measure)

    return run_once(out, definition, prepare, loading.template)


def _rows_and_records(
    behaviour: Behaviour, taken: Mapping[str, tuple[str, Mapping[str, Sequence[Row]]]], out: Path
) -> list[Row]:
    """The rows of every stage, beside the base model where it was measured; records are written.

    Args:
        taken: A stage's key, and its records by measure, by the stage's name.
    """
    marks = {
        name: {"arm": "evaluate", "stage": name, "stage_key": key, "seed": None} for name, (key, _) in taken.items()
    }
    for measure in behaviour.measures:
        each = [(marks[name], record) for name, (_, records) in taken.items() for record in records[measure.name]]
        write_jsonl(out / "records" / f"{measure.name}.jsonl", [{**mark, **record} for mark, record in each])
    base = taken[BASE][1] if BASE in taken else None
    return [
        {**marks[name], **row}
        for name, (_, records) in taken.items()
        for row in behaviour.rows(records, None if name == BASE else base)
    ]


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
