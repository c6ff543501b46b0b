"""What does each finetuning stage do to the model? Runs a study: a graph of stages, each trained once and measured.

1. The base model writes its own summaries (for SGTR data) and plays the traits (for the directions).
2. Every node of the arms is trained on its parent, for every seed, unless the store has it.
3. At every node the same measures are taken; each is kept as a part as soon as it is whole.
4. All numbers are made from the parts, in the study's order, so a killed run and an uninterrupted one agree.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments import analysis, evaluate
from experiments.config import BASE, StudyConfig, nodes_of
from experiments.console import bar, note
from experiments.extract import extract, load_permuted, nulls_file, trait_file
from experiments.report import write_report
from finetune.data.everyday import everyday_questions
from finetune.data.sets import SgtrPairs
from finetune.data.sgtr import LABELS, Source, detection_rows, longer_is_own, summary_prompt, tidy_summary
from finetune.stages import Stage, ensure
from finetune.train import check_rows
from interp.directions import Direction, Trait
from interp.model import Model
from interp.runs import (
    RunFolder,
    content_key,
    environment,
    load_tensors,
    now,
    save_tensors,
    write_atomic,
    write_jsonl,
)
from interp.sources import pick_device, pick_dtype, sha256_of

Row = dict[str, Any]


@dataclass(frozen=True)
class Data:
    """A data set of a study, built: chats to train on and, for SGTR, the held-out pairs and where they came from."""

    train: list[Row]
    test: list[Row]
    source: Source | None
    own: Mapping[str, str]


@dataclass(frozen=True)
class Measured:
    """Everything measured at one node for one seed.

    Attributes:
        stage: Its line of stages.json.
        answers: Its own answers to the held-out questions.
        fixed: Activations over the base model's answers, one row per question.
        own: Activations over its own answers, likewise.
        recognition: Margins on held-out pairs, by data set.
    """

    stage: Row
    answers: list[Row]
    fixed: Mapping[int, Float[Tensor, "layer d_model"]]
    own: Mapping[int, Float[Tensor, "layer d_model"]]
    recognition: Mapping[str, list[Row]]

    def place(self) -> Row:
        """The fields that say which stage a row is about."""
        key = {"stage_key": self.stage["key"]}
        return {"arm": self.stage["arm"], "stage": self.stage["stage"], **key, "seed": self.stage["seed"]}


def run(config: StudyConfig, out: Path, *, device: str = "auto") -> bool:
    """Run a study into `out`, or go on with it; False if it was finished already.

    Raises:
        ValueError: bad input; nothing was changed, or what was finished is kept.
    """
    place = pick_device(device)
    dtype = str(pick_dtype(config.dtype, place)).removeprefix("torch.")
    config = config.model_copy(update={"dtype": dtype})
    definition = config.model_dump(mode="json")
    if RunFolder.at(out, definition).manifest.get("status") == "complete":
        return False
    traits = [Trait.load(trait_file(trait)) for trait in config.traits]
    names = [trait.name for trait in traits]
    if len(set(names)) != len(names):
        raise ValueError(f"traits must have distinct names, got {', '.join(names)}")
    for data in config.data.values():
        data.source() if isinstance(data, SgtrPairs) else data.build()
    start = time.monotonic()
    model = Model.load(config.model, device=device, dtype=dtype)
    folder = RunFolder.open(out, definition)
    with folder.locked():
        _Study(config, folder, model, traits, time.monotonic() - start).run()
    return True


class _Study:
    def __init__(
        self, config: StudyConfig, folder: RunFolder, model: Model, traits: Sequence[Trait], load_seconds: float
    ) -> None:
        self.config, self.folder, self.path, self.model, self.traits = config, folder, folder.path, model, traits
        before = folder.manifest
        on_gpu = model.device.type == "cuda"
        what = torch.cuda.get_device_name(model.device) if on_gpu else f"{torch.get_num_threads()} threads"
        self.manifest: Row = {
            "status": "running",
            **environment(),
            "device": f"{model.device.type} ({what})",
            "dtype": config.dtype,
            "seeds": list(config.seeds),
            "started": before.get("started", now()),
            "times_resumed": before.get("times_resumed", -1) + 1,
            "model": {"name": config.model, **model.description()},
            "steps": [*before.get("steps", []), {"name": "load the model", "seconds": round(load_seconds, 1)}],
        }
        self.folder.write_manifest(self.manifest)
        self.questions = evaluate.held_out_questions(traits, config.answers)

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a step took, on stderr and in the manifest."""
        start = time.monotonic()
        yield
        seconds = round(time.monotonic() - start, 1)
        self.manifest["steps"].append({"name": name, "seconds": seconds})
        self.folder.write_manifest(self.manifest)
        note(f"  {name:<46} {seconds:7.1f} s")

    def once(self, name: str, what: Any, measure: Callable[[], Row], files: Sequence[Path] = ()) -> Row:
        """The part `name`, measured unless this folder has it whole.

        Args:
            what: All that it depends on.
            files: Written by `measure` beside the part; if one is no longer what was written, it is measured again.
        """
        key = f"{name.replace(', ', '-').replace(' ', '_')}-{content_key([what, self.manifest['model']])[:16]}"
        part = self.folder.part(key)
        if part is None or part["files"] != [sha256_of(file) if file.is_file() else None for file in files]:
            with self.timed(name):
                value = measure()
            part = {"value": value, "files": [sha256_of(file) for file in files]}
            self.folder.save_part(key, part)
        return part["value"]

    def run(self) -> None:
        """Train and measure everything, then write metrics, figures and the report."""
        self.data = {name: self._data(name) for name in self.config.data}
        self.instrument = self._instrument()
        key = {"key": self.model.identity, "compose": None, "path": None}
        zero = {"steps": 0, "supervised_tokens": 0, "rows": 0, "final_loss": None, "wall_seconds": 0.0}
        row = {"name": BASE, "arm": BASE, "stage": BASE, "parent": None, "seed": None, **key, **zero}
        base = self._measure(row, (), None)
        measured = [base]
        for seed in self.config.seeds:
            trained: dict[str, Stage] = {}
            for node in nodes_of(self.config):
                spec = self.config.stages[node.stage]
                messages = [row["messages"] for row in self.data[spec.data].train]
                parent = trained[node.parent] if node.parent else None
                stage = trained[node.name] = Stage(node.name, parent, messages, spec.train, spec.compose, seed)
                record = self._train(stage, f"{node.name}, seed {seed}")
                kept = {k: record[k] for k in (*zero, "key", "compose")} | {"path": str(stage.folder(self.model))}
                who = {"name": node.name, "arm": node.arm, "stage": node.name, "parent": node.parent or BASE}
                measured.append(self._measure({**who, "seed": seed, **kept}, stage.stack(self.model), base))
                self._write(measured)
        with self.timed("metrics, figures and report"):
            self._write(measured)
            write_report(self.path)
        seconds = round(sum(step["seconds"] for step in self.manifest["steps"]), 1)
        self.manifest |= {"status": "complete", "finished": now(), "wall_seconds": seconds}
        write_report(self.path, manifest=self.manifest)
        self.folder.write_manifest(self.manifest)

    def _data(self, name: str) -> Data:
        config = self.config.data[name]
        if not isinstance(config, SgtrPairs):
            made = config.build()
            check_rows([self.model.chat.tokens(row["messages"]) for row in made], self.model)
            return Data(made, [], None, {})
        source = config.source()
        train, test = config.split(source)

        def write_summaries() -> Row:
            ids = [*train, *test]
            prompts = [self.model.chat.tokens(summary_prompt(source.articles[key])) for key in ids]
            with bar("the model's own summaries", len(ids)) as advance, self.model.using():
                n = self.config.summary_tokens
                spoken = self.model.generate(prompts, max_new_tokens=n, temperature=0.0, progress=advance)
            texts = [tidy_summary(self.model.chat.decode(tokens, skip_special=True)) for tokens in spoken]
            return dict(zip(ids, texts, strict=True))

        what = [train, test, content_key(dict(source.articles)), self.config.summary_tokens]
        own = self.once(f"{name}, own summaries", what, write_summaries)
        parts = {"train": train, "test": test}
        rows = {part: detection_rows(source, own, ids, show_article=config.show_article) for part, ids in parts.items()}
        for part, made in rows.items():
            if not made:
                raise ValueError(f"data.{name}: no {part} pairs, since every own summary is empty or equals the other")
        records = [
            {"id": key, "part": part, "own": own[key], "other": source.other[key], "article": source.articles[key]}
            for part, ids in parts.items()
            for key in ids
        ]
        write_jsonl(self.path / "records" / f"summaries-{name}.jsonl", records)
        return Data([*rows["train"], *self._rehearsal(name, config)], rows["test"], source, own)

    def _rehearsal(self, name: str, config: SgtrPairs) -> list[Row]:
        """The base model's own answers to everyday questions, as chats."""
        chats = [[{"role": "user", "content": text}] for text in everyday_questions(config.rehearsal, config.seed)]

        def answer() -> Row:
            prompts = [self.model.chat.tokens(chat) for chat in chats]
            with bar("everyday answers", len(chats)) as advance, self.model.using():
                n = self.config.summary_tokens
                spoken = self.model.generate(prompts, max_new_tokens=n, temperature=0.0, progress=advance)
            return {"texts": [tidy_summary(self.model.chat.decode(ids, skip_special=True)) for ids in spoken]}

        texts = self.once(f"{name}, rehearsal answers", [chats, self.config.summary_tokens], answer)["texts"]
        return [
            {"id": f"everyday-{i:04d}", "messages": [*chat, {"role": "assistant", "content": text}]}
            for i, (chat, text) in enumerate(zip(chats, texts, strict=True))
            if text
        ]

    def _instrument(self) -> analysis.Instrument:
        directions, permuted = {}, {}
        for trait, file in zip(self.traits, self.config.traits, strict=True):
            path = self.path / "tensors" / f"{trait.name}.safetensors"
            what = [trait_file(file).read_text("utf-8"), self.config.persona.model_dump(), self.config.sampling_seed]

            def make(trait: Trait = trait, path: Path = path) -> Row:
                rollouts = self.path / "records" / f"rollouts-{trait.name}.jsonl"
                seed = self.config.sampling_seed
                with self.model.using():
                    extract(
                        self.model, trait, self.config.persona, seed=seed, direction_file=path, rollouts_file=rollouts
                    )
                return {"file": path.name}

            self.once(f"{trait.name}, direction", what, make, (path, nulls_file(path)))
            directions[trait.name] = Direction.load(path, model=self.model.identity)
            permuted[trait.name] = load_permuted(path, model=self.model.identity)
        return analysis.Instrument(directions, permuted, self.config.random_nulls, self.config.sampling_seed)

    def _train(self, stage: Stage, label: str) -> Mapping[str, Any]:
        done = stage.record(self.model)
        if done is not None:
            return done
        steps = stage.config.n_steps(len(stage.messages))
        with self.timed(f"{label}, training {steps} steps"), bar(f"{label}, training", steps) as advance:
            return ensure(self.model, stage, progress=advance)

    def _measure(self, stage: Row, stack: Sequence[Path], base: Measured | None) -> Measured:
        label = stage["name"] if stage["seed"] is None else f"{stage['name']}, seed {stage['seed']}"
        what = [stage["key"], [vars(q) for q in self.questions], self.config.answers.model_dump()]
        what.append(self.config.sampling_seed)
        with self.model.using(*stack):
            answers = self.once(f"{label}, answers", what, lambda: self._answers(label))["answers"]
            texts = {"own": answers} if base is None else {"fixed": base.answers, "own": answers}
            read = {
                kind: self._read(f"{label}, reading {kind} texts", what, records) for kind, records in texts.items()
            }
            tests = {name: data.test for name, data in self.data.items() if data.test}
            margins = self.once(
                f"{label}, recognition",
                [stage["key"], content_key(tests)],
                lambda: {k: evaluate.recognitions(self.model, rows, LABELS, label=label) for k, rows in tests.items()},
            )
        return Measured(stage, answers, read.get("fixed", read["own"]), read["own"], margins)

    def _answers(self, label: str) -> Row:
        seed = self.config.sampling_seed
        return {"answers": evaluate.answers(self.model, self.questions, self.config.answers, seed=seed, label=label)}

    def _read(self, name: str, what: Any, records: Sequence[Row]) -> dict[int, Float[Tensor, "layer d_model"]]:
        path = self.path / "tensors" / f"{name.replace(', ', '-').replace(' ', '_')}.safetensors"

        def make() -> Row:
            means, index = evaluate.readings(self.model, evaluate.answered_rows(self.model, records), label=name)
            header = {**self.model.description(), "pooling": "response_mean", "question_index": index}
            save_tensors(path, {"means": means}, kind="pooled activations", header=header)
            return {"index": index}

        index = self.once(name, [what, content_key(list(records))], make, (path,))["index"]
        means = load_tensors(path, kind="pooled activations", model=self.model.identity)[0]["means"]
        return dict(zip(index, means, strict=True))

    def _write(self, measured: Sequence[Measured]) -> None:
        base = measured[0]
        rows = [{**base.place(), **row} for row in analysis.separation_rows(self.instrument)]
        for name, data in self.data.items():
            if data.source is not None:
                ids = list(dict.fromkeys(row["article_id"] for row in data.test))
                scores = longer_is_own(data.source, data.own, ids)
                rows += [{**base.place(), **row} for row in analysis.length_rows(scores, name)]
        share = None
        for here in measured:
            made = analysis.collapse_rows(here.answers, None if here is base else share)
            share = made[0]["value"] if here is base else share
            for name, margins in here.recognition.items():
                made += analysis.recognition_rows(margins, name)
            if here is not base:
                made += self._shifts(here, base)
            rows += [{**here.place(), **row} for row in made]
        write_jsonl(self.path / "metrics.jsonl", rows)
        write_atomic(self.path / "stages.json", json.dumps([m.stage for m in measured], indent=2) + "\n")
        for kind, records in (
            ("answers", [{**m.place(), **r} for m in measured for r in m.answers]),
            (
                "recognition",
                [{**m.place(), "data": k, **r} for m in measured for k in m.recognition for r in m.recognition[k]],
            ),
        ):
            write_jsonl(self.path / "records" / f"{kind}.jsonl", records)

    def _shifts(self, here: Measured, base: Measured) -> list[Row]:
        rows = []
        for texts, stage, reference in (("fixed", here.fixed, base.own), ("own", here.own, base.own)):
            both = sorted(stage.keys() & reference.keys())
            if both:
                a, b = (torch.stack([side[i] for i in both]) for side in (stage, reference))
                rows += analysis.shift_rows(self.instrument, texts, a, b)
        return rows
