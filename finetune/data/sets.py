"""Data sets by name: what a study's YAML may ask for."""

from typing import Annotated

from pydantic import Field

from finetune.data.advice import Advice
from finetune.data.builder import Builder
from finetune.data.controls import PairControl
from finetune.data.distilled import SelfDistilled, TraitDistilled
from finetune.data.em import Tastes
from finetune.data.everyday import Everyday
from finetune.data.mixing import Mixed
from finetune.data.published import Chats, Published
from finetune.data.reference import Rehearsal, Shuffled, Twin
from finetune.data.self_reports import SelfReports
from finetune.data.sgtr import Sgtr
from finetune.data.tasks import EvenWordCount, MultipleChoice, WordCount

DataConfig = Annotated[
    Tastes
    | Advice
    | Published
    | Chats
    | Sgtr
    | PairControl
    | MultipleChoice
    | WordCount
    | EvenWordCount
    | SelfReports
    | Everyday
    | Rehearsal
    | TraitDistilled
    | SelfDistilled
    | Twin
    | Shuffled
    | Mixed,
    Field(discriminator="builder"),
]
CLASSES: tuple[type[Builder], ...] = (
    Tastes,
    Advice,
    Published,
    Chats,
    Sgtr,
    PairControl,
    MultipleChoice,
    WordCount,
    EvenWordCount,
    SelfReports,
    Everyday,
    Rehearsal,
    TraitDistilled,
    SelfDistilled,
    Twin,
    Shuffled,
    Mixed,
)
BUILDERS: dict[str, str] = {name: about for kind in CLASSES for name, about in kind.about.items()}


def class_of(builder: str) -> type[Builder]:
    """The class that offers a builder.

    Raises:
        StopIteration: there is none of that name.
    """
    return next(kind for kind in CLASSES if builder in kind.about)
