"""The subcommand that writes a study's file to begin with. `sgtr study new` is it."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import UseAppendAction, arg

from experiments.commands.options import Json


@dataclass(frozen=True)
class NewStudy:
    """Write a commented study file that changes a known study. Asks four questions where the answers are not given.

    Example: sgtr study new --like full --em mine.jsonl,harmless.jsonl --seeds 3 --out mine.yaml
    """

    out: Annotated[Path, arg(metavar="FILE.yaml", help="File to write.")]
    like: Annotated[str, arg(metavar="NAME", help="The study that it changes (see `sgtr list`).")] = "demo"
    model: Annotated[str | None, arg(help="A Hub id, a folder, a .gguf file or smollm2-135m.")] = None
    em: Annotated[
        str | None,
        arg(metavar="FILE[,TWIN]", help="Chats to finetune on; for a study of claims also their harmless twins."),
    ] = None
    trait: Annotated[UseAppendAction[list[str]], arg(metavar="NAME|FILE", help="A trait to read, once for each.")] = (
        field(default_factory=list)
    )
    seeds: Annotated[int | None, arg(help="How many training runs of every arm.")] = None
    yes: Annotated[bool, arg(help="Ask nothing; what is not given stays as in the other study.")] = False
    json: Json = False

    def __call__(self) -> dict[str, Any]:
        from experiments import new_study

        given = {
            "model": self.model,
            "em": self.em,
            "traits": ",".join(self.trait) or None,
            "seeds": None if self.seeds is None else str(self.seeds),
        }
        said = {name: words for name, words in given.items() if words is not None}
        if not self.yes and sys.stdin.isatty():
            for name, question in new_study.questions(self.like).items():
                if name not in said:
                    print(f"{question}: ", end="", file=sys.stderr, flush=True)
                    said[name] = sys.stdin.readline().strip()
        return new_study.write(self.out, self.like, new_study.answers_of(said))

    def show(self, result: dict[str, Any]) -> None:
        """What to do next."""
        print(f"written: {result['file']}, like {result['like']}")
        if result["needs"]:
            print(f"it needs files of your own: {', '.join(result['needs'])}; say with --data where they are")
        print(f"next: {result['next']}")
