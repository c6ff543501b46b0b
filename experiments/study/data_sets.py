"""The data sets of a study, built where they are needed and once each, and for how many steps each is trained on.

A set with texts that a stage writes differs from stage to stage; every other set is built once. What a model writes for
a set is stored as a part of the run, so that a study that was stopped does not ask twice, and all sets that ask for the
same greedy answer share it.
"""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from experiments.console import bar
from experiments.resumable import Name, Once, file_name
from experiments.study.config import BASE, StageConfig, StudyConfig
from experiments.study.graph import yardsticks
from finetune.data.builder import DataSet, Desk, Row, Who
from finetune.recipe import TrainConfig
from finetune.stages import Stage
from finetune.train import check_rows
from interp.chat import Message, Tokens, check_system, with_system
from interp.errors import InterpError, did_you_mean
from interp.files import write_jsonl
from interp.keys import content_key, seed_from
from interp.model import Model


class Sets:
    """The data sets of one study: which of them are needed, and for how many steps stages are trained on them.

    A subclass builds the sets.
    """

    def __init__(self, config: StudyConfig) -> None:
        self.config = config
        self._yardsticks = yardsticks(config)

    def of(self, name: str, stage: Stage | None = None) -> DataSet:
        """A data set, for the model as it is after `stage` (None: the bare base model)."""
        raise NotImplementedError

    def made_from(self, names: Iterable[str]) -> list[str]:
        """The names of these sets and of the sets that they are made from."""
        with_parts = list(names)
        for name in with_parts:
            with_parts.extend(self.config.data[name].uses)
        return list(dict.fromkeys(with_parts))

    def needed(self) -> list[str]:
        """Names of the sets with test rows, and of those that stages are trained on, with all their parts."""
        trained_names = self.made_from(stage.data for stage in self.config.stages.values())
        return [name for name, data in self.config.data.items() if name in trained_names or getattr(data, "test", 0)]

    def yardstick(self, name: str) -> StageConfig:
        """The stage whose number of steps a stage takes; the stage itself where no other fits."""
        return self.config.stages[self._yardsticks[name] if self.config.match_steps else name]

    def recipe(self, name: str, parent: Stage | None = None) -> TrainConfig:
        """How a stage is trained on `parent`: its own recipe, for as many steps as its yardstick takes there."""
        stage, like = self.config.stages[name], self.yardstick(name)
        if like is stage:
            return stage.train
        steps, n_rows = (len(self.of(spec.data, parent).train) for spec in (like, stage))
        return stage.train.with_steps(like.train.n_steps(steps), n_rows)

    def tests(self) -> dict[str, DataSet]:
        """The data sets with test questions, built for the base model; of sets with equal questions only the first."""
        prompts = self.config.system_prompts.values()
        tests: dict[str, DataSet] = {}
        seen_keys = set()
        for name in self.needed():
            data = self.of(name)
            as_asked = [[with_system(row["messages"], system) for system in prompts] for row in data.test]
            key = content_key([as_asked, [row["right"] for row in data.test]])
            if data.test and key not in seen_keys:
                seen_keys.add(key)
                tests[name] = data
        return tests

    def check_rows(self, name: str, rows: Sequence[Tokens], model: Model) -> None:
        """Check that a stage can be trained on rows.

        Raises:
            ValueError, InterpError: a row does not fit, or teaches nothing; the message names the stage.
        """
        stage = self.config.stages[name]
        try:
            check_rows(rows, model, stage.train)
        except (ValueError, InterpError) as error:
            raise type(error)(f"stages.{name}: data {stage.data}: {error}") from error

    def check_steps(self, name: str) -> None:
        """Check that a stage, trained on the base model, has the steps that are asked for.

        Raises:
            ValueError: a checkpoint is after the last step, or warm-up is all there is.
        """
        stage = self.config.stages[name]
        steps = self.recipe(name).n_steps(len(self.of(stage.data).train))
        if late := [step for step in stage.checkpoints if not 1 <= step <= steps]:
            raise ValueError(
                f"stages.{name}.checkpoints: {late} must be in [1, {steps}], the steps of this stage; drop them or "
                "give it more rows or epochs"
            )
        if steps == 1 and stage.train.warmup_steps:
            raise ValueError(
                f"stages.{name}.train: one step after warmup_steps {stage.train.warmup_steps} would have learning "
                "rate 0; set warmup_steps to 0"
            )

    def check_lens(self) -> None:
        """Check that the data set that the lens looks at has questions of its own.

        Raises:
            ValueError: it has none, or an earlier set has the same questions.
        """
        lens, tests = self.config.lens, self.tests()
        if lens and lens.data not in tests:
            raise ValueError(
                "lens.data: " + did_you_mean("data set with questions of its own", lens.data, sorted(tests))
            )


def idents(prompts: Sequence[Sequence[Message]], temperature: float) -> list[str]:
    """A key for every prompt of one request. Equal prompts share a key at temperature 0, and only there.

    A greedy answer is the same each time that it is asked for, while a sampled answer is drawn anew.
    """
    return [content_key([list(prompt), i if temperature else 0]) for i, prompt in enumerate(prompts)]


def check_systems(config: StudyConfig, native: str | None) -> None:
    """Check that a template can show all system prompts of a study.

    Args:
        native: The system prompt that the template adds to a chat without one; None if it adds nothing.

    Raises:
        ValueError: the template cannot show one of them; the message names the field.
    """
    systems = {f"system_prompts.{name}": system for name, system in config.system_prompts.items()}
    for field, system in (systems | {f"data.{name}": data.system for name, data in config.data.items()}).items():
        try:
            check_system(system, native)
        except ValueError as error:
            raise ValueError(f"{field}: {error}") from error


class Material(Sets):
    """Data sets of one study on one model.

    Args:
        once: Measures a named part of the run and stores it, or reads it where it is stored.
        records: The folder for the texts that were written for the sets.
    """

    def __init__(self, config: StudyConfig, model: Model, once: Once, records: Path) -> None:
        super().__init__(config)
        self.model, self.once, self.records = model, once, records
        self._built: dict[tuple[str, str], DataSet] = {}
        self._greedy: dict[tuple[str, int], dict[str, str]] = {}

    def check(self) -> None:
        """Build every needed set for the base model, and check that every stage can be trained on its set.

        Raises:
            ValueError, InterpError: a set cannot be built, a row does not fit, a checkpoint is after the last step, or
                the data set of the lens has no questions.
        """
        for name in self.needed():
            self.of(name)
        tokens: dict[str, list[Tokens]] = {}
        for name, stage in self.config.stages.items():
            if stage.data not in tokens:
                data = self.of(stage.data)
                chats = [row["messages"] for row in data.train]
                tokens[stage.data] = self.model.chat.tokens_of(chats, data.train_places)
            self.check_rows(name, tokens[stage.data], self.model)
            self.check_steps(name)
        self.check_lens()

    def of(self, name: str, stage: Stage | None = None) -> DataSet:
        """A data set, for the model as it is after `stage` (None: the bare base model).

        Raises:
            ValueError, InterpError: it cannot be built, or trained on.
        """
        writer = stage if self._asks_stage(name) else None
        place = (name, writer.key(self.model) if writer else BASE)
        if place not in self._built:
            native = self.model.chat.native_system
            desk = Desk(self._ask(name, writer), lambda part: self.of(part, writer), native)
            data = self.config.data[name].build(desk)
            if not data.train:
                raise ValueError(
                    f"data.{name}: no rows to train on{f', as {writer.name} writes them' if writer else ''}"
                )
            if data.texts and not self.config.data[name].uses:
                suffix = f"-{writer.name}-{writer.seed}" if writer else ""
                write_jsonl(self.records / f"texts-{name}{suffix}.jsonl", data.texts)
            self._built[place] = data
        return self._built[place]

    def _asks_stage(self, name: str) -> bool:
        data = self.config.data[name]
        return data.asks_stage or any(self._asks_stage(part) for part in data.uses)

    def _ask(self, name: str, stage: Stage | None) -> Callable[..., list[str]]:
        def ask(
            who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
        ) -> list[str]:
            writer = stage if who == "stage" else None
            writer_name = f"{writer.name} seed {writer.seed}" if writer else BASE
            part = Name.of(name).then(f"words_of_{file_name(writer_name)}", f"words of {writer_name}")
            stack = writer.stack(self.model) if writer else ()
            key = writer.key(self.model) if writer else BASE
            answers = self._greedy.setdefault((key, max_new_tokens), {}) if temperature == 0 else {}
            ids = idents(prompts, temperature)
            new = {ident: list(prompt) for ident, prompt in zip(ids, prompts, strict=True) if ident not in answers}

            def write() -> Row:
                rows = [self.model.chat.tokens(prompt) for prompt in new.values()]
                with bar(part.label, len(rows)) as advance, self.model.using(*stack):
                    spoken = self.model.generate(
                        rows,
                        max_new_tokens=max_new_tokens,
                        temperature=temperature,
                        seed=seed_from(self.config.sampling_seed, "data", name),
                        progress=advance,
                    )
                return {"texts": [self.model.chat.answer_text(answer) for answer in spoken]}

            if new:
                definition = [list(new.values()), max_new_tokens, temperature, self.config.sampling_seed, key]
                answers.update(zip(new, self.once(part, definition, write)["texts"], strict=True))
            return [answers[ident] for ident in ids]

        return ask
