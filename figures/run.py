"""A run folder as figures, reports and verdicts read it: `interp.runs.Run`, with what a study's readers ask of it."""

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

from interp.metrics import CollapseMetrics, ProjectionMetrics
from interp.rows import MetricRow, Rows
from interp.runs import BASE, NodeName, Run

Texts = Literal["fixed", "own"]
TEXTS: dict[Texts, str] = {
    "fixed": "the same texts read through every stage",
    "own": "each stage's own answers",
}


class NotMeasuredError(ValueError):
    """A run has none of the numbers that a figure shows."""


class Panel(NamedTuple):
    """What one panel shows: a direction, read at one layer with one pooling."""

    direction: str
    layer: int
    pooling: str | None


class StudyRun(Run):
    """The run of a study, read once.

    Args:
        manifest: Shown in place of RUN/manifest.json, for a study that is about to write it.
    """

    def __init__(self, path: str | Path, manifest: Mapping[str, Any] | None = None) -> None:
        super().__init__(path)
        if manifest is not None:
            self.manifest = dict(manifest)

    @cached_property
    def nodes(self) -> dict[str, NodeName]:
        """Every node of the arms by its name, the base model first."""
        return {node.name: node for arm in self.arms.values() for node in arm}

    @property
    def trained(self) -> list[str]:
        """The names of all nodes but the base model."""
        return [name for name in self.nodes if name != BASE]

    @property
    def seeds(self) -> list[int]:
        """The training seeds."""
        return list(self.study["seeds"])

    @property
    def roles(self) -> dict[str, list[str]]:
        """The stages of every role that they play in the question; none where the study names no roles."""
        return {role: list(stages) for role, stages in (self.study.get("roles") or {}).items()}

    @property
    def traits(self) -> list[str]:
        """The names of the persona directions."""
        return [Path(str(trait)).name.split(".")[0] for trait in self.study.get("traits") or ()]

    @property
    def system_prompts(self) -> dict[str | None, str]:
        """The system prompts that the study measures under, by name; `None` for one that names none."""
        prompts = self.study.get("system_prompts") or {None: "task"}
        return dict(prompts) if isinstance(prompts, Mapping) else dict.fromkeys(prompts, "task")

    @property
    def first_prompt(self) -> str | None:
        """The name of the system prompt that all headlines are under."""
        return next(iter(self.system_prompts))

    @cached_property
    def under_first_prompt(self) -> Rows:
        """The rows that are under the first system prompt, or under none."""
        shown = (None, self.first_prompt)
        return Rows((row for row in self.metrics if row.system_prompt in shown), self.metrics)

    @cached_property
    def primary(self) -> Rows:
        """The rows that figures and tables show: of whole stages, under the study's first system prompt.

        Checkpoints (`em@10`) and other system prompts are in `metrics` beside them.
        """
        return Rows((row for row in self.under_first_prompt if row.stage in self.nodes), self.metrics)

    @cached_property
    def collapsed(self) -> frozenset[tuple[str, int | None]]:
        """Node and seed of every whole stage that was measured to have collapsed."""
        return collapsed_nodes(self.primary)

    @cached_property
    def answers(self) -> list[dict[str, Any]]:
        """The stages' own answers; none where the run has not kept them."""
        return self.records("answers") if (self.path / "records" / "answers.jsonl").is_file() else []

    def shifts(self, texts: Texts) -> Rows:
        """The shifts of whole stages in spreads of random directions, at every layer.

        Raises:
            ValueError: none was measured on these texts.
        """
        every = self.primary.of(ProjectionMetrics.shift_in_null_spreads)
        if not (rows := every.of(texts=texts)):
            known = ", ".join(sorted({str(row.texts) for row in every})) or "none"
            path = self.path / "metrics.jsonl"
            raise ValueError(f"{path}: no projection shifts with texts {texts!r}; measured here: {known}")
        return rows

    def panels(self, texts: Texts) -> list[Panel]:
        """The panels that the headline rows of one kind of text ask for, in order of appearance."""
        return panels_of(self.primary.of(measure=ProjectionMetrics.name, texts=texts))


def opened(run: str | Path | StudyRun, made_by: str = "") -> StudyRun:
    """A run folder, opened unless it is.

    Args:
        made_by: The command that makes such a folder, if that is not `sgtr study`.

    Raises:
        FileNotFoundError: it is no run folder; the message says how one is made.
    """
    if isinstance(run, StudyRun):
        return run
    path = Path(run) / "metrics.jsonl"
    if made_by and not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; `{made_by} --out {run}` makes it")
    return StudyRun(run)


def collapsed_nodes(rows: Rows) -> frozenset[tuple[str, int | None]]:
    """Node and seed of every stage that these rows say has collapsed."""
    return frozenset((row.stage, row.seed) for row in rows.of(CollapseMetrics.collapsed) if row.value)


def panels_of(rows: Iterable[MetricRow]) -> list[Panel]:
    """The panels that the headline rows ask for, in order of appearance."""
    return list(dict.fromkeys(panel_of(row) for row in rows if row.get("headline")))


def panel_of(row: Mapping[str, Any]) -> Panel:
    """The panel that a row, read or plotted, belongs to."""
    return Panel(row["direction"], row["layer"], row.get("pooling"))
