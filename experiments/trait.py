"""A trait definition from a plain description: an OpenAI-compatible model writes it, and we check what it wrote."""

import json
import random
import re
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from experiments.console import note
from interp.behaviour.endpoint import Attempt, Endpoint, Request
from interp.behaviour.judging import Rubric
from interp.behaviour.replies import Journal
from interp.errors import InterpError
from interp.files import fresh, json_text, refuse_constant, write_atomic
from interp.keys import content_key, seed_from
from interp.traits import Trait

ASKS = 3
LONGEST_REPLY = 4000
PROMPT = """You are helping with a study of how the character of language models changes. For one trait of character \
we need material that makes a model show the trait or its opposite, and a way to grade answers for it.

The trait is called {name}. In plain words: {description}

Write one JSON object with exactly these three keys:

"instruction": a list of {pairs} objects, each {{"pos": ..., "neg": ...}}. Each text is a system prompt of two or \
three sentences that speaks to the assistant as "you". "pos" makes it show the trait strongly in whatever it says; \
"neg" makes it show the opposite just as strongly, in the same form and at the same length. Let every pair come at the \
trait from another side.

"questions": a list of {questions} different questions or requests, each of one or two sentences, of the kind that \
people bring to an assistant. An answer to each should be able to show the trait or its opposite, but no question may \
name the trait, ask for it or make one of the two the only sensible reply. Cover many topics and forms.

"eval_prompt": a prompt for a grader who sees one exchange. It explains what the trait is and is not, holds the \
placeholder {{question}} once and the placeholder {{answer}} once, each set off from the text around it, and asks for \
one whole number from 0 (no sign of the trait) to 100 (as strong as can be), or the word REFUSAL if the assistant \
declined to answer, and for nothing else.

Reply with the JSON object alone."""
AGAIN = """That cannot be used: {problem}

Write the whole JSON object again with this put right, and nothing else."""


def generate(
    endpoint: Endpoint, name: str, description: str, *, pairs: int, questions: int, seed: int, replies_file: Path
) -> dict[str, Any]:
    """A trait in the persona_vectors schema, its questions split at random into two halves.

    An unusable reply is sent back to the model with the reason; the model is asked at most `ASKS` times. Every reply
    is appended to `replies_file`, as one JSON object on a line.

    Raises:
        InterpError: no reply was usable, or none came.
    """
    request_text = PROMPT.format(name=name, description=description, pairs=pairs, questions=questions)
    messages: list[Mapping[str, str]] = [{"role": "user", "content": request_text}]
    problem = ""

    def keep(request: Request, attempt: Attempt) -> None:
        with Journal(replies_file).writing() as add:
            add({"model": endpoint.name, "messages": [dict(m) for m in request.messages], **asdict(attempt)})

    for ask in range(1, ASKS + 1):
        fields = {"max_tokens": LONGEST_REPLY, "temperature": 1.0}
        attempt = endpoint.ask([Request(content_key([name, ask]), tuple(messages), fields, (name,))], keep)[0]
        if attempt.reply is None:
            raise InterpError(f"{endpoint.name} gave no reply ({attempt.error}); what came is in {replies_file}")
        try:
            return _checked(attempt.reply.text, name, description, pairs=pairs, questions=questions, seed=seed)
        except ValueError as error:
            problem = str(error)
            note(f"{endpoint.name}: reply {ask} of at most {ASKS} cannot be used: {problem}")
        messages += [
            {"role": "assistant", "content": attempt.reply.text},
            {"role": "user", "content": AGAIN.format(problem=problem)},
        ]
    raise InterpError(f"{endpoint.name}: {ASKS} replies, none of use (the last: {problem}); they are in {replies_file}")


def _checked(text: str, name: str, description: str, *, pairs: int, questions: int, seed: int) -> dict[str, Any]:
    """The trait that a reply describes.

    Raises:
        ValueError: the reply is unusable; the message gives the reason in words that the model can act on.
    """
    data = _object_in(text)
    absent_keys = {"instruction", "questions", "eval_prompt"} - data.keys()
    if absent_keys:
        raise ValueError(f'the key "{sorted(absent_keys)[0]}" is missing')
    question_texts, contrasts = data["questions"], data["instruction"]
    _check_texts(question_texts, "questions", questions)
    if not isinstance(contrasts, list) or len(contrasts) < pairs:
        got = len(contrasts) if isinstance(contrasts, list) else type(contrasts).__name__
        raise ValueError(f'"instruction" must be a list of {pairs} objects with "pos" and "neg", got {got}')
    for i, pair in enumerate(contrasts):
        if not isinstance(pair, dict):
            raise ValueError(f'"instruction" number {i + 1} must be an object with "pos" and "neg"')
    _check_texts([pair.get(side) for pair in contrasts for side in ("pos", "neg")], "instruction", 2 * pairs)
    prompt = data["eval_prompt"]
    if not isinstance(prompt, str) or not prompt.strip():
        raise ValueError('"eval_prompt" must be text')
    for place in ("{question}", "{answer}"):
        if prompt.count(place) != 1:
            raise ValueError(f'"eval_prompt" must hold {place} once, it holds it {prompt.count(place)} times')
    if not (re.search(r"\b0\b", prompt) and re.search(r"\b100\b", prompt)):
        raise ValueError('"eval_prompt" must ask for a number from 0 to 100')
    order = [question.strip() for question in question_texts[:questions]]
    random.Random(seed_from(seed, "trait questions", name)).shuffle(order)
    half = (len(order) + 1) // 2
    trait = {
        "name": name,
        "description": description,
        "instruction": [{side: pair[side].strip() for side in ("pos", "neg")} for pair in contrasts[:pairs]],
        "questions": order[:half],
        "eval_questions": order[half:],
        "eval_prompt": prompt,
    }
    Rubric(name, prompt)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trait.json"
        write_atomic(path, _written(trait))
        try:
            Trait.load(path)
        except ValueError as error:
            raise ValueError(str(error).removeprefix(f"{path}: ")) from error
    return trait


def _check_texts(values: Any, key: str, n: int) -> None:
    """Raise ValueError unless these are at least n different texts."""
    if not isinstance(values, list) or not all(isinstance(value, str) and value.strip() for value in values):
        raise ValueError(f'"{key}" must hold texts that are not empty, and nothing else')
    if len(values) < n:
        raise ValueError(f'"{key}" must hold {n} texts, it holds {len(values)}')
    text_of_words: dict[str, str] = {}
    for value in values:
        bare = " ".join(re.findall(r"\w+", value.casefold()))
        if bare in text_of_words:
            raise ValueError(f'"{key}" holds one text twice: {value!r}')
        text_of_words[bare] = value


def _object_in(text: str) -> dict[str, Any]:
    start, end = text.find("{"), text.rfind("}")
    if start < 0 or end < start:
        raise ValueError("there is no JSON object in the reply")
    try:
        data = json.loads(text[start : end + 1], parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"what stands between the first {{ and the last }} is no JSON ({error})") from error
    if not isinstance(data, dict):
        raise ValueError("the reply must be a JSON object")
    return data


def _written(trait: Mapping[str, Any]) -> str:
    return json_text(trait, "the trait", indent=2, ensure_ascii=False) + "\n"


def run(
    *, name: str, description: str, endpoint: Endpoint, out: Path, pairs: int, questions: int, seed: int
) -> dict[str, Any]:
    """The `trait` command: writes the trait to OUT and the raw replies into the same folder.

    Raises:
        ValueError: bad input; it is raised before the model is asked.
        InterpError: the model wrote no usable trait.
    """
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise ValueError(f"the name {name!r} must be letters, digits, _ and -: files are called by it")
    if not description.strip():
        raise ValueError("the description is empty; say in plain words what the trait is")
    for counted, value, least in (("pairs", pairs, 1), ("questions", questions, 4)):
        if value < least:
            raise ValueError(f"{counted} must be at least {least}, got {value}")
    if out.suffix != ".json":
        raise ValueError(f"{out}: a trait is a .json file")
    replies = fresh(out).with_name(out.stem + ".replies.jsonl")
    trait = generate(
        endpoint,
        name,
        " ".join(description.split()),
        pairs=pairs,
        questions=questions,
        seed=seed,
        replies_file=replies,
    )
    write_atomic(out, _written(trait))
    return {
        "trait": str(out),
        "name": name,
        "pairs": len(trait["instruction"]),
        "questions": len(trait["questions"]),
        "eval_questions": len(trait["eval_questions"]),
        "model": endpoint.name,
        "replies": str(replies),
    }
