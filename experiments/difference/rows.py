"""Rows of metrics.jsonl made of the readings of many stages: how relevant, how far beyond placebos, whose topic.

1. The relevance of a stage is the mean over positions, beside that of random directions.
2. What placebo stages show, which were trained on the model's own ordinary answers, is taken off (`beyond_placebo`): a
   topic whose words any finetune promotes gains nothing by it. A placebo itself is held against the other placebos.
3. A kind of stage (EM, twins) is identified if its true topic ranks first among all, seeds being averaged before.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from experiments.difference.lexicon import EM, OTHER, PLACEBO, TWIN
from experiments.difference.read import LOGIT, Scores
from interp import stats
from interp.identification import identified
from interp.stats import Estimate

Row = dict[str, Any]
MEAN = "mean"
"""The position of a row that is a mean over positions."""
CHANCE = 0.5
"""The relevance of scores that know nothing of a topic."""
NONE = {"ci_low": None, "ci_high": None}


@dataclass(frozen=True)
class Reading:
    """A stage's reading.

    Attributes:
        place: The fields of its rows that say which stage of which seed it is of.
        kind: What the stage stands for.
        topic: The topic that it was trained on; None where there is none.
        scores: By way of reading, the relevance to each topic at each position.
        controls: Likewise, of random directions of the same length (one entry each).
        interval: Of the relevance to its own topic by the logit lens, over texts; None without a topic.
    """

    place: Row
    kind: str
    topic: str | None
    scores: Mapping[str, Scores]
    controls: Mapping[str, Sequence[Scores]]
    interval: Estimate | None = None

    def mean(self, way: str, topic: str) -> float:
        """The relevance to a topic, mean over positions."""
        return float(np.mean(self.scores[way][topic]))


def relevance_rows(readings: Sequence[Reading], random_scores: Scores) -> list[Row]:
    """The relevance of every stage to every topic by every way of reading, as it is and beyond placebos.

    Units: chance that an own word is promoted over another topic's; of steered answers, share of words.
    """
    placebos = [reading for reading in readings if reading.kind == PLACEBO]
    rows = []
    for reading in readings:
        others = [placebo for placebo in placebos if placebo is not reading]
        for way, scores in reading.scores.items():
            for topic in scores:
                own = topic == reading.topic
                about = {"lens": way, "topic": topic, "position": MEAN, "own_topic": own, "unit": _unit(way)}
                value = reading.mean(way, topic)
                interval = reading.interval if own and way == LOGIT else None
                estimate = Estimate(value, None, None, 0).row() | {"n": None} if interval is None else interval.row()
                nulls = random_scores[topic] if way == LOGIT else _controls(reading, way, topic)
                rows.append(
                    {**reading.place, "metric": "relevance", **estimate, **about, **_beside("random", nulls, value)}
                )
                held = [placebo.mean(way, topic) for placebo in others]
                beyond = value - float(np.mean(held)) if held else None
                why = {} if held else {"why": "there is no other placebo stage to hold it against"}
                fields = {"value": beyond, **NONE, "n": None, **about, **why}
                fields |= {"null": "placebo", "null_values": held, "n_null": len(held)} if held else {}
                rows.append({**reading.place, "metric": "relevance_beyond_placebo", **fields})
    return rows


def _unit(way: str) -> str:
    return "share of words" if way.startswith("steered") else "probability"


def _controls(reading: Reading, way: str, topic: str) -> list[float]:
    return [float(np.mean(scores[topic])) for scores in reading.controls.get(way, ())]


def _beside(null: str, nulls: Sequence[float], value: float) -> Row:
    if not nulls:
        return {}
    low, high = np.quantile(nulls, [0.025, 0.975]).tolist() if len(nulls) >= 20 else (min(nulls), max(nulls))
    place = {"null_percentile": stats.percentile(value, np.array(nulls))} if len(nulls) >= 20 else {}
    return {"null": null, "n_null": len(nulls), "null_low": low, "null_high": high, **place}


def identification_rows(readings: Sequence[Reading], *, seed: int) -> list[Row]:
    """How many stages of a kind have their own topic first among all, by every way of reading, beside chance.

    Seeds of a stage are averaged before topics are ranked, so that families count, and each once.
    """
    rows = []
    for kind in (EM, TWIN, OTHER):
        mine = [reading for reading in readings if reading.kind == kind and reading.topic is not None]
        topics = list(dict.fromkeys(str(reading.topic) for reading in mine))
        for way in mine[0].scores if len(topics) > 1 else ():
            for metric, corrected in (("", False), ("_beyond_placebo", True)):
                table = _table(readings, mine, topics, way, corrected=corrected)
                if table is None:
                    continue
                found = identified(table, seed=seed)
                about = {"arm": kind, "stage": kind, "seed": None, "lens": way, "position": MEAN, "headline": corrected}
                p = {"p": found.p, "n_arrangements": found.arrangements}
                share = {**found.first.row(), "unit": "share of topics", "chance": 1 / len(topics)}
                rank = {**found.rank.row(), "unit": "rank among topics", "chance": (len(topics) + 1) / 2}
                ranks = {"ranks": dict(zip(topics, found.ranks, strict=True))}
                rows.append({**about, "metric": f"identified_share{metric}", **share, **p, **ranks})
                rows.append({**about, "metric": f"rank{metric}", **rank, **p})
    return rows


def _table(
    readings: Sequence[Reading], mine: Sequence[Reading], topics: Sequence[str], way: str, *, corrected: bool
) -> np.ndarray | None:
    """Relevance by topic of the stage and topic asked about; None where it cannot be held against placebos."""
    placebos = [reading for reading in readings if reading.kind == PLACEBO]
    if corrected and not placebos:
        return None
    off = [np.mean([p.mean(way, topic) for p in placebos]) if corrected else 0.0 for topic in topics]
    table = [
        [np.mean([reading.mean(way, topic) for reading in mine if reading.topic == own]) for topic in topics]
        for own in topics
    ]
    return np.array(table) - np.array(off)


def side_rows(
    by_family: Mapping[str, Sequence[tuple[Row, float]]], placebo: Mapping[str, Sequence[float]]
) -> list[Row]:
    """Whether EM minus twin promotes the words of wrong answers over those of right ones, by family and over families.

    Args:
        by_family: Of each family, the place and the relevance of every seed's difference.
        placebo: Of each family, the same of differences between placebo stages.
    """
    rows = []
    unit = {"unit": "probability", "lens": LOGIT, "position": MEAN, "chance": CHANCE}
    for topic, of_seeds in by_family.items():
        for place, value in of_seeds:
            null = _beside("placebo", placebo.get(topic, ()), value)
            rows.append(
                {
                    **place,
                    "metric": "wrong_over_right",
                    "value": value,
                    **NONE,
                    "n": None,
                    "topic": topic,
                    **unit,
                    **null,
                }
            )
    means = [float(np.mean([value for _, value in of_seeds])) for of_seeds in by_family.values()]
    n_pairs = min((len(values) for values in placebo.values()), default=0)
    nulls = [float(np.mean([placebo[topic][i] for topic in by_family])) for i in range(n_pairs)]
    if means:
        over = stats.mean(means)
        about = {"arm": EM, "stage": EM, "seed": None, "other_stage": TWIN}
        rows.append(
            {
                **about,
                "metric": "wrong_over_right_mean",
                **over.row(),
                **unit,
                **_beside("placebo", nulls, float(np.mean(means))),
            }
        )
    return rows
