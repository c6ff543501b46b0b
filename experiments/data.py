"""What would a stage be trained on? Builds a data set outside of a run and shows what is learnt from it.

The tokenizer is always needed. The weights are loaded when a builder first asks for a model's own words, if it does.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from experiments.console import bar, note
from experiments.directions.files import trait_file
from experiments.fields import checked, set_field
from experiments.study.config import StudyConfig
from experiments.study.load import load as load_study
from finetune.batch import supervised
from finetune.data.builder import Builder, DataSet, Desk, Row, Who
from finetune.data.card import card, marked
from finetune.data.sets import BUILDERS, DataConfig, class_of
from interp.chat import ChatTokenizer, Message, check_system
from interp.errors import did_you_mean
from interp.files import fresh, write_json, write_jsonl
from interp.keys import seed_from
from interp.model import Model
from interp.runs import environment
from interp.sources import load_chat, pick_device, pick_dtype, resolve
from interp.template import AS_IS, TemplateSettings

MODEL = "smollm2-135m"
SMALL = {"train": {"train": 100, "test": 20}, "rows": {"rows": 100}}
"""What is set where a field without a default is not given, so that a builder can be looked at by its name alone."""
NO_STAGE = (
    "the stage that the set is for must write parts of it (own: stage), and outside of a run that stage is not known; "
    "give its adapters with --adapter DIR, once for each"
)


class Sets:
    """Data sets outside of a run, each built once; what models say for them is asked as a study asks it.

    Args:
        sets: The builders by name; the sets that another set is made from are among them.
        load: Loads the model; it is called when a builder first asks for text.
        adapters: The stack of adapters that makes the stage; empty if no set needs a stage.
        seed: The seed of sampled texts, like a study's `sampling_seed`.
    """

    def __init__(
        self,
        sets: Mapping[str, Builder],
        chat: ChatTokenizer,
        load: Callable[[], Model],
        *,
        adapters: Sequence[Path] = (),
        seed: int = 0,
    ) -> None:
        self.sets, self.chat, self.adapters, self.seed = sets, chat, tuple(adapters), seed
        self.model: Model | None = None
        self._load = load
        self._built: dict[str, DataSet] = {}

    def of(self, name: str) -> DataSet:
        """A data set.

        Raises:
            ValueError, InterpError: the set cannot be built.
        """
        if name not in self._built:
            self._built[name] = self.sets[name].build(self.desk(name))
        return self._built[name]

    def desk(self, name: str) -> Desk:
        """The sources that a builder may ask: a model, other data sets, the template's system prompt."""
        return Desk(self._ask(name), self.of, self.chat.native_system)

    def _ask(self, name: str) -> Callable[..., list[str]]:
        """Greedy answers at temperature 0, else sampled ones: the i-th prompt of a set draws from its own stream."""

        def ask(
            who: Who, prompts: Sequence[Sequence[Message]], *, max_new_tokens: int, temperature: float = 0.0
        ) -> list[str]:
            if who == "stage" and not self.adapters:
                raise ValueError(f"{name}: {NO_STAGE}")
            if not prompts:
                return []
            self.model = self.model or self._load()
            rows = [self.chat.tokens(list(prompt)) for prompt in prompts]
            stack = self.adapters if who == "stage" else ()
            with bar(f"{name}, words of the {who}", len(rows)) as advance, self.model.using(*stack):
                spoken = self.model.generate(
                    rows,
                    max_new_tokens=max_new_tokens,
                    temperature=temperature,
                    seed=seed_from(self.seed, "data", name),
                    progress=advance,
                )
            return [self.chat.answer_text(ids) for ids in spoken]

        return ask


def run(
    *,
    name: str,
    study: str | None = None,
    changes: Sequence[str] = (),
    model: str | None = None,
    adapters: Sequence[Path] = (),
    out: Path | None = None,
    rows_shown: int = 3,
    seed: int | None = None,
    device: str = "auto",
    dtype: str | None = None,
    template: TemplateSettings | None = None,
) -> dict[str, Any]:
    """The `data` command: the card of a data set and its first rows; writes the rows and the card where `out` is given.

    Raises:
        ValueError, FileNotFoundError: bad input, named; nothing was written.
    """
    files = _files(out) if out is not None else {}
    if rows_shown < 0:
        raise ValueError(f"rows_shown must be 0 or above, got {rows_shown}")
    changes = [*changes, *([f"seed={seed}"] if seed is not None else [])]
    sets, study_config = chosen(name, study, changes)
    model = model or (study_config.model if study_config else MODEL)
    dtype = dtype or (study_config.dtype if study_config else "auto")
    pick_dtype(dtype, pick_device(device))
    asks_stage = _checked(name, sets, adapters)
    template = template or (study_config.template if study_config else AS_IS)
    chat = load_chat(resolve(model, template), template)
    for part in _with_parts(name, sets):
        check_system(sets[part].system, chat.native_system)

    def load() -> Model:
        note(f"loading {model}, since {name} holds a model's own words")
        spread = {"device_map": study_config.device_map, "quantise": study_config.quantise} if study_config else {}
        return Model.load(model, template, device=device, dtype=dtype, **spread)

    asking_seed = study_config.sampling_seed if study_config and seed is None else sets[name].seed
    material = Sets(sets, chat, load, adapters=adapters, seed=asking_seed)
    note(f"building {name}")
    data = material.of(name)
    if not data.train:
        raise ValueError(f"{name}: the builder gave no rows to train on; look at its fields (--set KEY=VALUE)")
    chat.tokens_of([row["messages"] for row in data.train], data.train_places)  # a row that cannot be shown is named
    contents = {
        "data": name,
        "study": study,
        "fields": sets[name].model_dump(mode="json"),
        "model": model,
        "template_hash": chat.template_hash,
        "template_system": chat.native_system,
        **chat.description(),
        "written_by": material.model.description() if material.model else None,
        "adapters": [str(folder) for folder in adapters] if asks_stage else [],
        "card": card(data.train, chat, data.test, measure=data.measure),
    }
    written = _written(files, data, contents) if files else None
    return {**contents, "shown": [_shown(row, chat) for row in data.train[:rows_shown]], "out": written}


def _written(files: Mapping[str, Path], data: DataSet, contents: Mapping[str, Any]) -> dict[str, str]:
    """Write the rows, the test rows where there are any, and the card; returns the files by what they hold."""
    write_jsonl(files["rows"], data.train)
    if data.test:
        write_jsonl(files["test"], data.test)
    write_json(files["card"], {**contents, **environment()}, indent=2, ensure_ascii=False)
    return {part: str(file) for part, file in files.items() if part != "test" or data.test}


def _checked(name: str, sets: Mapping[str, Builder], adapters: Sequence[Path]) -> bool:
    """Check that the set and the sets it is made from can be built; returns whether a stage writes parts of them.

    Raises:
        ValueError, FileNotFoundError: one cannot be built, or a stage is needed and there are no adapters.
    """
    parts = [sets[part] for part in _with_parts(name, sets)]
    for part in parts:
        part.check()
    asks_stage = any(part.asks_stage for part in parts)
    if asks_stage and not adapters:
        raise ValueError(f"{name}: {NO_STAGE}")
    if adapters and not asks_stage:
        note(f"{name}: no stage writes parts of this set, so --adapter changes nothing")
    return asks_stage


def chosen(name: str, study: str | None, changes: Sequence[str]) -> tuple[Mapping[str, Builder], StudyConfig | None]:
    """The data sets among which is the one called `name`, and the study that they belong to (None without a study).

    Args:
        changes: Texts KEY=VALUE, each of which sets a field of that data set.

    Raises:
        ValueError: an unknown name or field, a value out of range, or a set that only a study can build.
    """
    fields = _fields(changes)
    if study is None and isinstance(fields.get("trait"), str):
        fields["trait"] = str(trait_file(fields["trait"]))
    if study is not None:
        names = sorted(load_study(study).data)
        if name not in names:
            raise ValueError(f"{study}: " + did_you_mean("data set", name, names))
        config = load_study(study, tuple(f"data.{name}.{change}" for change in changes))
        return config.data, config
    if name not in BUILDERS:
        advice = did_you_mean("data set builder", name, sorted(BUILDERS))
        raise ValueError(f"{advice}; or, with --study, a data set of a study by its name there")
    kind = class_of(name)
    required = [key for key, item in kind.model_fields.items() if item.is_required() and key != "builder"]
    for key in required:
        if key not in fields:
            fields = {small: n for small, n in SMALL.get(key, {}).items() if small in kind.model_fields} | fields
    absent = [key for key in required if key not in fields]
    from_others = f"{name}: is made from other data sets of a study; give that study with --study and its name there"
    if absent:
        needs = f"{name}: needs {', '.join(absent)}; give it with --set {absent[0]}=VALUE"
        raise ValueError(needs if kind.uses is Builder.uses else from_others)
    try:
        data_set = checked(_Alone, {"data": {name: {**fields, "builder": name}}}).data[name]
    except ValueError as error:
        raise ValueError(str(error).replace(f"data.{name}.{name}", name)) from error
    if data_set.uses:
        raise ValueError(from_others)
    return {name: data_set}, None


def lines(result: Mapping[str, Any]) -> Iterator[str]:
    """The result of `run` as lines of text."""
    field_values = ", ".join(f"{key} {value}" for key, value in result["fields"].items() if value not in (None, {}, []))
    yield result["data"] + (f" of {result['study']}" if result["study"] else "") + f": {field_values}"
    yield f"tokens of {result['model']}; system prompt of its template: {_short(result['template_system'] or 'none')}"
    if result["written_by"]:
        yield f"asked: {result['written_by']['model']}" + "".join(f" > {folder}" for folder in result["adapters"])
    for part, numbers in result["card"].items():
        yield f"\n{part}"
        yield from _number_lines(numbers)
    n = result["card"]["train"]["rows"]
    for i, row in enumerate(result["shown"], 1):
        yield f"\nrow {i} of {n} ({row['id']}): {row['supervised']} of {row['tokens']} tokens are learnt, in brackets"
        yield row["text"]
    for part, file in (result["out"] or {}).items():
        yield f"{part}: {file}"


class _Alone(BaseModel):
    """A data set outside of a study, in the form that a study has it, so that it is checked in the same way."""

    data: dict[str, DataConfig]


def _files(out: Path) -> dict[str, Path]:
    """The files to write for rows, test rows and card, none of which may exist already."""
    if out.suffix != ".jsonl":
        raise ValueError(f"{out}: --out names a .jsonl file")
    files = {"rows": out, "test": out.with_suffix(".test.jsonl"), "card": out.with_suffix(".card.json")}
    return {part: fresh(file) for part, file in files.items()}


def _fields(changes: Sequence[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for change in changes:
        set_field(fields, change)
    return fields


def _with_parts(name: str, sets: Mapping[str, Builder]) -> list[str]:
    """Names of a data set and of all sets that it is made from, directly or through others."""
    parts = [part for part_name in sets[name].uses for part in _with_parts(part_name, sets)]
    return list(dict.fromkeys([name, *parts]))


def _shown(row: Row, chat: ChatTokenizer) -> dict[str, Any]:
    tokens = chat.tokens(row["messages"])
    counts = {"tokens": len(tokens), "supervised": len(supervised(tokens))}
    return {"id": str(row.get("id", "no id")), **counts, "text": marked(row, chat)}


def _number_lines(numbers: Mapping[str, Any], indent: str = "  ") -> Iterator[str]:
    """The numbers of a part of a card as lines of text: one for each number, spread or count."""
    for key, value in numbers.items():
        name = f"{indent}{key.replace('_', ' '):<{24 - len(indent)}}"
        if key == "counts":
            yield from (f"{indent}{n:>8}  {_short(label)}" for label, n in value.items())
        elif not isinstance(value, dict):
            yield f"{name}{value}"
        elif any(isinstance(item, dict) for item in value.values()):
            yield name.rstrip()
            yield from _number_lines(value, indent + "  ")
        else:
            yield name + "  ".join(
                f"{label} {n:.3g}" if isinstance(n, float) else f"{label} {n}" for label, n in value.items()
            )


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 100 else line[:97] + "..."
