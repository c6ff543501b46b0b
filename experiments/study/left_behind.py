"""What a study reads of its stages once all are trained: their differences, and what they do at other strengths.

Both hold a stage against others (placebos, twins, other families), so they come after all nodes, from the stored run.
"""

from pathlib import Path
from typing import Any

from experiments.amplified.run import amplified_rows
from experiments.difference.lexicon import parts_of
from experiments.difference.run import differences_of
from experiments.measures.take import Behaviour
from experiments.resumable import Once
from experiments.study.config import StudyConfig
from experiments.study.stored import StoredStudy
from interp.model import Model

Row = dict[str, Any]


def left_behind_rows(config: StudyConfig, path: Path, model: Model, once: Once) -> list[Row]:
    """The rows of `difference` and `amplified`; none where the study asks for neither.

    Args:
        path: The run folder, in which stages.json and the directions are written.

    Raises:
        ValueError, InterpError: the topics of the study's data, or a stage's adapter, will not do.
    """
    if config.difference is None and config.amplified is None:
        return []
    stored = StoredStudy(path)
    parts, rows = parts_of(stored), []
    if config.difference is not None:
        nodes = stored.stages([*parts.kinds, *config.difference.stages])
        differences = differences_of(stored, model, config.difference, nodes, path, seed=config.sampling_seed)
        rows += differences.rows(once, stored.directions(model))
    if config.amplified is not None:
        nodes = stored.stages(config.amplified.stages or list(parts.kinds))
        how = {"judge": config.judge, "journal": path / "judge.jsonl", "seed": config.sampling_seed}
        behaviour = Behaviour(config.amplified.measures.taken(), **how)
        rows += amplified_rows(model, nodes, parts, behaviour, config.amplified, once, path)
    return rows
