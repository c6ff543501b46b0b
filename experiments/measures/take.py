"""Takes behaviour measures of models, each once, has a judge grade what needs one, and makes the rows of both."""

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
from interp.model import Model
from interp.runs import content_key
from interp.sampling import Generates

SamplerName = Literal["model", "vllm"]
NO_JUDGE = "no judge was asked"


class Behaviour:
    """The measures of one run.

    Args:
        sampler: What writes free-form answers: the model itself, or vLLM with its weights.
        judge: Who grades free-form answers; None leaves them ungraded, which their rows say.
        journal: Where the replies of a judge behind a server are kept.
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
            FileNotFoundError, ValueError: what is wrong, and the remedy.
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
        """Records of every measure, by its name, of the model with a stack of adapters.

        Args:
            stack: The adapters; none for the bare base model.
            once: Measures and keeps a named part of the run.
            key: Says which stage this is.
            name: How the names of the parts begin.
            what: All that `edits` depend on.
        """
        taken: dict[str, list[Row]] = {}
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
            taken[measure.name] = records
        return taken

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

    def rows(self, taken: Mapping[str, Sequence[Row]], base: Mapping[str, Sequence[Row]] | None = None) -> list[Row]:
        """The metrics rows of one model's records; with the base's, paired differences too."""
        rows: list[Row] = []
        for measure in self.measures:
            if measure.name not in taken:
                continue
            found = measure.rows(taken[measure.name], base[measure.name] if base else None)
            mark = self._said_of_judge(measure) if isinstance(measure, GradedMeasure) else {}
            rows += [row | mark for row in found]
        return rows

    def _said_of_judge(self, measure: GradedMeasure) -> Row:
        """What belongs beside every number that rests on a judge: its name, its prompts, how far it is validated."""
        if self.judge_config is None:
            return {"judge": NO_JUDGE}
        if self.judge_config.trained is not None:
            return {"judge": self.judge_name, "judge_validation": TrainedJudge.load(self.judge_config.trained).note}
        versions = measure.rubric_versions()
        note = validation_note(self.judge_name, versions["aligned"], self.judge_config.validation)
        return {"judge": self.judge_name, "judge_prompts": versions, "judge_validation": note}
