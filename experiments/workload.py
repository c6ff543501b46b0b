"""How much a study asks of its model: answers to write, and tokens to read and to write."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from experiments import evaluate
from experiments.config import BASE, StudyConfig
from experiments.contrasts import read_roles
from experiments.drafts import CHARACTERS, TURN, Drafts
from experiments.graph import nodes_of
from experiments.measures import SelfRecognition
from interp.behaviour.measure import Measure
from interp.traits import Trait


class Work(NamedTuple):
    """Answers, their tokens at the most, and tokens read (prompts among them)."""

    answers: int
    written: float
    read: float

    @classmethod
    def of(cls, answers: int, longest: int, prompt: float, *, reads: int) -> "Work":
        """So many answers to prompts of so many tokens, each read again `reads` times after it was written."""
        return cls(answers, answers * longest, answers * (prompt + reads * (prompt + longest)))

    def row(self, times: int) -> dict[str, int]:
        """The same so many times, as whole numbers by name."""
        return {
            "answers": self.answers * times,
            "written": round(self.written * times),
            "read": round(self.read * times),
        }


def workload(config: StudyConfig, drafts: Drafts, traits: Sequence[Trait]) -> list[tuple[str, int, Work]]:
    """What is asked and read: in words, how often, and how much each time."""
    nodes, n_seeds = nodes_of(config), len(config.seeds)
    found = []
    for name, asked in drafts.written.items():
        users = drafts.users(name)
        of = {node.parent for node in nodes if config.stages[node.stage].data in users and node.parent}
        for who, (n, longest, prompts) in asked:
            once = Work(n, n * longest, prompts)
            found.append((f"texts of {name}", 1 + len(of) * n_seeds if who == "stage" else 1, once))
    persona = config.persona
    for trait in traits:
        pairs, questions = trait.instructions[: persona.pairs], trait.questions[: persona.questions]
        n = 2 * len(pairs) * len(questions) * persona.rollouts
        words = sum(len(text) for pair in pairs for text in pair) / max(1, 2 * len(pairs))
        prompt = round((words + sum(map(len, questions)) / len(questions)) / CHARACTERS) + 2 * TURN
        found.append((f"direction {trait.name}", 1, Work.of(n, persona.max_new_tokens, prompt, reads=1)))
    for name, one in config.directions.items():
        if one.recipe == "assistant-axis":
            roles, full = read_roles(one.roles, one.questions), one.resolved()
            n_prompts = len(roles.default) + sum(map(len, roles.roles.values()))
            n = n_prompts * len(roles.questions[: full.most_questions]) * (full.rollouts or 1)
            found.append((f"direction {name}", 1, Work.of(n, full.max_new_tokens or 64, 60, reads=1)))
    sets = {stage.data for stage in config.stages.values()}
    if config.prediction_rows:
        n = sum(min(config.prediction_rows, len(drafts.of(name).train)) for name in sets)
        most = config.answers.max_new_tokens
        found.append(("data beside the base's own answers", 1, Work.of(n, most, 80, reads=2)))
    places = {BASE: 1} | {node.name: n_seeds * (1 + len(config.stages[node.stage].checkpoints)) for node in nodes}
    prompts = len(config.system_prompts)
    several = [name for name in places if config.prompts_at is None or name in (BASE, *config.prompts_at)]
    views = sum(n * (prompts if name in several else 1) for name, n in places.items())
    for what, questions, reads in (
        (
            "answers to held-out questions",
            evaluate.held_out_questions(traits, config.answers),
            5 if config.tokens else 3,
        ),
        ("answers about who it is", evaluate.identity_questions(config.answers), 2),
    ):
        prompt = sum(drafts.tokens([[{"role": "user", "content": q.text}] for q in questions]))
        one = Work.of(len(questions), config.answers.max_new_tokens, prompt / max(1, len(questions)), reads=reads)
        found.append((what, views, one))
    tests = [row["messages"] for name in drafts.needed() for row in drafts.of(name).test]
    found.append(("recognition and task questions", views, Work(0, 0, 2 * sum(drafts.tokens(tests)))))
    found += [(f"measure {measure.name}", views, measure_work(measure)) for measure in config.measures.taken()]
    if config.mediation:
        n = len(config.mediation.directions) + (len(config.mediation.directions) > 1)
        conditions = len(config.mediation.stages) * n_seeds * 2 * (1 + n * (1 + config.mediation.random))
        for measure in config.mediation.measures.taken():
            found.append((f"mediation, {measure.name}", conditions, measure_work(measure)))
    return found


def measure_work(measure: Measure) -> Work:
    """What one model is asked; prompts are counted by their characters, answers at their longest."""
    if isinstance(measure, SelfRecognition):
        answers = sum(one.test for one in measure.sets.values())
        longest = max(one.summary_tokens for one in measure.sets.values())
        shown = sum(one.test * (600 if one.show_article else 250) for one in measure.sets.values())
        texts = 2 if measure.perplexity else 0
        return Work(answers, answers * longest, 2 * shown + texts * answers * 400)
    shown = measure.prompts()
    read = sum(map(len, _texts(shown))) / CHARACTERS
    longest = getattr(measure, "max_new_tokens", 0)
    samples = getattr(measure, "samples", None) or 20
    if measure.name in ("em", "conditional"):
        asked, words = shown[0], read
        return Work(len(asked) * samples, len(asked) * samples * longest, words * samples)
    if measure.name == "identity":
        return Work(len(shown) * samples, len(shown) * samples * longest, read * samples)
    if measure.name == "collapse":
        return Work(len(shown[0]), len(shown[0]) * longest, read + len(shown[0]) * longest)
    if measure.name == "truthfulqa" and getattr(measure, "generated", False):
        n = len(shown[1]) * samples
        return Work(n, n * longest, 2 * read)
    return Work(0, 0.0, 2 * read)  # each answer is read after its prompt, so prompts count twice


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _texts(item)
