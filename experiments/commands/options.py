"""Arguments that several subcommands share."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from tyro.conf import UseAppendAction, arg

Server = Annotated[str, arg(metavar="URL", help="An OpenAI-compatible server, up to /v1; `openai` for OpenAI's own.")]
ServerModel = Annotated[str, arg(metavar="NAME", help="What the server calls the model.")]
KeyVariable = Annotated[str, arg(help="Environment variable that holds the key; unset: no key is sent.")]

if TYPE_CHECKING:
    from experiments.loading import Loading
    from experiments.measures.judge import JudgeConfig
    from interp.template import TemplateSettings

Json = Annotated[bool, arg(help="Print the result as one JSON object on stdout.")]
Device = Annotated[str, arg(help="auto, cpu, cuda or cuda:N.")]
Dtype = Annotated[str, arg(help="auto, float32, bfloat16 or float16.")]
ModelName = Annotated[str, arg(help="smollm2-135m, a Hub id (org/name[@revision]), a folder, or a .gguf file.")]
Adapters = Annotated[
    UseAppendAction[list[Path]],
    arg(name="adapter", help="An adapter folder, once for each; the first is applied first."),
]
Out = Annotated[Path, arg(help="Folder to write into.")]
Pooling = Annotated[
    Literal["prompt_mean", "prompt_last", "response_mean"], arg(help="Tokens of each text that are averaged.")
]
SetMeasure = Annotated[
    UseAppendAction[list[str]],
    arg(name="set", metavar="KEY=VALUE", help="Change a field of a measure, e.g. --set em.samples=50."),
]
System = Annotated[
    str, arg(help="System prompt to ask under: task (as each question has it), native, empty, none, or its words.")
]


@dataclass(frozen=True)
class ChatTemplate:
    """Which chat template a model is asked with, and how."""

    chat_template: Annotated[
        Path | None,
        arg(metavar="FILE", help="A Jinja file to take the place of the model's chat template."),
    ] = None
    template: Annotated[
        UseAppendAction[list[str]],
        arg(
            metavar="KEY=VALUE",
            help="How it is asked: a variable of the template (enable_thinking=false), date=YYYY-MM-DD, name=ONE of "
            "several templates, or system=prepend where it has no system role.",
        ),
    ] = field(default_factory=list)

    @property
    def given(self) -> bool:
        """Whether anything is set."""
        return self.chat_template is not None or bool(self.template)

    def settings(self) -> "TemplateSettings":
        """What they mean.

        Raises:
            ValueError: a change that is not KEY=VALUE, or a value that does not fit.
        """
        from experiments.fields import checked, set_field
        from interp.template import TemplateSettings

        fields: dict[str, Any] = {"file": self.chat_template, "switches": {}}
        for change in self.template:
            name = change.partition("=")[0]
            set_field(fields if name in ("name", "date", "system") else fields["switches"], change)
        return checked(TemplateSettings, fields)


@dataclass(frozen=True)
class LoadingOptions:
    """Where the model computes, in which numbers, and how it is asked."""

    device: Device = "auto"
    dtype: Dtype = "auto"
    chat: ChatTemplate = field(default_factory=ChatTemplate)

    def settings(self) -> "Loading":
        """What they mean.

        Raises:
            ValueError: as for `ChatTemplate.settings`.
        """
        from experiments.loading import Loading

        return Loading(self.device, self.dtype, self.chat.settings())


@dataclass(frozen=True)
class Grading:
    """Who grades free-form answers."""

    judge: Annotated[
        str | None,
        arg(
            metavar="MODEL|URL|FILE",
            help="Who grades free-form answers (FILE is of `sgtr judge fit`); without one they are not graded.",
        ),
    ] = None
    set_judge: Annotated[
        UseAppendAction[list[str]],
        arg(metavar="KEY=VALUE", help="Change a field of the judge, e.g. --set-judge judge_model=gpt-4o."),
    ] = field(default_factory=list)

    def config(self) -> "JudgeConfig | None":
        """The judge that is asked for; None without one.

        Raises:
            ValueError: changes without a judge, or a field that it does not have.
        """
        from experiments.fields import checked, set_field
        from experiments.measures.judge import JudgeConfig

        if self.judge is None and self.set_judge:
            raise ValueError("--set-judge changes a judge, and there is none; give --judge")
        if self.judge is None:
            return None
        fields: dict[str, Any] = JudgeConfig.named(self.judge)
        for change in self.set_judge:
            set_field(fields, change)
        return checked(JudgeConfig, fields)
