"""Takes behaviour measures of models, has a judge grade the answers that need one, and makes rows of the records."""

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from experiments.console import bar
from experiments.measures.judge import JudgeConfig, judge_of, require_graded, scores_of
from experiments.resumable import Name, Once
from interp.behaviour.em import Em
from interp.behaviour.judging import Judge, tally
from interp.behaviour.measure import GradedMeasure, Measure, Row, Setting
from interp.behaviour.trained_judge import TrainedJudge
from interp.behaviour.validation import THRESHOLDS, validation_note
from interp.interventions import Edit
from interp.keys import content_key
from interp.model import Model
from interp.sampling import Generates

SamplerName = Literal["model", "vllm"]
NO_JUDGE = "no judge was asked"


class Behaviour:
    """The measures of one run.

    Args:
        sampler: The engine that writes free-form answers: the model itself, or vLLM with the model's weights.
        judge: The judge of free-form answers; None leaves them ungraded, and their rows say so.
        journal: The file in which the replies of a judge behind a server are stored.
    """

    def __init__(
        self,
        measures: Sequence[Measure],
        *,
        judge: JudgeConfig | None,
        journal: Path,
        seed: int,
        sampler: SamplerName = "model",
    ) -> None:
        self.measures, self.judge_config, self.journal, self.seed = measures, judge, journal, seed
        self.sampler_name: SamplerName = sampler
        self._sampler: Generates | None = None
        self._judge: Judge | None = None
        self.judge_name = ""

    def check(self) -> None:
        """Check every measure's files, and the judge's settings.

        Raises:
            FileNotFoundError, ValueError: a file or a setting cannot be used; the message gives the remedy.
        """
        for measure in self.measures:
            measure.check()
        if self.sampler_name == "vllm" and importlib.util.find_spec("vllm") is None:
            raise ValueError("sampler: vllm is not installed (pip install 'sgtr-interp[vllm]'); use the model itself")
        config = self.judge_config
        if config is not None:
            validation_note("", "", config.validation)
            if config.trained is not None:
                self._check_thresholds(judge_of(config, self.journal))
            config.check()

    def _check_thresholds(self, judge: Judge) -> None:
        """Raise ValueError if a measure has another threshold than the one that a trained judge was fitted to."""
        for measure in self.measures:
            if isinstance(measure, Em) and measure.aligned_below != THRESHOLDS["aligned"]:
                raise ValueError(
                    f"{measure.name}.aligned_below is {measure.aligned_below:g}, and {judge.name} knows only "
                    f"{THRESHOLDS['aligned']:g}; leave it as it is, or take another judge"
                )

    def take(
        self,
        model: Model,
        stack: Sequence[Path],
        once: Once,
        key: str,
        name: Name,
        *,
        system: str = "task",
        edits: Sequence[Edit] = (),
        what: Any = None,
    ) -> dict[str, list[Row]]:
        """The records of every measure, by its name, taken of the model with a stack of adapters.

        Args:
            stack: The adapters, in the order in which they are applied; empty for the bare base model.
            once: Measures a named part of the run and stores it, or reads it where it is stored.
            key: The key of the stage, which the stored part depends on.
            name: The beginning of the names of the parts.
            what: Everything that `edits` depend on, for the key of the stored part.
        """
        records_by_measure: dict[str, list[Row]] = {}
        for measure in self.measures:
            part = name.then(f"measure_{measure.name}", f"measure {measure.name}")
            depends = [key, measure.declared(), system, self.seed, self.sampler_name, what]

            def ask(measure: Measure = measure, label: str = part.label) -> Row:
                with model.using(*stack), bar(label, 1) as advance:
                    sampler = self._sampler_of(model)
                    setting = Setting(system=system, seed=self.seed, edits=tuple(edits), sampler=sampler)
                    records = measure.take(model, setting)
                    advance(1)
                return {"records": records}

            records = once(part, depends, ask)["records"]
            if isinstance(measure, GradedMeasure) and self.judge_config is not None:
                records = self._graded(measure, records, self.judge_config, once, part)
            records_by_measure[measure.name] = records
        return records_by_measure

    def _sampler_of(self, model: Model) -> Generates | None:
        if self.sampler_name == "vllm" and self._sampler is None:
            from interp.vllm_sampler import VllmSampler

            self._sampler = VllmSampler(model)
        return self._sampler

    def _graded(
        self, measure: GradedMeasure, records: list[Row], config: JudgeConfig, once: Once, name: Name
    ) -> list[Row]:
        def grade() -> Row:
            self._judge = self._judge or judge_of(config, self.journal)
            items = measure.items(records)
            if isinstance(self._judge, TrainedJudge):
                items = [item for item in items if item.rubric in self._judge.aspects]
            scores = scores_of(self._judge, items, config)
            require_graded(self._judge, scores, config)
            graded = measure.graded(records, {score.id: score for score in scores})
            return {"judge": self._judge.name, "tally": tally(scores), "records": graded}

        part = once(name.then("judged"), [*config.declared(), measure.declared(), content_key(records)], grade)
        self.judge_name = part["judge"]
        return part["records"]

    def rows(
        self, records_by_measure: Mapping[str, Sequence[Row]], base: Mapping[str, Sequence[Row]] | None = None
    ) -> list[Row]:
        """The metrics rows of one model's records; with the base model's records there are paired differences too."""
        rows: list[Row] = []
        for measure in self.measures:
            if measure.name not in records_by_measure:
                continue
            measure_rows = measure.rows(records_by_measure[measure.name], base[measure.name] if base else None)
            mark = self._judge_fields(measure) if isinstance(measure, GradedMeasure) else {}
            rows += [row | mark for row in measure_rows]
        return rows

    def _judge_fields(self, measure: GradedMeasure) -> Row:
        """The fields of every row with a judge's scores: the judge's name, its prompts, and how it was validated."""
        if self.judge_config is None:
            return {"judge": NO_JUDGE}
        if self.judge_config.trained is not None:
            return {"judge": self.judge_name, "judge_validation": TrainedJudge.load(self.judge_config.trained).note}
        versions = measure.rubric_versions()
        note = validation_note(self.judge_name, versions["aligned"], self.judge_config.validation)
        return {"judge": self.judge_name, "judge_prompts": versions, "judge_validation": note}
