"""What is on the screen, written as Python and as a command; either gives the same answers again."""

import shlex

from experiments.open.asked import Asked, Change
from experiments.open.run import OpenRun
from interp.messages import with_system
from interp.template import AS_IS


def as_python(opened: OpenRun, asked: Asked) -> str:
    """A script that prints the same answers and, where one is read, every token's projection.

    Raises:
        ValueError, FileNotFoundError: something that is asked for is not there.
    """
    stages, change, reading = opened.check(asked), asked.change, asked.reading
    directions = dict.fromkeys(part.direction for part in (change, reading) if part)
    names = ["Direction"] * bool(directions) + ["Model"]
    names += [{"add": "adding", "ablate": "ablating"}[change.kind]] if change else []
    names += ["project"] if reading else []
    settings = opened.template.model_dump(mode="json", exclude_defaults=True)
    template = "" if opened.template == AS_IS else f", TemplateSettings.model_validate({settings!r})"
    how = "".join(f", {key}={value!r}" for key, value in opened.how.items())
    answer = f"max_new_tokens={asked.max_new_tokens}, temperature={asked.temperature!r}, seed={asked.seed}"
    lines = [
        f"from interp import {', '.join(names)}",
        *(["from interp.template import TemplateSettings"] if template else []),
        "",
        f"model = Model.load({opened.model.name!r}{template}{how})",
        "stages = {",
        *(f"    {stage.label!r}: {[str(folder.resolve()) for folder in stage.stack]!r}," for stage in stages),
        "}",
        *(["directions = {"] if directions else []),
        *(
            f"    {name!r}: Direction.load({str(opened.direction_files[name].resolve())!r}, model=model.identity),"
            for name in directions
        ),
        *(["}"] if directions else []),
        "edits_of = {",
        "    'as it is': [],",
        *([f"    {change.in_words()!r}: {_edits(change)},"] if change else []),
        "}",
        f"question = {with_system([{'role': 'user', 'content': asked.prompt}], asked.system)!r}",
        "",
        "for stage, adapters in stages.items():",
        "    for change, edits in edits_of.items():",
        "        with model.using(*adapters):",
        f"            answer = model.answer(question, edits=edits, {answer})",
        '            print(f"{stage}, {change}: {answer}")',
    ]
    if reading:
        lines += [
            "            chat = [*question, {'role': 'assistant', 'content': answer}]",
            f"            h = model.activations(chat, layers=[{reading.layer}], edits=edits)[:, 0]",
            f"            along = project(h, directions[{reading.direction!r}].at({reading.layer}))",
            "            said = model.chat.tokens(chat).response",
            "            print(along[said.start : said.end].tolist())",
        ]
    return "\n".join(lines) + "\n"


def _edits(change: Change) -> str:
    direction, place = f"directions[{change.direction!r}]", f"[layer], {change.phase!r}"
    edit = f"ablating({direction}.at(layer), {place})"
    if change.kind == "add":
        edit = f"adding({direction}.at(layer), {change.alpha!r}, {place})"
    return f"[{edit} for layer in {f'{direction}.layers' if change.layer == 'all' else f'[{change.layer}]'}]"


def as_command(opened: OpenRun, asked: Asked) -> str:
    """The command that gives the same answers at a terminal.

    Raises:
        ValueError, FileNotFoundError: something that is asked for is not there.
    """
    stages, change, reading = opened.check(asked), asked.change, asked.reading
    words = ["sgtr", "open", str(opened.run.path), f"--ask={asked.prompt}"]
    words += [f"--stage={stage.label}" for stage in stages]
    tensors = (opened.run.path / "tensors").resolve()
    words += [
        f"--direction={file}"
        for name, file in opened.direction_files.items()
        if file.resolve().parent != tensors and name in {part.direction for part in (change, reading) if part}
    ]
    if reading:
        words += [f"--read={reading.direction}@{reading.layer}"]
    if change:
        words += [f"--{change.kind}={change.direction}@{change.layer}"]
        words += [f"--alpha={change.alpha!r}"] if change.kind == "add" else []
        words += [f"--phase={change.phase}"]
    if asked.system != "task":
        words += [f"--system={asked.system}"]
    words += [
        f"--max-new-tokens={asked.max_new_tokens}",
        f"--temperature={asked.temperature!r}",
        f"--seed={asked.seed}",
    ]
    words += [f"--{key}={value}" for key, value in opened.how.items() if key in ("device", "dtype")]
    return shlex.join(words)
