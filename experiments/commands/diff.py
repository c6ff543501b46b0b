"""The subcommand that reads what finetuning left behind without being told what to look for."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from experiments.commands.options import Device, Json, Out

_SIZES = ("texts", "n_texts", "positions", "layer", "top", "words", "controls", "random", "prompts", "max_new_tokens")


@dataclass(frozen=True)
class Diff:
    """Read what each stage of a study left behind in unrelated texts: promoted tokens, their topic, steered answers.

    Example: sgtr diff runs/full --out runs/diff
    """

    run: Positional[
        Annotated[Path, arg(metavar="RUN", help="A finished run of `sgtr study`, whose adapters are kept.")]
    ]
    out: Out
    stage: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="NODE", help="A node beside those trained on the base model, such as em-sgtr; once for each."),
    ] = field(default_factory=list)
    train_seed: Annotated[
        UseAppendAction[list[int]], arg(metavar="SEED", help="A training seed, once for each; none for all.")
    ] = field(default_factory=list)
    texts: Annotated[
        Path | None, arg(metavar="FILE", help="One unrelated text a line; without it texts of our own.")
    ] = None
    n_texts: Annotated[int, arg(help="Texts, from the first.")] = 256
    positions: Annotated[int, arg(help="First tokens of each text that are read.")] = 5
    layer: Annotated[int | None, arg(help="Layer whose difference is read out; None for the middle block.")] = None
    top: Annotated[int, arg(help="Promoted tokens that are kept of each position.")] = 20
    words: Annotated[int, arg(help="Words of each topic.")] = 50
    scale: Annotated[
        UseAppendAction[list[float]],
        arg(
            metavar="X",
            help="Length at which the patchscope is shown a difference, in mean lengths of the stream, once for each; "
            "none for 1, 2 and 4.",
        ),
    ] = field(default_factory=list)
    steer: Annotated[
        UseAppendAction[list[float]],
        arg(metavar="X", help="Length at which a stage is steered along it, in the same unit; none for .25, .5 and 1."),
    ] = field(default_factory=list)
    steered: Annotated[bool, arg(help="Have stages answer while they are steered.")] = True
    controls: Annotated[int, arg(help="Random directions that are read and steered along beside each difference.")] = 2
    random: Annotated[int, arg(help="Random directions whose logit lens is a null.")] = 200
    prompts: Annotated[int, arg(help="Everyday questions that a steered stage answers.")] = 20
    max_new_tokens: Annotated[int, arg(help="Longest steered answer.")] = 40
    seed: Annotated[int, arg(help="Of controls, steered answers and intervals.")] = 0
    device: Device = "auto"
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments.difference import run
        from experiments.difference.config import DifferenceConfig
        from experiments.fields import checked

        fields: dict[str, Any] = {name: getattr(self, name) for name in _SIZES}
        fields["stages"] = tuple(self.stage)
        if self.scale:
            fields["scales"] = tuple(self.scale)
        if self.steer or not self.steered:
            fields["steer"] = tuple(self.steer) if self.steered else ()
        return run.run(
            study=self.run,
            out=self.out,
            config=checked(DifferenceConfig, fields),
            seeds=self.train_seed,
            seed=self.seed,
            device=self.device,
        )

    def show(self, result: dict[str, Any]) -> None:
        """Tables: how many topics are identified, and what each stage promotes."""
        from experiments.difference import show

        show.show(result)
