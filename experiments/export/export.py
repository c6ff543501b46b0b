"""Which form does another tool read? Writes a run's numbers, answers, adapters or directions in it.

| form | what is written | for |
|---|---|---|
| csv | metrics, stages, verdicts and every file of records, a table each | spreadsheets, R |
| parquet | the same, with types and with what each column means | pandas, polars, DuckDB |
| inspect | the stored answers, one log for each stage and seed | `inspect view`, inspect_ai's reader |
| peft | one adapter for each stage and seed, with a model card | PEFT, vLLM, the Hub |
| gguf | every direction as a control vector | llama.cpp, repeng |
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

from experiments.directions import convert
from experiments.export import Exported, adapters, inspect_logs, tables
from interp.errors import did_you_mean
from interp.runs import Run
from interp.tensors import load_header

Form = Literal["csv", "parquet", "inspect", "peft", "gguf"]


def run(*, run: Path, to: Path, form: str, base: str | None = None, device: str = "auto") -> dict[str, Any]:
    """The `export` command.

    Args:
        to: A new or an empty folder.
        base: What the model cards of adapters call the base model, as the Hub names it.

    Raises:
        FileNotFoundError, ValueError: no run, a folder that holds something, or nothing to write in this form.
    """
    if form not in get_args(Form):
        raise ValueError(did_you_mean("form", form, get_args(Form)))
    if base is not None and form != "peft":
        raise ValueError(f"--base names the base model of adapters, and --form is {form}; leave it out")
    results = Run(run)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ValueError(f"{to}: exists and is not an empty folder; choose another --to")
    exported = Exported()
    writers: dict[str, Callable[[], None]] = {
        "csv": lambda: tables.write(results, to, exported, tables.write_csv, ".csv"),
        "parquet": lambda: tables.write(results, to, exported, tables.parquet_writer(), ".parquet"),
        "inspect": lambda: inspect_logs.write(results, to, exported),
        "peft": lambda: adapters.write(results, to, exported, base=base, device=device),
        "gguf": lambda: _directions(results, to, exported),
    }
    writers[form]()
    if not exported.written:
        reasons = "; ".join(exported.left_out)
        raise ValueError(f"{run}: holds nothing that is written as {form}{': ' if reasons else ''}{reasons}")
    return {
        "run": str(run),
        "form": form,
        "to": str(to),
        "written": [str(path.relative_to(to)) for path in exported.written],
        "left_out": exported.left_out,
    }


def _directions(run: Run, to: Path, exported: Exported) -> None:
    """Every direction that the run has made, as a control vector."""
    for source in sorted((run.path / "tensors").glob("*.safetensors")):
        if load_header(source)["kind"] != "direction":
            continue
        target = to / f"{source.stem}.gguf"
        to.mkdir(parents=True, exist_ok=True)
        done = convert.run(source=source, out=target, model=None, trait=None, layer=None, pooling=None)
        exported.written.append(target)
        exported.left_out += [f"{source.name}: {what}" for what in done["left_out"]]
