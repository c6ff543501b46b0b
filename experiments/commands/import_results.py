"""The subcommand that reads results which others have published."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from experiments.commands.options import Json


@dataclass(frozen=True)
class Import:
    """Read published per-question results, count what is invalid apart, and compare arms question by question.

    Example: sgtr import truthfulqa results_base_0.csv results_em_0.csv --out runs/published
    """

    kind: Positional[
        Annotated[
            Literal["truthfulqa", "self_recognition", "em", "persona_vectors"],
            arg(
                help="truthfulqa: CSV with question, correct_answer, incorrect_answer, model_answer, is_correct. "
                "self_recognition: JSON, the author picked for each article. em: CSV with question, response, aligned, "
                "coherent. persona_vectors: CSV with question, answer, question_id, the trait, coherence."
            ),
        ]
    ]
    files: Positional[Annotated[tuple[Path, ...], arg(metavar="FILE...", help="One for each arm and seed.")]]
    out: Annotated[Path, arg(help="Folder to write into.")]
    pattern: Annotated[
        str | None,
        arg(
            metavar="REGEX",
            help="What a file's whole name looks like; its groups arm and seed say what it holds. Default: as the "
            "authors name such files, for truthfulqa results_ARM_SEED.csv.",
        ),
    ] = None
    nameless_seed: Annotated[
        int | None,
        arg(metavar="N", help="The seed of a file whose name has none, where other files of its arm name theirs."),
    ] = None
    against: Annotated[
        str | None, arg(metavar="ARM", help="Compare every arm with this one; default every pair of up to 12 arms.")
    ] = None
    trait: Annotated[str | None, arg(metavar="COLUMN", help="persona_vectors: the trait's column.")] = None
    own: Annotated[str | None, arg(metavar="AUTHOR", help="self_recognition: who the model itself is.")] = None
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.imports import picks, scores, truthfulqa

        if self.own is not None and self.kind != "self_recognition":
            raise ValueError(f"--own names an author of self_recognition, not of {self.kind}; leave it out")
        if self.trait is not None and self.kind != "persona_vectors":
            raise ValueError(f"--trait names a column of persona_vectors, not of {self.kind}; leave it out")
        common: dict[str, Any] = {
            "files": self.files,
            "out": self.out,
            "against": self.against,
            "nameless_seed": self.nameless_seed,
        }
        if self.kind == "truthfulqa":
            return truthfulqa.run(**common, pattern=self.pattern or truthfulqa.PATTERN)
        if self.kind == "self_recognition":
            return picks.run(**common, pattern=self.pattern or picks.PATTERN, own=self.own)
        pattern = self.pattern or scores.PATTERNS[self.kind]
        return scores.run(**common, kind=self.kind, pattern=pattern, trait=self.trait)

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments.imports import picks, scores, truthfulqa

        {"truthfulqa": truthfulqa, "self_recognition": picks}.get(self.kind, scores).show(result)
