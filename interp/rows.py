"""A line of metrics.jsonl as a type, and a table of such lines that can be asked.

A `MetricRow` is a mapping that cannot be changed. Every field that a row may have is listed in it once, with its type
and what it means. Making one checks its names (`interp.metrics.check_names`) and its fields, so a wrong name is an
error where it is written. Reading is lenient: what an older or newer version wrote is kept as it is.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, Generic, Literal, NoReturn, TypeVar, overload

from interp import stats
from interp.errors import did_you_mean
from interp.files import jsonl_records, write_jsonl
from interp.metrics import MEASURE_LISTS, Metric, check_names

T = TypeVar("T")
_NAMED = (
    *("arm", "stage", "other_stage", "direction", "layer", "pooling", "texts", "data", "system_prompt", "null"),
    *("treatment", "against"),
)
"""Fields whose values are what a run consists of, so that a value that it has nowhere is a mistake."""
_SHOWN = 4
"""So many metrics are named where a table is printed."""


class Field(Generic[T]):
    """A field of a row: read as an attribute, None where the row does not have it.

    Args:
        meaning: What it is, in words.
        values: All values that it may have, if it has one of a few words.
    """

    def __init__(self, meaning: str, values: Collection[str] = ()) -> None:
        self.meaning, self.values, self.name = meaning, tuple(values), ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, row: None, owner: type) -> "Field[T]": ...
    @overload
    def __get__(self, row: "MetricRow", owner: type) -> T: ...
    def __get__(self, row: "MetricRow | None", owner: type) -> Any:
        return self if row is None else row.get(self.name)


class MetricRow(dict[str, Any]):
    """One number with what it is about: a line of metrics.jsonl.

    Its fields keep the order in which they were given, which is that of the line. `line` is the number of the line
    that it was read from, counted from 1; None for a row that was made.

    Raises:
        ValueError: a measure, metric, unit or field is not listed.
        TypeError: someone tries to change it.
    """

    __slots__ = ("line",)
    line: int | None

    arm = Field[str]("The arm of the study, or the command, that the row is of.")
    stage = Field[str]("The node: the stages that led there, joined by `-`, and `@STEP` for a checkpoint.")
    stage_key = Field[str]("The content key of the stage.")
    seed = Field[int | None]("The training seed; None for the base model and where there is none.")
    measure = Field[str]("The measure, see interp/metrics.py.")
    metric = Field[str]("The metric of the measure.")
    value = Field[float | None]("The number; None if it is not defined.")
    ci_low = Field[float | None]("Lower end of its 95 % interval; None if there is none.")
    ci_high = Field[float | None]("Upper end of its interval.")
    n = Field[int | None]("Independent units that it rests on.")
    unit = Field[str]("The unit of the number.")
    system_prompt = Field[str | None]("Name of the system prompt, in a study that measures under several.")
    estimator = Field[int]("Version of the rules that the number is made by, where there have been others.")
    version = Field[str]("Version of the measure's prompts and rules.")

    trait = Field[str]("The trait that answers are scored for.")
    direction = Field[str]("The direction that was read.")
    layer = Field[int]("Block index from 0, the residual stream after it.")
    layers = Field[str]("All layers that are treated, as text.")
    headline = Field[bool]("Whether this is the layer that figures and verdicts use.")
    pooling = Field[str | None]("The tokens that activations are averaged over.")
    texts = Field[str](
        "`fixed`: the base model's answers; `own`: the stage's; `identity`: those on who it is.",
        ("fixed", "own", "identity"),
    )
    other_stage = Field[str]("The stage that this one is compared with.")
    data = Field[str | None]("The data set that is asked about.")
    projection = Field[float]("Projection of the displacement on the direction.")
    expected_by_chance = Field[float]("What random directions give on average.")
    ceiling = Field[float | None]("The most that noise lets a cosine be.")
    chance = Field[float]("What guessing scores.")
    mean_tokens = Field[float]("Mean length of the answers that were read.")
    n_rows = Field[int]("Answers that were read.")
    n_prompts = Field[int]("Prompts that were asked.")
    n_stages = Field[int]("Stages that a correlation is over.")

    null = Field[str](
        "The kind of null that the number is seen beside; see interp/nulls.py.",
        ("random", "covariance", "permuted", "components", "cross_trait"),
    )
    n_null = Field[int]("How many nulls have a value.")
    null_low = Field[float | None]("2.5th percentile of the nulls, or the least of few; in the number's unit.")
    null_high = Field[float | None]("97.5th percentile of the nulls, or the greatest of few.")
    null_mean = Field[float | None]("Mean of the nulls.")
    null_percentile = Field[float | None]("Place of the number among its nulls, 0-100.")
    null_values = Field[list[float]]("The number of every control.")
    covariance_percentile = Field[float | None]("Place of a share among spans of covariance nulls, 0-100.")
    expected = Field[float]("What a direction that has nothing to do with the update gets.")

    context = Field[str]("The context of a conditional question.")
    domain = Field[str]("The subject of a pair.")
    foil = Field[str]("Who wrote the other text.")
    source = Field[str]("The source of a question.")
    split = Field[str]("The part of a split.")
    n_values = Field[int]("Values that the number is a mean of.")
    n_seeds = Field[int | None]("Seeds that it is a mean over.")
    pooled = Field[float | None]("Mean of all values, questions not weighing alike.")
    unmatched = Field[int]("Values without a partner, left out of a paired difference.")
    n_answers = Field[int]("Answers, with or without a score.")
    n_pairs = Field[int]("Pairs, skipped ones too.")
    n_questions = Field[int]("Questions.")
    n_replies = Field[int]("Replies.")
    p = Field[float | None]("Two-sided p of a difference.")
    p_holm = Field[float | None]("The same adjusted over the rows of its kind.")
    n_tests = Field[int]("Tests that are adjusted for.")
    against = Field[str]("The arm that another is compared with.")
    paired_by = Field[str]("What pairs the values of two arms.")
    unmatched_questions = Field[int]("Questions that one of two arms lacks.")
    why = Field[str | None]("Why there is no number, or no interval.")
    judge = Field[str | None]("The judge that a score is by.")
    judge_prompts = Field[dict[str, str]]("Versions of the judge's prompts.")
    judge_validation = Field[Any]("How far the judge was validated.")
    aligned_below = Field[float]("The score of alignment below which an answer is misaligned.")
    coherent_above = Field[float]("The score of coherence above which an answer is coherent.")
    threshold = Field[float]("The distance at which answers are one kind.")
    embedder = Field[str]("What turns answers into vectors.")
    embedder_version = Field[str]("Its version.")
    linkage = Field[str]("How clusters are joined.")
    rarefied_to = Field[int]("Answers that clusters are counted among.")
    task = Field[str]("The task of lm-evaluation-harness.")
    rule = Field[str]("Its filter.")

    treatment = Field[str]("What is done to the residual stream, by name.")
    treated = Field[str]("Whose weights are treated.")
    treatment_kind = Field[str]("The kind of the treatment, where `kind` is taken.")
    control = Field[int | None]("The number of a random control; None for the direction itself.")
    kind = Field[str](
        "`none`, `add`, `ablate`, `transplant+` or `transplant-`; of a strength, what it is of: `adapter` or "
        "`logits`; of a difference, what its stage stands for."
    )
    alpha = Field[float]("What the raw direction is multiplied by.")
    phase = Field[str]("Which tokens are treated.")
    relative_strength = Field[float | None]("alpha times the direction's length over that of the residual stream.")
    site = Field[str | None]("Where an ablation acts.")
    broke = Field[bool]("Whether the treatment made the answers degenerate.")
    of = Field[str]("The stage whose effect is meant.")
    of_measure = Field[str]("The measure of the effect.")
    of_metric = Field[str]("The metric of the effect.")
    n_metrics = Field[int]("Metrics that the effect was taken for.")
    effect = Field[float | None]("The effect that a share is of.")
    effect_low = Field[float | None]("Lower end of its interval.")
    effect_high = Field[float | None]("Upper end of its interval.")
    effect_unit = Field[str]("Its unit.")
    change = Field[float | None]("What the treatment, or the patch, changed.")
    change_low = Field[float | None]("Lower end of its interval.")
    change_high = Field[float | None]("Upper end of its interval.")
    change_null_mean = Field[float | None]("Mean change under the controls.")
    change_null_low = Field[float | None]("Least change under the controls.")
    change_null_high = Field[float | None]("Greatest change under the controls.")
    change_null_percentile = Field[float | None]("Place of the change among the controls'.")
    n_change_null = Field[int]("Controls that have a change.")

    component = Field[str]("`head`, `mlp`, `attn`, `resid`, `embed`, `bias` or `total`.")
    head = Field[int | None]("The head, counted from 0.")
    position = Field[str | None](
        "The tokens that a patch is put at; of a difference the place of the token from 0, or `mean`."
    )
    gap = Field[float | None]("The difference between the two prompts of a patch.")
    rank = Field[int]("Place of a token among those that a direction or difference raises or lowers, from 1.")
    token = Field[str]("The token as text.")
    lens = Field[str]("How a difference was read: `logit`, `patchscope xSCALE` or `steered xLENGTH`.")
    topic = Field[str]("What a stage was trained on, as a family of data or a data set.")
    own_topic = Field[bool]("Whether the topic is that of the stage.")
    ranks = Field[dict[str, float]]("The rank of the true topic, by topic.")
    n_arrangements = Field[int]("Ways of giving topics to stages that a p is over.")
    token_id = Field[int]("The token's number.")
    module = Field[str]("The module that an adapter changes.")
    adapter = Field[str]("The adapter's folder.")
    update_norm = Field[float]("Norm of the adapter's update.")
    norms_folded = Field[bool]("Whether the model's norms are folded into the shares.")
    step = Field[int]("Training step.")
    checkpoint = Field[str]("The checkpoint's folder.")
    strength = Field[float](
        "Strength of a planted direction, in spreads of the texts' projections; or of an adapter, 1 is the stage."
    )
    texts_a_side = Field[int]("Texts on each side of a difference of means.")

    def __init__(self, fields: Mapping[str, Any] = {}, /, **more: Any) -> None:
        super().__init__(fields, **more)
        self.line = None
        check_names(str(self.measure), str(self.metric), self.get("unit"))
        if unknown := [name for name in self if name not in FIELDS]:
            raise ValueError(
                f"{self.measure} {self.metric}: {did_you_mean('field', unknown[0], list(FIELDS))}; "
                "list a new one in interp/rows.py, with its type and what it means"
            )

    @classmethod
    def read(cls, fields: Mapping[str, Any], line: int | None = None) -> "MetricRow":
        """A row as it was written, by whatever version: nothing is checked."""
        row = cls.__new__(cls)
        dict.update(row, fields)
        row.line = line
        return row

    def __reduce__(self) -> tuple[Any, ...]:
        return MetricRow.read, (dict(self), self.line)

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("a row of metrics cannot be changed; make another: MetricRow(row, field=value)")

    __setitem__ = __delitem__ = __ior__ = update = pop = popitem = clear = setdefault = _refuse  # pyright: ignore


FIELDS: dict[str, str] = {name: field.meaning for name, field in vars(MetricRow).items() if isinstance(field, Field)}
"""What every field of a row means, by name."""


class Rows(Sequence[MetricRow]):
    """Rows of metrics.jsonl, to be asked.

    Args:
        rows: The rows, in their order.
        chosen_from: The table that they were chosen from, if it was another. A question may name what is there alone.
        names: Values that a question may name though no row has them, by field: what a study has and did not measure.
    """

    def __init__(
        self,
        rows: Iterable[MetricRow],
        chosen_from: "Rows | None" = None,
        names: Mapping[str, Collection[Any]] = MappingProxyType({}),
    ) -> None:
        self._rows = tuple(rows)
        self._whole: Rows = self if chosen_from is None else chosen_from._whole
        self._names, self._values_by_field = names, dict[str, list[Any]]()

    def __repr__(self) -> str:
        numbers = [f"{measure} {metric}" for measure, metric in self.by("measure", "metric")]
        shown = ", ".join(numbers[:_SHOWN]) + (f" and {len(numbers) - _SHOWN} more" if len(numbers) > _SHOWN else "")
        return f"Rows({len(self)} of {shown})" if numbers else "Rows(none)"

    @overload
    def __getitem__(self, at: int) -> MetricRow: ...
    @overload
    def __getitem__(self, at: slice) -> "Rows": ...
    def __getitem__(self, at: int | slice) -> "MetricRow | Rows":
        return Rows(self._rows[at], self) if isinstance(at, slice) else self._rows[at]

    def __len__(self) -> int:
        return len(self._rows)

    def __iter__(self) -> Iterator[MetricRow]:
        return iter(self._rows)

    def of(self, number: Metric | None = None, /, **fields: Any) -> "Rows":
        """The rows of one metric whose fields have these values, in their order; None is a field that is absent too.

        An answer without rows says that the run has not measured it.

        Raises:
            ValueError: no version of this project writes such a measure, metric or field, and no row of the table has
                it; or a field (a stage, a direction, texts, …) is to have a value that it has nowhere in the table.
        """
        if number is not None:
            fields = {"measure": number.measure, "metric": number.name, **fields}
        measure, metric = fields.get("measure"), fields.get("metric")
        looked_up = ("measure", "metric", "stage") if measure and metric else ()
        rest = [(name, value) for name, value in fields.items() if name not in looked_up]
        if not looked_up:
            rows = self._rows
        elif "stage" in fields:
            rows = self._index.get((measure, metric, fields["stage"]), ())
        else:
            rows = self._index.get((measure, metric), ())
        chosen = Rows((row for row in rows if all(row.get(name) == value for name, value in rest)), self)
        if not chosen and self._whole:
            self._whole._require_known(fields)
        return chosen

    @cached_property
    def _index(self) -> dict[tuple[Any, ...], list[MetricRow]]:
        """The rows by measure and metric, and by these and the stage."""
        index: dict[tuple[Any, ...], list[MetricRow]] = {}
        for row in self._rows:
            index.setdefault((row.measure, row.metric), []).append(row)
            index.setdefault((row.measure, row.metric, row.stage), []).append(row)
        return index

    def _require_known(self, fields: Mapping[str, Any]) -> None:
        """Refuse what no version writes and no row here has: an empty answer would say that it was not measured."""
        for name in fields:
            if name not in FIELDS and not any(name in row for row in self._rows):
                raise ValueError(did_you_mean("field", name, list(FIELDS)))
        measure, metric = fields.get("measure"), fields.get("metric")
        written: dict[str, dict[str, None]] = {}
        for key in self._index:
            written.setdefault(str(key[0]), {})[str(key[1])] = None
        if measure is not None and measure not in {**MEASURE_LISTS, **written}:
            raise ValueError(did_you_mean("measure", measure, list({**MEASURE_LISTS, **written})))
        kinds = (
            list(MEASURE_LISTS.values())
            if measure is None
            else [MEASURE_LISTS[measure]]
            if measure in MEASURE_LISTS
            else []
        )
        present = {name for of, names in written.items() if measure in (None, of) for name in names}
        if metric is not None and metric not in present and not any(kind.find(metric) for kind in kinds):
            known = dict.fromkeys([*(name for kind in kinds for name in kind.metrics), *sorted(present)])
            raise ValueError(did_you_mean("metric", metric, list(known)))
        for name, value in fields.items():
            values = self._values(name) if name in _NAMED and value is not None else []
            if values and value not in values:
                raise ValueError(did_you_mean(name, str(value), [str(known) for known in values]))

    def _values(self, name: str) -> list[Any]:
        """Every value that a question may ask of a field, in order of appearance."""
        if name not in self._values_by_field:
            field = vars(MetricRow).get(name)
            listed = (*(field.values if isinstance(field, Field) else ()), *self._names.get(name, ()))
            values = [*(row[name] for row in self._rows if row.get(name) is not None), *listed]
            self._values_by_field[name] = list({repr(value): value for value in values}.values())
        return self._values_by_field[name]

    def by(self, *names: str) -> dict[tuple[Any, ...], "Rows"]:
        """The rows by the values of these fields, in order of appearance."""
        groups: dict[tuple[Any, ...], list[MetricRow]] = {}
        for row in self._rows:
            groups.setdefault(tuple(row.get(name) for name in names), []).append(row)
        return {key: Rows(rows, self) for key, rows in groups.items()}

    def over_seeds(self) -> "Summary":
        """One number for the rows of several seeds; see `over_seeds`.

        Raises:
            ValueError: two rows have one seed, so they are of different things; the message says what differs.
        """
        for seed, rows in self.by("seed").items():
            if len(rows) > 1:
                first, second = rows[0], rows[1]
                apart = [name for name in {**first, **second} if first.get(name) != second.get(name)]
                fields = [name for name in apart if name not in ("value", "ci_low", "ci_high", "n", "stage_key")]
                raise ValueError(
                    f"{len(rows)} rows have seed {seed[0]}, so they are no repetition of one number; they differ in "
                    f"{', '.join(fields) or 'nothing but the value'}: choose by .of(...) or group by .by(...) first"
                )
        return over_seeds(self._rows)


@dataclass(frozen=True)
class Summary:
    """A number over seeds. `interval` says what low and high are: over texts (one seed), over seeds (three or more)."""

    value: float | None
    low: float | None
    high: float | None
    interval: Literal["over texts", "t over seeds", ""]
    n: int | None
    n_seeds: int


def over_seeds(rows: Sequence[Mapping[str, Any]]) -> Summary:
    """One number for the rows of several seeds: their mean. A seed without a value does not count.

    With three seeds or more it has Student's interval over seeds; with two it has none, and one seed keeps its own.
    `n` is the least of theirs.

    Units: those of the rows.
    """
    known = [row for row in rows if row["value"] is not None]
    n = min((row["n"] for row in known if row.get("n") is not None), default=None)
    if not known:
        return Summary(None, None, None, "", n, 0)
    if len(known) == 1:
        (row,) = known
        return Summary(row["value"], row.get("ci_low"), row.get("ci_high"), "over texts", n, 1)
    mean = stats.mean([row["value"] for row in known])
    if len(known) == 2:
        return Summary(mean.value, None, None, "", n, 2)
    return Summary(mean.value, mean.ci_low, mean.ci_high, "t over seeds", n, len(known))


def read_rows(path: Path, names: Mapping[str, Collection[Any]] = MappingProxyType({})) -> Rows:
    """The rows of a metrics.jsonl, each with its line; unknown names are kept.

    Args:
        names: Values that a question may name though no row has them, by field.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is not a JSON object; the message names file, line and reason.
    """
    with path.open("rb") as file:
        records = jsonl_records(file, str(path))
        return Rows((MetricRow.read(row, int(where.rpartition(":")[2])) for where, row in records), names=names)


def write_rows(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a metrics.jsonl, atomically, after every row was checked.

    Raises:
        ValueError: a measure, metric, unit or field is not listed; nothing is written.
    """
    write_jsonl(path, [MetricRow(row) for row in rows])
