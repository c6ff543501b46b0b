"""What did each stage of a finished study leave behind at the first tokens of unrelated texts?

1. Every stage reads the first tokens of the same texts; its difference from the base model (an EM stage's from its twin
   too) is stored, so that a run that was stopped reads nothing twice.
2. The stage's own difference is read out: logit lens, patchscope, and answers that are steered along it.
3. Words that a topic's data use more than others' say how relevant that is, beside placebo stages, random directions
   and the other topics; the families are ranked, and those whose own topic is first are counted.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from experiments.console import bar
from experiments.difference.config import DifferenceConfig
from experiments.difference.lexicon import LATER, PLACEBO, Lexicon, Parts, lexicon_of, parts_of
from experiments.difference.read import LOGIT, Difference, DifferenceReader, degenerate_shares, steered_scores
from experiments.difference.rows import MEAN, NONE, Reading, identification_rows, relevance_rows, side_rows
from experiments.resumable import Name, Once, Row, Work, run_once
from experiments.study.config import BASE
from experiments.study.stored import StoredStudy, TrainedStage
from experiments.study.together import side_by_side
from figures.difference_lens import difference_lens as draw
from interp import stats
from interp.company import Company
from interp.difference import Beginnings
from interp.directions import Direction
from interp.files import write_jsonl
from interp.model import Model
from interp.sources import sha256_of
from interp.tensors import load_tensors, save_tensors

KIND = "activations at first tokens"
MEASURE = {"measure": "difference"}


def run(
    *,
    study: Path,
    out: Path,
    config: DifferenceConfig,
    seeds: Sequence[int],
    seed: int,
    device: str,
) -> Row:
    """The `diff` command: writes OUT/metrics.jsonl, OUT/records and OUT/tensors.

    Args:
        seeds: Training seeds; none given, all.

    Raises:
        ValueError, FileNotFoundError, InterpError: bad input, before anything is written.
    """
    finished = StoredStudy.finished(study)
    nodes = finished.stages([*parts_of(finished).kinds, *config.stages], seeds or None)
    definition = {
        "holds": "difference",
        "study": finished.study.name,
        "stages": [[node.name, node.seed, node.key] for node in nodes],
        "config": config.model_dump(mode="json") | {"texts": config.texts and sha256_of(config.texts)},
        "seed": seed,
    }

    def prepare() -> Work:
        model = finished.model(device)
        differences = differences_of(finished, model, config, nodes, out, seed=seed)
        directions, lexicon = finished.directions(model), differences.reader.lexicon
        facts = {"study": str(study), "words": words_of(lexicon), "kinds": dict(differences.parts.kinds)}
        return Work(model, facts, lambda ledger: differences.rows(ledger.once, directions), draw)

    return run_once(out, definition, prepare)


def differences_of(
    stored: StoredStudy, model: Model, config: DifferenceConfig, nodes: Sequence[TrainedStage], out: Path, *, seed: int
) -> "Differences":
    """What is needed to read the differences of some nodes of a study.

    Raises:
        ValueError, FileNotFoundError: the texts, the layer or the topics will not do.
    """
    parts, company = parts_of(stored), Company(model)
    lexicon = lexicon_of(stored, parts, model.chat, config.words)
    return Differences(company, DifferenceReader(company, config, lexicon, seed=seed), parts, nodes, out)


def words_of(lexicon: Lexicon) -> Row:
    """The words that differences were held against, for the record."""
    topics = {topic: list(one.words) for topic, one in lexicon.topics.items()}
    return {"topics": topics, "wrong": {topic: list(one.words) for topic, one in lexicon.sides.items()}}


class Differences:
    """The differences of all stages of a run, and the rows that are made of them.

    Args:
        nodes: The stages that are read, of every seed.
        out: The folder for tensors and records.
    """

    def __init__(
        self, model: Company, reader: DifferenceReader, parts: Parts, nodes: Sequence[TrainedStage], out: Path
    ) -> None:
        self.model, self.reader, self.parts, self.nodes, self.out = model, reader, parts, nodes, out
        self.config, self.layer = reader.config, reader.layer

    def rows(self, once: Once, directions: Mapping[str, Direction]) -> list[Row]:
        """Every row of metrics.jsonl; promoted tokens and steered answers are written as records."""
        self._read_beginnings(once)
        base = self._beginnings(once, BASE, (), None)
        rows, records, answers, readings = [], [], [], []
        for node in self.nodes:
            for against, other in self._others(node, once, base):
                own = self._beginnings(once, node.label, node.stack, node.key)
                difference = Difference.of(own, other, self.layer)
                place = {**place_of(node), "other_stage": against, "kind": self._kind(node.name)}
                raw = self._reading(once, node, against, difference)
                rows += self._size_rows(place, difference, own) + self._cosine_rows(place, difference, directions)
                rows += self._depth_rows(place, raw) + _degenerate_rows(place, raw["answers"])
                records += _promoted(place, raw)
                answers += [{**place, **answer} for answer in raw["answers"]]
                if against == BASE:
                    readings.append(self._as_reading(node, place, raw, difference))
        write_jsonl(self.out / "records" / "promoted.jsonl", records)
        write_jsonl(self.out / "records" / "steered.jsonl", answers)
        rows += _token_rows(records) + relevance_rows(readings, self.reader.random_scores())
        rows += identification_rows(readings, seed=self.reader.seed) + self._sides(once)
        return [{"arm": row.get("arm", row["stage"]), **row, **MEASURE} for row in rows]

    def _read_beginnings(self, once: Once) -> None:
        """Read the first tokens through all stages, many at a time, and store what they have there."""
        work = [partial(self._beginnings, once, node.label, node.stack, node.key) for node in self.nodes]
        with bar("reading first tokens side by side", len(work)) as advance:
            side_by_side(self.model, work, advance)

    def _others(self, node: TrainedStage, once: Once, base: Beginnings) -> list[tuple[str, Beginnings]]:
        """The models that a stage's difference is from, by name."""
        others = [(BASE, base)]
        if node.parent != BASE:
            label = f"{node.parent}, seed {node.seed}"
            others.append((node.parent, self._beginnings(once, label, node.parent_stack, node.parent_key)))
        return others

    def _beginnings(self, once: Once, label: str, stack: Sequence[Path], key: str | None) -> Beginnings:
        """What a stack of adapters has at the first tokens, read unless it is stored."""
        name = Name.of(label).then("first_tokens")
        path = self.out / "tensors" / f"{name.file.replace(',', '')}.safetensors"

        def read() -> Row:
            with self.model.using(*stack):
                held = self.reader.beginnings()
            tensors = {"means": held.means, "by_text": held.by_text.contiguous(), "norm": held.norm}
            save_tensors(path, tensors, kind=KIND, header={**self.model.description(), "layer": self.layer})
            return {"file": path.name}

        once(name, self._what("first tokens", key), read, (path,))
        tensors = load_tensors(path, kind=KIND, model=self.model.identity)[0]
        return Beginnings(tensors["means"], tensors["by_text"], tensors["norm"])

    def _reading(self, once: Once, node: TrainedStage, against: str, difference: Difference) -> Row:
        def read() -> Row:
            with self.model.using(*node.stack):
                return self.reader.read(difference)

        words = {name: [one.own, one.others] for name, one in self.reader.lexicon.topics.items()}
        name = Name.of(node.label).then(f"minus_{against}")
        return once(name, [*self._what("reading", node.key), against, words], read)

    def _what(self, part: str, key: Any) -> list[Any]:
        config = self.config.model_dump(mode="json")
        return [part, key, [row.ids for row in self.reader.rows], self.layer, config, self.reader.seed]

    def _as_reading(self, node: TrainedStage, place: Row, raw: Row, difference: Difference) -> Reading:
        topics = self.reader.lexicon.topics
        steered = steered_scores(raw["answers"], topics)
        scores = raw["scores"] | {way: held for way, held in steered.items() if " control " not in way}
        controls = dict(raw["controls"])
        for way, held in steered.items():
            if " control " in way:
                controls.setdefault(way.partition(" control ")[0], []).append(held)
        topic = self._topic(node.name)
        interval = self.reader.interval(difference, topics[topic]) if topic is not None else None
        return Reading(place, self._kind(node.name), topic, scores, controls, interval)

    def _kind(self, name: str) -> str:
        return self.parts.kinds.get(name, LATER)

    def _topic(self, name: str) -> str | None:
        """The topic of a node, as far as its words are known."""
        topic = self.parts.topics.get(name)
        return topic if topic in self.reader.lexicon.topics else None

    def _size_rows(self, place: Row, difference: Difference, own: Beginnings) -> list[Row]:
        rows = []
        lengths = difference.mean.double().norm(dim=-1)
        for position, of_layers in enumerate(lengths.tolist()):
            for layer, length in enumerate(of_layers):
                about = {"layer": layer, "position": str(position), "headline": layer == self.layer, **NONE}
                about |= {"n": len(difference.by_text)}
                stream = float(own.norm[position, layer])
                rows.append({**place, "metric": "length", "value": length, **about, "unit": "residual-stream norm"})
                relative = {"value": length / stream if stream else None, "unit": "share of the stream's length"}
                rows.append({**place, "metric": "relative_length", **about, **relative})
        return rows

    def _cosine_rows(self, place: Row, difference: Difference, directions: Mapping[str, Direction]) -> list[Row]:
        """Cosines of the difference, mean over positions, with each direction; the band is of random directions."""
        mean = difference.mean.double().mean(0)
        band = 1.96 / self.model.d_model**0.5
        rows = []
        for name, direction in directions.items():
            for layer in direction.layers:
                v, d = direction.at(layer).double(), mean[layer]
                size = float(d.norm() * v.norm())
                value = float(d @ v) / size if size else None
                about = {"direction": name, "layer": layer, "headline": layer == direction.layer, "position": MEAN}
                null = {"null": "random", "null_low": -band, "null_high": band, "unit": "cosine"}
                rows.append(
                    {**place, "metric": "cosine", "value": value, **NONE, "n": len(difference.by_text), **about, **null}
                )
        return rows

    def _depth_rows(self, place: Row, raw: Row) -> list[Row]:
        topic = self._topic(place["stage"])
        if topic is None:
            return []
        return [
            {
                **place, "metric": "relevance_by_depth", "value": float(np.mean(scores[topic])), **NONE, "n": None,
                "layer": layer, "lens": LOGIT, "topic": topic, "position": MEAN, "headline": layer == self.layer,
                "unit": "probability",
            }
            for layer, scores in enumerate(raw["by_layer"])
        ]  # fmt: skip

    def _sides(self, once: Once) -> list[Row]:
        """Rows of the words of wrong answers against those of right ones, in EM minus twin and between placebos."""
        sides, by_node = self.reader.lexicon.sides, {(node.name, node.seed): node for node in self.nodes}

        def score(stage: TrainedStage, other: TrainedStage, topics: Sequence[str]) -> dict[str, float]:
            first, second = (self._beginnings(once, one.label, one.stack, one.key) for one in (stage, other))
            mean = Difference.of(first, second, self.layer).mean[:, self.layer]
            scores = self.reader.by_logit_lens(mean, {topic: sides[topic] for topic in topics})
            return {topic: float(np.mean(held)) for topic, held in scores.items()}

        by_family: dict[str, list[tuple[Row, float]]] = {}
        for em, twin in self.parts.twins.items():
            topic = self.parts.topics[em]
            for seed in sorted({seed for name, seed in by_node if name == em and (twin, seed) in by_node}):
                value = score(by_node[em, seed], by_node[twin, seed], [topic])[topic]
                by_family.setdefault(topic, []).append(({**place_of(by_node[em, seed]), "other_stage": twin}, value))
        placebos = [node for node in self.nodes if self.parts.kinds.get(node.name) == PLACEBO]
        nulls: dict[str, list[float]] = {}
        for first, second in pairwise(placebos):
            for topic, value in score(first, second, list(by_family)).items():
                nulls.setdefault(topic, []).append(value)
        return side_rows(by_family, nulls)


def place_of(node: TrainedStage) -> Row:
    """The fields of a row that say which stage of which seed it is of."""
    return {"arm": node.name, "stage": node.name, "stage_key": node.key, "seed": node.seed}


def _promoted(place: Row, raw: Row) -> list[Row]:
    """A record for every promoted token, by way of reading, position and rank."""
    return [
        {
            **place,
            "lens": way,
            "position": str(position),
            "rank": rank,
            "token_id": token,
            "token": text,
            "value": value,
        }
        for way, by_position in raw["promoted"].items()
        for position, tokens in enumerate(by_position)
        for rank, (token, text, value) in enumerate(tokens, 1)
    ]


def _token_rows(records: Sequence[Row], most: int = 10) -> list[Row]:
    """The first promoted tokens as rows, of the logit lens and of the patchscope; records have the others too."""
    return [
        {
            **record,
            "metric": "promoted",
            **NONE,
            "n": None,
            "unit": "logits" if record["lens"] == LOGIT else "probability",
        }
        for record in records
        if record["rank"] <= most
    ]


def _degenerate_rows(place: Row, answers: Sequence[Row]) -> list[Row]:
    rows = []
    for (strength, control), flags in degenerate_shares(answers).items():
        found = stats.proportion(float(np.mean(flags)), len(flags))
        about = {"alpha": strength, "control": control, "unit": "share of answers"}
        rows.append({**place, "metric": "steered_degenerate_share", **found.row(), **about})
    return rows
