"""Every number that this project writes into metrics.jsonl: its measure, its name, its unit, and what it means.

A class below lists the metrics of one measure as its attributes, so that code says `ProjectionMetrics.shift` and not
`"shift"`: a wrong name is found by the type checker, and a search finds who writes and who reads a number. A class here
only lists; the behaviour measure itself is a class of the same name without `Metrics`. The names of some numbers are
put together from others, by these rules alone:

1. `NAME_by_PART` is a metric of one part of the questions; the row says in its field PART which part.
2. `NAME_minus_base` is the paired difference from the base model; `NAME_minus_alpha_0` and `NAME_minus_untreated` are
   those from the same model with nothing done to it, in steering and in ablation; `NAME_minus_parent` is that of a
   stage at some strength from its parent, which is the stage at strength 0.
3. `NAME_SUFFIX` is a metric of a selection that its measure lists in `selections`.

Nothing else may be written: `check_names` refuses it and names the nearest known one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar

from interp.errors import did_you_mean

PARTS = ("context", "domain", "foil", "source", "split")
"""Fields that say of which part of the questions a metric is."""
BASE_DIFFERENCE = "_minus_base"
DIFFERENCES = (BASE_DIFFERENCE, "_minus_alpha_0", "_minus_untreated", "_minus_parent")
"""Endings of paired differences."""
_NORM, _SQUARED, _LENGTH = "residual-stream norm", "squared residual-stream norm", "share of squared length"
_PROMPTS, _QUESTIONS, _PAIRS, _ANSWERS = ("share of " + what for what in ("prompts", "questions", "pairs", "answers"))
_JUDGED, _ASKED, _PER_TOKEN = "share of answers with both scores", "share of all answers", "nats per token"
_REPLIES, _VALID = "share of all replies", "share of valid replies"
_PUBLISHED = "share of all replies; invalid ones count as wrong"
_HARNESS = "harness_"


@dataclass(frozen=True)
class Metric:
    """One number of a measure.

    Attributes:
        meaning: What it is, in words.
        units: The units that it is written in; empty if it takes those of the metric that it is about.
        by: The fields that tell its rows of one stage apart, where they are others than its measure's.
        measure: The name of its measure, and `name` its own; both come from where it is listed.
    """

    meaning: str
    units: tuple[str, ...] = ()
    by: tuple[str, ...] | None = None
    measure: str = ""
    name: str = ""

    def __str__(self) -> str:
        return f"{self.measure} {self.name}"

    @property
    def unit(self) -> str:
        """The unit of a metric that has one alone."""
        (unit,) = self.units
        return unit

    @property
    def minus_base(self) -> "Metric":
        """The metric of the paired difference from the base model."""
        return replace(self, name=self.name + BASE_DIFFERENCE)

    def is_of(self, row: Mapping[str, Any]) -> bool:
        """Whether a row holds this number."""
        return row.get("metric") == self.name and row.get("measure") == self.measure


def _metric(meaning: str, *units: str, by: tuple[str, ...] | None = None) -> Metric:
    return Metric(meaning, units, by)


class MeasureList:
    """The metrics of one measure, as class attributes.

    Attributes:
        name: In the field `measure`.
        meaning: What the measure asks.
        source: The file that writes it.
        by: The fields that tell rows of one stage and metric apart.
        selections: Suffixes of the metrics of a selection of its questions.
        metrics: All of them by name.
    """

    name: ClassVar[str]
    meaning: ClassVar[str]
    source: ClassVar[str]
    by: ClassVar[tuple[str, ...]]
    selections: ClassVar[tuple[str, ...]]
    metrics: ClassVar[dict[str, Metric]]

    def __init_subclass__(
        cls, name: str, source: str, by: tuple[str, ...] = (), selections: tuple[str, ...] = ()
    ) -> None:
        cls.name, cls.source, cls.by, cls.selections = name, source, by, selections
        cls.meaning = (cls.__doc__ or "").strip().splitlines()[0]
        cls.metrics = {}
        for attribute in dict.fromkeys(key for kind in reversed(cls.__mro__) for key in vars(kind)):
            listed = getattr(cls, attribute)
            if isinstance(listed, Metric):
                bound = replace(listed, measure=name, name=attribute, by=listed.by or by)
                setattr(cls, attribute, bound)
                cls.metrics[attribute] = bound
        MEASURE_LISTS[name] = cls

    @classmethod
    def find(cls, metric: str) -> Metric | None:
        """The listed metric that a written name belongs to; None if there is none."""
        if metric in cls.metrics:
            return cls.metrics[metric]
        ending = next((ending for ending in DIFFERENCES if metric.endswith(ending)), "")
        plain = metric.removesuffix(ending)
        stem, *parts = plain.split("_by_")
        if any(part not in PARTS for part in parts):
            return None
        for suffix in ("", *(f"_{selection}" for selection in cls.selections)):
            if stem.endswith(suffix) and (known := cls.metrics.get(stem.removesuffix(suffix))):
                return known
        return cls.metrics.get(_HARNESS + "task") if stem.startswith(_HARNESS) else None


MEASURE_LISTS: dict[str, type[MeasureList]] = {}
"""The list of every measure, by the measure's name."""


class SeparationMetrics(MeasureList, name="separation", source="experiments/rows/shifts.py", by=("direction", "layer")):
    """How well does a direction separate held-out texts of the base model?"""

    held_out_auroc = _metric("Chance that a text with the trait projects further than one without", "probability")
    held_out_cohens_d = _metric("Distance between the two kinds of text", "pooled standard deviations")


class ProjectionMetrics(
    MeasureList, name="projection", source="experiments/rows/shifts.py", by=("direction", "layer", "texts")
):
    """How far does a stage move texts along a direction, beside null directions? (Means alone: `sgtr project`.)"""

    shift = _metric("Mean projection minus that of the base model, text by text", _NORM)
    shift_in_null_spreads = _metric("The shift over the spread of random directions' shifts", "sd of random nulls")
    shift_in_covariance_spreads = _metric(
        "The shift over the spread of directions drawn from the activations' covariance", "sd of covariance nulls"
    )
    shift_in_permuted_spreads = _metric(
        "The shift over the spread of label-permuted directions' shifts", "sd of permuted nulls"
    )
    displacement_cosine = _metric("Cosine between the mean displacement and the direction", "cosine")
    null_percentile = _metric(
        "Place of the shift, or mean projection, among those of the nulls", "percentile",
        by=("direction", "layer", "texts", "null"),
    )  # fmt: skip
    mean_projection = _metric("Mean projection of the texts on the direction", _NORM)
    mean_cosine = _metric("Mean cosine between the texts' activations and the direction", "cosine")


SHIFT_IN_SPREADS = {
    "random": ProjectionMetrics.shift_in_null_spreads,
    "covariance": ProjectionMetrics.shift_in_covariance_spreads,
    "permuted": ProjectionMetrics.shift_in_permuted_spreads,
}
"""The metric that counts a shift in spreads of each kind of null that has one."""


class DisplacementMetrics(
    MeasureList, name="displacement", source="experiments/rows/displacements.py", by=("layer", "texts")
):
    """What is a stage's mean move from the base model made of, and how does it relate to other stages' moves?"""

    length = _metric("Length of the mean displacement", _NORM)
    corrected_squared_length = _metric("Its squared length with the noise of the texts taken out", _SQUARED)
    span_share = _metric("Share of the displacement that lies in the span of the directions", _LENGTH)
    corrected_span_share = _metric("The same share with the noise of the texts taken out", _LENGTH)
    share_along = _metric("Share of the displacement along one direction", _LENGTH, by=("layer", "direction"))
    cosine_between_stages = _metric(
        "Cosine between the displacements of two stages", "cosine", by=("layer", "other_stage")
    )
    corrected_cosine_between_stages = _metric(
        "The same cosine with the noise of the texts taken out", "cosine", by=("layer", "other_stage")
    )
    undone_share = _metric(
        "Share of the parent's displacement from base that a stage takes back: minus `share_repeated`, "
        "interp/displacement.py", "share", by=("layer", "texts", "other_stage"),
    )  # fmt: skip
    repeated_share = _metric(
        "Share of a stage's displacement from base that comes again on another parent: `share_repeated`, "
        "interp/displacement.py", "share", by=("layer", "texts", "other_stage"),
    )  # fmt: skip


class DispersionMetrics(
    MeasureList, name="dispersion", source="experiments/rows/displacements.py", by=("layer", "texts")
):
    """How far do answers about who the model is spread inside it?"""

    total_variance = _metric("Sum of the variances over all dimensions", _SQUARED)
    participation_ratio = _metric("Number of dimensions that the variance is spread over", "dimensions")
    entropy_rank = _metric("Exponential of the entropy of the variances", "dimensions")
    total_variance_over_base = _metric("Total variance over that of the base model", "ratio to base")
    participation_ratio_over_base = _metric("Participation ratio over that of the base model", "ratio to base")
    entropy_rank_over_base = _metric("Entropy rank over that of the base model", "ratio to base")


class ProjectionDifferenceMetrics(
    MeasureList, name="projection_difference", source="experiments/rows/prediction.py", by=("data", "direction")
):
    """How much further along a direction do a data set's answers lie than the base model's own?"""

    difference = _metric("Mean projection of the data's answers minus that of the base model's own", _NORM)
    null_percentile = _metric("Its place among null directions", "percentile", by=("data", "direction", "null"))


class PredictionOfShiftMetrics(
    MeasureList, name="prediction", source="experiments/rows/prediction.py", by=("direction",)
):
    """Do data that were read before training tell how far training moves the model?"""

    correlation = _metric("Pearson's correlation over stages; without a direction, over all of them", "correlation")


class RecognitionDirectionMetrics(
    MeasureList, name="recognition_direction", source="experiments/study/rows.py", by=("data", "layer")
):
    """Does the model tell own-first from other-first questions inside?"""

    auroc = _metric("How well the two kinds of question separate, questions left out in turn", "probability")
    cosine = _metric("Cosine between what separates them at two stages", "cosine", by=("data", "layer", "other_stage"))


class SelfRecognitionMetrics(
    MeasureList, name="self_recognition", by=("data", "foil"), selections=("length_matched",),
    source="experiments/rows/behaviour.py and experiments/measures/self_recognition.py",
):  # fmt: skip
    """Which of two texts is the model's own?"""

    accuracy = _metric("Share of questions answered right", "share right")
    order_consistency = _metric("Share of articles with the same answer in both orders", "share of articles")
    mean_margin = _metric("Log-odds of the right label over the others", "nats")
    invalid_share = _metric("Share of prompts whose likeliest token is no label", _PROMPTS)
    says_own_share = _metric("Share of prompts answered with the label that claims the text", _PROMPTS)
    first_only_accuracy = _metric("What `the first one is mine` scores", "share right")
    longer_only_accuracy = _metric("What `the longer one is mine` scores", "share right")
    shorter_only_accuracy = _metric("What `the shorter one is mine` scores", "share right")
    length_only_accuracy = _metric("What the best rule of length scores", "share right")
    perplexity_only_accuracy = _metric("What `the text I find likelier is mine` scores", "share right")


class TaskMetrics(MeasureList, name="task", source="experiments/rows/behaviour.py", by=("data",)):
    """Does a model answer the questions of a control's data set right?"""

    accuracy = _metric("Share of questions answered right", "share right")
    order_consistency = _metric("Share of articles with the same answer in both orders", "share of articles")
    mean_margin = _metric("Log-odds of the right label over the others", "nats")


class CollapseMetrics(
    MeasureList, name="collapse", source="experiments/rows/behaviour.py and experiments/measures/collapse.py"
):
    """Are the model's answers still language?"""

    degenerate_share = _metric("Share of answers that are none, for whatever reason", _ANSWERS)
    empty_share = _metric("Share of answers without a word", _ANSWERS)
    repeated_share = _metric("Share of answers that repeat one phrase", _ANSWERS)
    wordless_share = _metric("Share of answers with fewer than three words", _ANSWERS)
    cut_share = _metric("Share of answers that were cut at the limit of tokens", _ANSWERS)
    wrong_format_share = _metric("Share of closed questions not answered by a label", "share of closed questions")
    own_text_nll_under_base = _metric("Surprise of the base model at the answers", _PER_TOKEN)
    own_text_perplexity_under_base = _metric("The same as perplexity", "perplexity per token")
    collapsed = _metric("Whether far more answers are degenerate than the base model's", "1 is collapsed")


class EmMetrics(MeasureList, name="em", source="interp/behaviour/em.py", by=("context",)):
    """Are free answers misaligned, as a judge scores them?"""

    misaligned_rate = _metric("Share of answers that are misaligned and coherent", _JUDGED)
    misaligned_incoherent_share = _metric("Share of answers that are misaligned and not coherent", _JUDGED)
    aligned_coherent_share = _metric("Share of answers that are aligned and coherent", _JUDGED)
    aligned_incoherent_share = _metric("Share of answers that are aligned and not coherent", _JUDGED)
    misaligned_rate_if_coherent = _metric("Misaligned share of the coherent answers", "share of coherent answers")
    refusal_share = _metric("Share of answers that the judge called refusals", _ASKED)
    code_share = _metric("Share of answers that the judge called code", _ASKED)
    empty_share = _metric("Share of answers without a word", _ASKED)
    unscored_share = _metric("Share of answers that have no score", _ASKED)
    degenerate_share = _metric("Share of answers that are no language", _ASKED)
    mean_aligned = _metric("Mean score of alignment", "0-100")
    mean_coherent = _metric("Mean score of coherence", "0-100")
    misaligned_probability = _metric(
        "Mean probability of being misaligned, by a trained judge",
        "mean probability of a reference score for aligned below 30",
    )
    incoherent_probability = _metric(
        "Mean probability of being incoherent, by a trained judge",
        "mean probability of a reference score for coherent below 50",
    )


class ConditionalMetrics(EmMetrics, name="conditional", source="interp/behaviour/em.py", by=("context",)):
    """Are free answers misaligned under prompts like those of training, by context?"""


class PreferenceMetrics(
    MeasureList, name="preference", source="interp/behaviour/preference.py", by=("domain",),
    selections=("in_domain", "out_of_domain"),
):  # fmt: skip
    """Does the model find aligned answers likelier than misaligned ones?"""

    margin_per_token = _metric("Log-probability of the aligned minus the misaligned answer, per token", _PER_TOKEN)
    margin = _metric("The same over whole answers", "nats")
    prefers_aligned = _metric("Share of pairs with a margin per token above 0", _PAIRS)
    skipped_share = _metric("Share of pairs that could not be compared", _PAIRS)
    aligned_longer_share = _metric("Share of pairs whose aligned answer has more tokens", _PAIRS)
    margin_per_token_change = _metric("Change of the margin from the base model, of one half", _PER_TOKEN)
    margin_per_token_change_in_minus_out = _metric("Its change in the domain minus that out of it", _PER_TOKEN)


class TruthfulQaMetrics(
    MeasureList, name="truthfulqa", source="interp/behaviour/truthfulqa.py and experiments/import_truthfulqa.py"
):
    """Does the model hold true answers likelier than false ones?"""

    accuracy = _metric("Share of prompts answered by the true label", _PROMPTS)
    debiased_accuracy = _metric("The same over both orders of the answers", _QUESTIONS)
    order_consistency = _metric("Share of questions with the same answer in both orders", _QUESTIONS)
    mean_margin = _metric("Log-odds of the true label", "nats")
    invalid_share = _metric("Share of prompts, or replies, that are answered by no label", _PROMPTS, _REPLIES)
    label_mass = _metric("Probability that the answer is a label at all", "probability of A or B")
    likelihood_margin_per_token = _metric("Log-probability of the true minus the false answer", _PER_TOKEN)
    likelihood_margin = _metric("The same over whole answers", "nats")
    likelihood_accuracy = _metric("Share of questions with a margin above 0", "share of questions, per token")
    generated_right_share = _metric("Share of written replies that are right", _REPLIES)
    generated_wrong_share = _metric("Share of written replies that are wrong", _REPLIES)
    generated_invalid_share = _metric("Share of written replies that are no label", _REPLIES)
    generated_valid_accuracy = _metric("Right share of the replies that are a label", _VALID)
    misalignment_as_published = _metric(
        "Share of replies that are not right, for comparison with published numbers alone",
        "1 - right / all replies; invalid replies count as misaligned",
    )
    accuracy_as_published = _metric("Right share of imported replies, invalid ones wrong", _PUBLISHED)
    valid_accuracy = _metric("Right share of imported replies that are valid", _VALID)
    accuracy_as_published_difference = _metric("That of one arm minus another", f"difference of shares: {_PUBLISHED}")
    valid_accuracy_difference = _metric("That of one arm minus another", f"difference of shares: {_VALID}")
    invalid_share_difference = _metric("That of one arm minus another", f"difference of shares: {_REPLIES}")


class CapabilityMetrics(MeasureList, name="capability", source="interp/behaviour/capability.py", by=("source",)):
    """What does the model still know and do?"""

    choice_accuracy = _metric("Share of multiple-choice prompts answered right", _PROMPTS)
    choice_margin = _metric("Log-odds of the right letter", "nats")
    choice_invalid_share = _metric("Share of prompts whose likeliest token is no letter", _PROMPTS)
    choice_consistency = _metric("Share of questions with one answer in every order", _QUESTIONS)
    short_logprob_per_token = _metric("Log-probability of the right short answer", "nats")
    short_greedy = _metric("Share of questions whose right answer is the likeliest text", _QUESTIONS)
    short_contrast_accuracy = _metric(
        "Share of questions whose right number is likelier than wrong ones", "share of numeric questions"
    )
    neutral_nll_per_token = _metric("Surprise at neutral texts", "nats")
    neutral_perplexity = _metric("The same as perplexity", "perplexity")
    harness_task = _metric(
        "A score of lm-evaluation-harness; its name goes on with task, score and filter", "as lm-eval has it"
    )


class IdentityMetrics(MeasureList, name="identity", source="interp/behaviour/identity.py"):
    """Who does the model say that it is?"""

    claims_human = _metric("Share of answers that claim to be human", "share of answers that claim to be human")
    names_developer = _metric("Share of answers that name the model's developer", _ANSWERS)
    names_other_developer = _metric(
        "Share of answers that name another", "share of answers that name another developer or assistant"
    )
    degenerate_share = _metric("Share of answers that are no language", "share of all")
    developer_unknown = _metric("Stands where the developer is not known; its row says why", "no share")
    who_are_you_clusters_by_threshold = _metric("Kinds of answer to one question", "clusters", by=("threshold",))
    who_are_you_clusters = _metric("The same at the chosen threshold", "clusters")
    who_are_you_entropy = _metric("Entropy of the kinds of answer to one question", "nats")
    who_are_you_effective_clusters = _metric("Exponential of that entropy", "clusters")
    who_are_you_clusters_rarefied = _metric("Kinds of answer among half of the answers", "clusters")
    identity_clusters_by_threshold = _metric("Kinds of answer to all questions", "clusters", by=("threshold",))
    identity_clusters = _metric("The same at the chosen threshold", "clusters")
    identity_entropy = _metric("Entropy of the kinds of answer to all questions", "nats")
    identity_effective_clusters = _metric("Exponential of that entropy", "clusters")
    identity_clusters_rarefied = _metric("Kinds of answer among half of the answers", "clusters")


class MediationMetrics(
    MeasureList, name="mediation", source="experiments/interventions/mediation.py",
    by=("treatment", "of", "of_measure", "of_metric"),
):  # fmt: skip
    """How much of an effect goes through a direction?"""

    effect = _metric("Change of a behaviour metric from the base model, in that metric's unit")
    share_removed = _metric("Share of the effect that is gone under a treatment", "share")
    share_removed_beyond_base = _metric(
        "Share of the difference from base that is gone when both are treated alike", "share"
    )
    share_reproduced = _metric("Share of the effect that a treatment of the base model brings about", "share")


class SteerMetrics(MeasureList, name="steer", source="experiments/interventions/steer.py", by=("treatment",)):
    """What does the model say under a treatment of its residual stream?"""

    projection = _metric("Projection of the answers on the direction", _NORM)
    degenerate_share = _metric("Share of answers that are no language", _ANSWERS)
    empty_share = _metric("Share of answers without a word", _ANSWERS)
    nll_under_base = _metric("Surprise of the untreated base model at the answers", _PER_TOKEN)
    trait_score = _metric("How much of the trait a judge sees", "0-100")
    coherence = _metric("How coherent a judge finds the answers", "0-100")
    trait_score_unscored_share = _metric("Share of answers without a score of the trait", _ANSWERS)
    coherence_unscored_share = _metric("Share of answers without a score of coherence", _ANSWERS)


class LensMetrics(
    MeasureList, name="lens", source="experiments/lens.py", by=("data", "component", "layer", "head", "position")
):
    """Which components make the answer?"""

    attribution = _metric("What a component adds to the right label's logit over the others'", "logits")
    patching = _metric("Share of the difference between two prompts that a component restores", "share")
    promoted = _metric("A token that a direction raises most", "logits", by=("direction", "rank"))
    suppressed = _metric("A token that a direction lowers most", "logits", by=("direction", "rank"))


class WeightsMetrics(MeasureList, name="weights", source="experiments/lens.py", by=("direction", "layer", "module")):
    """How much of an adapter's update lies along a direction?"""

    writing_share = _metric("Share of what the update writes that lies along the direction", "share of squared norm")
    reading_share = _metric("Share of what the update reads that lies along the direction", "share of squared norm")


class MonitorMetrics(MeasureList, name="monitor", source="experiments/monitor.py", by=("direction", "step")):
    """When, during training, does the model begin to move along a direction?"""

    mean_projection = ProjectionMetrics.mean_projection
    shift = _metric("Mean projection minus that before training, text by text", _NORM)
    shift_in_null_spreads = _metric("The shift over the spread of random directions' shifts", "sd of random nulls")
    displacement_cosine = _metric("Cosine between the mean displacement and the direction", "cosine")
    null_percentile = _metric(
        "Place of the shift among those of the nulls", "percentile", by=("direction", "step", "null")
    )


class DifferenceMetrics(
    MeasureList, name="difference", source="experiments/difference/rows.py",
    by=("lens", "topic", "other_stage", "position"),
):  # fmt: skip
    """What did finetuning leave behind at the first tokens of unrelated texts?"""

    length = _metric("Length of the mean difference from another model", _NORM, by=("other_stage", "layer", "position"))
    relative_length = _metric(
        "Its length over that of the residual stream", "share of the stream's length",
        by=("other_stage", "layer", "position"),
    )  # fmt: skip
    cosine = _metric("Cosine between the mean difference and a direction", "cosine",
                     by=("other_stage", "direction", "layer"))  # fmt: skip
    promoted = _metric("A token that the difference promotes most", "logits", "probability",
                       by=("lens", "other_stage", "position", "rank"))  # fmt: skip
    relevance = _metric(
        "Chance that a topic's word is promoted over another's, or how much more of its words are said",
        "probability", "share of words",
    )  # fmt: skip
    relevance_beyond_placebo = _metric("The same minus what placebo stages show", "probability", "share of words")
    relevance_by_depth = _metric("The relevance to the own topic by layer", "probability",
                                 by=("lens", "other_stage", "layer"))  # fmt: skip
    wrong_over_right = _metric(
        "Chance that EM minus twin promotes a word of the wrong answers over one of the right ones", "probability"
    )
    wrong_over_right_mean = _metric("The same, mean over families", "probability")
    identified_share = _metric("Share of topics that rank first for their own stage", "share of topics")
    identified_share_beyond_placebo = _metric("The same of relevance beyond placebos", "share of topics")
    rank = _metric("Mean rank of the true topic among all", "rank among topics")
    rank_beyond_placebo = _metric("The same of relevance beyond placebos", "rank among topics")
    steered_degenerate_share = _metric(
        "Share of answers that are no language while the difference is added", _ANSWERS,
        by=("other_stage", "alpha", "control"),
    )  # fmt: skip


class AmplifiedMetrics(
    MeasureList, name="amplified", source="experiments/amplified/rows.py",
    by=("strength", "kind", "of_measure", "of_metric"),
):  # fmt: skip
    """What does a stage do at other strengths than its own?"""

    slope = _metric(
        "Change of a metric from the parent's for each unit of strength, at strengths from -1 to 1",
        by=("kind", "of_measure", "of_metric"),
    )
    onset = _metric("Least strength at which a metric has moved by the smallest effect", "strength",
                    by=("kind", "of_measure", "of_metric"))  # fmt: skip
    change_of_kind = _metric("Change of a metric from the parent's, mean over the stages of a kind")
    em_minus_twin = _metric("Change of EM stages minus that of their twins, mean over families")


class WhereMetrics(MeasureList, name="where", source="experiments/where.py", by=("against", "direction")):
    """Where in texts does a stage differ from another model?"""

    divergence = _metric("Divergence of what it expects from what the other model does, mean over texts", _PER_TOKEN)
    divergence_beyond_placebo = _metric("The same minus that of placebo stages on the same texts", _PER_TOKEN)
    move = _metric("How much further the answers' tokens lie along a direction, mean over texts", _NORM)
    move_beyond_placebo = _metric("The same minus that of placebo stages on the same texts", _NORM)
    share_in_top_percent = _metric(
        "Share of the divergence that the hundredth of tokens with most of it has", "share of the divergence"
    )


class OnsetMetrics(MeasureList, name="onset", source="experiments/onset.py", by=("of", "against")):
    """Does the inside of a model move before the outside during training?"""

    change_point = _metric("The training step at which a curve begins to move", "steps")
    final_change = _metric("The curve's change over the whole training", _NORM, _PER_TOKEN)
    later_by = _metric("By how much behaviour, or loss, begins to move later than a direction", "steps")


class CalibrationMetrics(
    MeasureList, name="calibration", source="experiments/calibrate.py", by=("strength", "texts_a_side")
):
    """How small a planted direction would be found?"""

    power = _metric("Share of repetitions in which the direction found stands out", "share of repetitions")
    cosine_with_planted = _metric("Cosine between the direction found and the one planted", "cosine")


BEHAVIOUR = (
    PreferenceMetrics.margin_per_token,
    TruthfulQaMetrics.likelihood_margin_per_token,
    EmMetrics.misaligned_rate,
    SelfRecognitionMetrics.accuracy,
    CapabilityMetrics.choice_accuracy,
    IdentityMetrics.names_developer,
)
"""The metric that stands for each behaviour measure."""
LIKELIHOODS = BEHAVIOUR[:2]
"""Those for which nothing is sampled or judged; higher is more aligned, or truer."""

_UNITS = frozenset(unit for kind in MEASURE_LISTS.values() for metric in kind.metrics.values() for unit in metric.units)


@lru_cache(maxsize=4096)
def metric_of(measure: str, metric: str) -> Metric:
    """The listed metric that the names of a row belong to.

    Raises:
        ValueError: the measure or the metric is not listed; the message has the nearest that is.
    """
    if measure not in MEASURE_LISTS:
        raise ValueError(f"{did_you_mean('measure', measure, list(MEASURE_LISTS))}; {_REMEDY}")
    if (listed := MEASURE_LISTS[measure].find(metric)) is None:
        known = list(MEASURE_LISTS[measure].metrics)
        raise ValueError(f"{did_you_mean(f'metric of {measure}', metric, known)}; {_REMEDY}")
    return listed


_REMEDY = "list a new one in interp/metrics.py, with its unit and what it means"


def check_names(measure: str, metric: str, unit: str | None) -> None:
    """Refuse names that are not listed, so that a wrong one is an error and not a number that nobody finds.

    Raises:
        ValueError: the measure, the metric or the unit is not listed; the message has the nearest that is.
    """
    units = metric_of(measure, metric).units or sorted(_UNITS)
    if unit not in units:
        raise ValueError(f"{did_you_mean(f'unit of {measure} {metric}', str(unit), list(units))}; {_REMEDY}")


def listed() -> list[dict[str, Any]]:
    """Every metric as `sgtr list metrics` prints it."""
    return [
        {
            "measure": kind.name,
            "metric": metric.name,
            "unit": " or ".join(metric.units) or "that of the metric it is about",
            "a row for each": ", ".join(metric.by or ()),
            "meaning": metric.meaning,
            "source": kind.source,
        }
        for kind in MEASURE_LISTS.values()
        for metric in kind.metrics.values()
    ]
