"""What does each stage of a finished study do at other strengths of what it added to its parent?

1. The parent is measured once, and the stage at every strength of its adapter; the same questions, the same luck.
2. The logits are amplified too, for measures that sample nothing.
3. Curves, their slopes and onsets are made of the stored records; kinds of stages are compared family by family.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.amplified.config import AmplifiedConfig
from experiments.amplified.rows import Amplification, curve_rows, kind_rows, strength_rows
from experiments.amplified.take import records_at_strengths
from experiments.difference.lexicon import Parts, parts_of
from experiments.measures.judge import COSTS, JudgeConfig
from experiments.measures.take import Behaviour
from experiments.resumable import Ledger, Once, Row, Work, run_once
from experiments.study.stored import StoredStudy, TrainedStage
from figures.amplified import amplified as draw
from interp.company import Company
from interp.files import write_jsonl
from interp.keys import seed_from
from interp.model import Model


def run(
    *,
    study: Path,
    out: Path,
    config: AmplifiedConfig,
    judge: JudgeConfig | None,
    seeds: Sequence[int],
    seed: int,
    device: str,
) -> Row:
    """The `amplify` command: writes OUT/metrics.jsonl and a file of records for each measure.

    Args:
        seeds: Training seeds; none given, all.

    Raises:
        ValueError, FileNotFoundError, InterpError: bad input, before anything is written.
    """
    finished = StoredStudy.finished(study)
    parts = parts_of(finished)
    nodes = finished.stages(config.stages or list(parts.kinds), seeds or None)
    measures = config.measures.taken()
    behaviour = Behaviour(measures, judge=judge, journal=out / "judge.jsonl", seed=seed)
    behaviour.check()
    declared = [measure.declared() for measure in measures]
    definition: dict[str, Any] = {
        "holds": "amplified",
        "study": finished.study.name,
        "stages": [[node.name, node.seed, node.key] for node in nodes],
        "config": config.model_dump(mode="json", exclude={"measures"}),
        "measures": declared,
        "judge": judge.model_dump(mode="json", exclude=COSTS) if judge else None,
        "seed": seed,
    }

    def prepare() -> Work:
        model = finished.model(device)

        def measure(ledger: Ledger) -> list[Row]:
            return amplified_rows(model, nodes, parts, behaviour, config, ledger.once, out)

        return Work(model, {"study": str(study), "kinds": dict(parts.kinds), "measures": declared}, measure, draw)

    return run_once(out, definition, prepare)


def amplified_rows(
    model: Model,
    nodes: Sequence[TrainedStage],
    parts: Parts,
    behaviour: Behaviour,
    config: AmplifiedConfig,
    once: Once,
    out: Path,
) -> list[Row]:
    """The rows of nodes at all strengths; their records are written into OUT/records."""
    found = records_at_strengths(Company(model), nodes, behaviour, config, once, out / "adapters")
    amplifications = [Amplification(node, at) for node, at in zip(nodes, found, strict=True)]
    _write_records(out, amplifications)
    rows = [row for one in amplifications for row in strength_rows(one, behaviour)]
    for one in amplifications:
        rows += curve_rows(one, config.smallest, seed=seed_from(behaviour.seed, "onset", one.node.label))
    return rows + kind_rows(amplifications, parts)


def _write_records(out: Path, amplifications: Sequence[Amplification]) -> None:
    """Every record with its stage and strength, by measure."""
    records: dict[str, list[Row]] = {}
    for one in amplifications:
        for at in one.at:
            for measure, some in at.records.items():
                mark = {**one.place, "strength": at.strength, "kind": at.kind}
                records.setdefault(measure, []).extend({**mark, **record} for record in some)
    for measure, some in records.items():
        write_jsonl(out / "records" / f"amplified-{measure}.jsonl", some)
