"""The subcommand that measures stages at other strengths of what they added to their parents."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Grading, Json, Out, SetMeasure


@dataclass(frozen=True)
class Amplify:
    """Measure stages of a study at other strengths of their adapters: amplified, halved, reversed.

    Example: sgtr amplify runs/full --out runs/amplified --strength 0 --strength 1 --strength 2
    """

    run: Positional[
        Annotated[Path, arg(metavar="RUN", help="A finished run of `sgtr study`, whose adapters are kept.")]
    ]
    out: Out
    stage: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="NODE", help="A node to amplify, once for each; none for all that are trained on the base model."),
    ] = field(default_factory=list)
    train_seed: Annotated[
        UseAppendAction[list[int]], arg(metavar="SEED", help="A training seed, once for each; none for all.")
    ] = field(default_factory=list)
    strength: Annotated[
        UseAppendAction[list[float]],
        arg(metavar="X", help="What a stage added is multiplied by, once for each; 0 is its parent and 1 the stage."),
    ] = field(default_factory=list)
    measures: Annotated[
        str, arg(metavar="M,M", help="See `sgtr list`; without it preference and 60 everyday answers (collapse).")
    ] = ""
    set: SetMeasure = field(default_factory=list)
    logits: Annotated[bool, arg(help="Amplify the logits too, for preference.")] = True
    smallest: Annotated[float, arg(help="Fall of the margin, in nats per token, whose onset is looked for.")] = 0.05
    grading: Grading = field(default_factory=Grading)
    seed: Annotated[int, arg(help="Of all sampling and of the bootstrap.")] = 0
    device: Device = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.amplified import run
        from experiments.amplified.config import AmplifiedConfig
        from experiments.evaluate import measures_of
        from experiments.fields import checked

        fields: dict[str, Any] = {"logits": self.logits, "smallest": self.smallest, "stages": tuple(self.stage)}
        if self.strength:
            fields["strengths"] = tuple(self.strength)
        if self.measures or self.set:
            fields["measures"] = measures_of([name for name in self.measures.split(",") if name], self.set)
        return run.run(
            study=self.run,
            out=self.out,
            config=checked(AmplifiedConfig, fields),
            judge=self.grading.config(),
            seeds=self.train_seed,
            seed=self.seed,
            device=self.device,
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables."""
        from experiments.amplified import show

        show.show(result)
