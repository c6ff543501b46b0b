"""How much a study asks of its model: answers to write, and tokens to read and to write."""

from collections import Counter
from collections.abc import Sequence

import torch

from experiments.interventions.mediation import Condition, planned
from experiments.plan.drafts import TURN, Drafts
from experiments.study import readings
from experiments.study.config import BASE, MediationConfig, StudyConfig
from experiments.study.graph import nodes_of
from interp.behaviour.work import CHARACTERS, Work
from interp.directions import Direction
from interp.traits import Trait


def workload(
    config: StudyConfig, drafts: Drafts, traits: Sequence[Trait], n_layers: int
) -> list[tuple[str, int, Work]]:
    """What is asked and read: in words, how often, and how much each time.

    Args:
        n_layers: The model's.

    Raises:
        ValueError: mediation adds a direction at a layer that the model does not have.
    """
    nodes, n_seeds = nodes_of(config), len(config.seeds)
    entries = _texts_written(config, drafts)
    persona = config.persona
    for trait in traits:
        pairs, questions = trait.instructions[: persona.pairs], trait.questions[: persona.questions]
        n = 2 * len(pairs) * len(questions) * persona.rollouts
        words = sum(len(text) for pair in pairs for text in pair) / max(1, 2 * len(pairs))
        prompt = round((words + sum(map(len, questions)) / len(questions)) / CHARACTERS) + 2 * TURN
        entries.append((f"direction {trait.name}", 1, Work.of(n, persona.max_new_tokens, prompt, reads=1)))
    for name, one in config.directions.items():
        n, n_tokens = one.resolved().answers_asked()
        if n:
            entries.append((f"direction {name}", 1, Work.of(n, n_tokens, 60, reads=1)))
    sets = {stage.data for stage in config.stages.values()}
    if config.prediction_rows:
        n = sum(min(config.prediction_rows, len(drafts.of(name).train)) for name in sets)
        most = config.answers.max_new_tokens
        entries.append(("data beside the base's own answers", 1, Work.of(n, most, 80, reads=2)))
    places = {BASE: 1} | {node.name: n_seeds * (1 + len(config.stages[node.stage].checkpoints)) for node in nodes}
    prompts = len(config.system_prompts)
    several = [name for name in places if config.prompts_at is None or name in (BASE, *config.prompts_at)]
    views = sum(n * (prompts if name in several else 1) for name, n in places.items())
    for what, questions, reads in (
        (
            "answers to held-out questions",
            readings.held_out_questions(traits, config.answers),
            5 if config.tokens else 3,
        ),
        ("answers about who it is", readings.identity_questions(config.answers), 2),
    ):
        prompt = sum(drafts.tokens([[{"role": "user", "content": q.text}] for q in questions]))
        one = Work.of(len(questions), config.answers.max_new_tokens, prompt / max(1, len(questions)), reads=reads)
        entries.append((what, views, one))
    tests = [row["messages"] for data in drafts.tests().values() for row in data.test]
    entries.append(("recognition and task questions", views, Work(0, 0, 2 * sum(drafts.tokens(tests)))))
    entries += [(f"measure {measure.name}", views, measure.work()) for measure in config.measures.taken()]
    if config.mediation:
        treated = _n_treated(config.mediation, n_layers, n_seeds)
        entries += [
            (f"mediation, {measure.name}", treated, measure.work()) for measure in config.mediation.measures.taken()
        ]
    return entries


def _texts_written(config: StudyConfig, drafts: Drafts) -> list[tuple[str, int, Work]]:
    """What the base model and the stages write for data sets: greedy answers once by each, whatever sets hold them."""
    sets = {BASE: set(config.data)}
    for node in nodes_of(config):
        if node.parent:  # whose words also say how many steps the stage takes
            trained_on = (config.stages[node.stage].data, drafts.yardstick(node.stage).data)
            sets.setdefault(node.parent, set()).update(drafts.made_from(trained_on))
    times: Counter[tuple[str, Work]] = Counter()
    for writer, wanted in sets.items():
        known: set[tuple[int, str]] = set()
        for request in drafts.requests:
            if request.name not in wanted or (writer != BASE and request.who != "stage"):
                continue
            new = [ident for ident in request.prompts if (request.longest, ident) not in known]
            work = Work(len(new), len(new) * request.longest, sum(request.prompts[ident] for ident in new))
            times[f"texts of {request.name}", work] += 1 if writer == BASE else len(config.seeds)
            if request.greedy:
                known.update((request.longest, ident) for ident in new)
    return [(what, n, work) for (what, work), n in times.items()]


def _n_treated(config: MediationConfig, n_layers: int, n_seeds: int) -> int:
    """Models that mediation measures, over all nodes and seeds.

    What is done to the base model is done once, unless it depends on a node's own displacement.
    """
    layers, drawn = tuple(range(n_layers)), torch.Generator().manual_seed(0)
    width = 2 * len(config.directions) + 8  # drawn vectors so wide do not depend on each other
    stand_ins = [
        Direction(name, torch.randn(n_layers, width, generator=drawn), layers, n_layers // 2)
        for name in config.directions
    ]
    moves = [
        Direction(name, torch.randn(n_layers, width, generator=drawn), layers, n_layers // 2)
        for name in config.controls
    ]
    conditions = planned(stand_ins, [], [BASE, "node"], config, dict.fromkeys(layers, 1.0), 0, moves)

    def shared(condition: Condition) -> bool:
        one, control = condition.treatment.direction, condition.treatment.control
        if control is not None and control < len(moves) and condition.kind == "ablate":
            return False
        of = () if condition.kind == "none" else (one,) if one in config.directions else config.directions
        return condition.stage == BASE and "displacement" not in of

    n_shared = sum(map(shared, conditions))
    return n_shared + (len(conditions) - n_shared) * len(set(config.stages)) * n_seeds
