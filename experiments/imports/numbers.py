"""Numbers of published results: every arm with its interval, and arms beside each other, paired by question.

Arms are paired also by seed where both share at least two seeds. All p-values of one import are adjusted together.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from experiments.console import table
from experiments.imports.names import Results
from interp import stats
from interp.comparisons import Arm, Difference, equivalence, holm, paired_difference, share_difference
from interp.errors import did_you_mean
from interp.files import fresh, write_json, write_jsonl
from interp.keys import content_key
from interp.rows import write_rows
from interp.runs import environment

R = TypeVar("R")
Row = dict[str, Any]
Arms = Sequence[Sequence[Results[Any]]]
MOST_ARMS = 12
"""So many arms are compared each with each."""
UNPAIRED = "fewer than two seeds in common: an interval over questions would leave out how models differ"


@dataclass(frozen=True)
class Outcome(Generic[R]):
    """One metric of published replies.

    Attributes:
        value: A reply's value; None for one that does not count.
        unit: As `interp.metrics` lists it.
        kind: `share` of values in [0, 1], or `mean` of any.
        difference_unit: Of the difference between arms.
    """

    value: Callable[[R], float | None]
    unit: str
    kind: Literal["share", "mean"] = "share"
    difference_unit: str = ""


@dataclass(frozen=True)
class Kind(Generic[R]):
    """A kind of published results.

    Attributes:
        measure: What its metrics are of.
        outcomes: Its metrics by name.
        question: What a reply is about; arms are paired by it.
        fields: Further fields of every metrics row.
    """

    measure: str
    outcomes: Mapping[str, Outcome[R]]
    question: Callable[[R], str]
    fields: Mapping[str, Any]

    def values(self, files: Iterable[Results[R]], metric: str) -> Arm:
        """The values of replies that count, with their questions and seeds."""
        outcome = self.outcomes[metric]
        counted = [(outcome.value(reply), self.question(reply), file.seed) for file in files for reply in file.replies]
        kept = [(value, question, seed) for value, question, seed in counted if value is not None]
        return Arm([float(value) for value, _, _ in kept], [q for _, q, _ in kept], [seed for _, _, seed in kept])

    def number(self, files: Sequence[Results[R]], seed: int | None, metric: str) -> Row:
        """The metrics row of one metric of some files of an arm."""
        outcome = self.outcomes[metric]
        estimate = (stats.share if outcome.kind == "share" else stats.crossed_mean)(*self.values(files, metric))
        counts = {"n_replies": sum(len(file.replies) for file in files)}
        return {**self._place(files, seed), "metric": metric, **estimate.row(), **counts, "unit": outcome.unit}

    def _place(self, files: Sequence[Results[R]], seed: int | None) -> Row:
        key = files[0].key if len(files) == 1 else content_key([file.key for file in files])
        where = {"arm": files[0].arm, "stage": files[0].arm, "stage_key": key, "seed": seed, "measure": self.measure}
        return {**where, **self.fields, **files[0].about}

    def difference(self, a: Sequence[Results[R]], b: Sequence[Results[R]], metric: str) -> Row:
        """The metrics row of one arm minus another."""
        outcome = self.outcomes[metric]
        arm_a, arm_b, by_seed = self._paired(a, b, metric)

        def interval(level: float) -> Difference:
            return (share_difference if outcome.kind == "share" else paired_difference)(arm_a, arm_b, level=level)

        difference = interval(stats.LEVEL)
        blind = not by_seed and max(len(a), len(b)) > 1
        questions = [{self.question(reply) for file in files for reply in file.replies} for files in (a, b)]
        return {
            **self._place(a, None),
            "metric": f"{metric}_difference",
            "against": b[0].arm,
            **difference.row(),
            **({"ci_low": None, "ci_high": None, "why": UNPAIRED} if blind else {"why": None}),
            "n_seeds": difference.n_seeds if by_seed or len(a) == len(b) == 1 else None,  # else averaged over
            "unmatched_questions": len(questions[0] ^ questions[1]),
            "paired_by": "question and seed" if by_seed else "question",
            "p": None if blind else equivalence(interval, 1.0).p_different,  # the margin is for p_equivalent alone
            "unit": outcome.difference_unit or outcome.unit,
        }

    def _paired(self, a: Sequence[Results[R]], b: Sequence[Results[R]], metric: str) -> tuple[Arm, Arm, bool]:
        """The values of both arms, and whether seeds pair them too; if not, seeds are averaged within each arm."""
        arm_a, arm_b = (self.values(files, metric) for files in (a, b))
        if len({file.seed for file in a} & {file.seed for file in b}) > 1:
            return arm_a, arm_b, True
        return arm_a._replace(seeds=None), arm_b._replace(seeds=None), False


def arm_rows(kind: Kind[Any], arms: Arms) -> list[Row]:
    """Metrics rows of every file whose name gives a seed, and of every arm over its seeds (their seed is null)."""
    rows = []
    for files in arms:
        by_seed = [([file], file.seed) for file in files if file.seed is not None]
        parts = [*by_seed, (files, None)]
        rows += [kind.number(part, seed, metric) for part, seed in parts for metric in kind.outcomes]
    return rows


def difference_rows(kind: Kind[Any], arms: Arms, against: str | None) -> list[Row]:
    """Rows of every arm minus `against`, or of every pair of arms; `p_holm` is adjusted over all of these rows.

    Raises:
        ValueError: no such arm, or too many pairs.
    """
    rows = [kind.difference(a, b, metric) for a, b in compared(arms, against) for metric in kind.outcomes]
    tested = [row for row in rows if row["p"] is not None]
    for row in rows:
        row |= {"p_holm": None, "n_tests": len(tested)}
    for row, p in zip(tested, holm([row["p"] for row in tested]), strict=True):
        row["p_holm"] = p
    return rows


def compared(arms: Arms, against: str | None) -> list[tuple[Sequence[Results[Any]], Sequence[Results[Any]]]]:
    """Pairs of arms to compare: every arm with `against`, or, without it, every later arm with every earlier one.

    Only arms that are about the same are compared: the same data, foil and trait.

    Raises:
        ValueError: no such arm, or too many pairs.
    """
    names = list(dict.fromkeys(files[0].arm for files in arms))
    if against is not None and against not in names:
        raise ValueError(f"--against: {did_you_mean('arm', against, names)}")
    if against is None and len(names) > MOST_ARMS:
        raise ValueError(f"{len(names)} arms are too many to compare all pairs (at most {MOST_ARMS}); give --against")
    return [
        (a, b)
        for b, a in (itertools.combinations(arms, 2) if against is None else itertools.permutations(arms, 2))
        if a[0].about == b[0].about and against in (None, b[0].arm)
    ]


def write(
    kind: Kind[Any],
    arms: Arms,
    out: Path,
    *,
    against: str | None,
    about: Mapping[str, Any],
    record: Callable[[Results[Any], Any], Row],
    describe: Callable[[Results[Any]], Row],
    more: Mapping[str, Any],
) -> Row:
    """Write OUT/metrics.jsonl, OUT/records/MEASURE.jsonl and OUT/manifest.json; the command's result.

    Args:
        about: What was asked, for the manifest.
        record: A reply as a line of the records.
        describe: What the manifest says of a file beside its name, hash, arm and seed.
        more: Further findings, for the manifest and the result.

    Raises:
        ValueError: results are in OUT already, or too many arms would be compared; nothing is written.
    """
    names = (f"records/{kind.measure}.jsonl", "metrics.jsonl", "manifest.json")
    records, metrics, manifest = (fresh(out / name) for name in names)
    compared(arms, against)
    everything = [file for files in arms for file in files]
    numbers, differences = arm_rows(kind, arms), difference_rows(kind, arms, against)
    write_jsonl(records, (record(file, reply) for file in everything for reply in file.replies))
    write_rows(metrics, [*numbers, *differences])
    files = [
        {"path": str(one.path), "sha256": one.key, "arm": one.arm, "seed": one.seed, "replies": len(one.replies)}
        | describe(one)
        for one in everything
    ]
    contents = {"imported": kind.measure, **about, "against": against, "files": files, **more}
    write_json(manifest, {**contents, **environment(), "status": "complete"}, indent=2, ensure_ascii=False)
    return {
        "arms": list(dict.fromkeys(one.arm for one in everything)),
        "replies": sum(len(one.replies) for one in everything),
        "metrics": numbers,
        "differences": differences,
        **more,
        "out": str(out),
    }


def reply_id(file: Results[Any], *what: Any) -> str:
    """The id of a reply in the records."""
    return content_key([file.arm, file.seed, *what])[:16]


def show(title: str, result: Row, names: Mapping[str, str], columns: Sequence[str] = ("n", "n_seeds")) -> None:
    """Print the tables of a result.

    Args:
        names: The metrics that are shown, and what the table calls them.
    """
    by_place: dict[str, list[Row]] = {}
    for row in result["metrics"]:
        seed = "all seeds" if row["seed"] is None else f"seed {row['seed']}"
        about = [str(row[name]) for name in ("data", "foil", "trait") if name in row]
        by_place.setdefault(", ".join([row["arm"], *about, seed]), []).append(row)
    rows = []
    for place, numbers in by_place.items():
        by_metric = {row["metric"]: row for row in numbers}
        counts = [str(numbers[-1][key]) for key in columns]
        rows.append([place, *(_shown(by_metric[metric]) for metric in names), *counts])
    table(title, ["arm", *names.values(), "questions", "seeds"], rows)
    rows = []
    for row in result["differences"]:
        if (metric := row["metric"].removesuffix("_difference")) not in names:
            continue
        p = "" if row["p_holm"] is None else f"{row['p_holm']:.3g}"
        told = [_shown(row, "+"), p, str(row["n"]), str(row["unmatched_questions"])]
        rows.append([f"{row['arm']} - {row['against']}: {metric}", *told])
    if rows:
        table("Paired differences", ["arms", "difference", "p (Holm)", "questions", "unmatched"], rows)
    for note in result["notes"]:
        print(note)


def _shown(row: Row, sign: str = "") -> str:
    if row["value"] is None:
        return "undefined"
    value = format(row["value"], f"{sign}.3f")
    return value if row["ci_low"] is None else f"{value} [{row['ci_low']:{sign}.3f}, {row['ci_high']:{sign}.3f}]"
