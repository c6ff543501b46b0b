"""Planted truths come out, and what was not planted does not; `tests/bench/planted.py` does it over many models."""

import numpy as np
import pytest
import torch

from experiments.hypotheses.superseded.claims import verdicts
from tests.support.planted import CONTROLS, LAYER, N_FIXED, WORLDS, Planted, World, write_run


@pytest.mark.parametrize(("seed", "world"), enumerate(WORLDS, 100), ids=[world.name for world in WORLDS])
def test_what_was_planted_is_supported_and_nothing_else(
    seed: int, world: Planted, tmp_path_factory: pytest.TempPathFactory
) -> None:
    run = write_run(tmp_path_factory.mktemp("planted"), seed, world.truth, undone=world.undone)
    found = {one["hypothesis"]: one for one in verdicts(run)}
    assert {id for id, one in found.items() if one["verdict"] == "supported"} == world.supported
    assert all(found[id]["p"] is None for id in ("H4b", "H5a", "H6", "H7", "H8a", "H10")), "no row of theirs was made"


def test_the_adapters_do_what_they_are_made_to_do(tmp_path_factory: pytest.TempPathFactory) -> None:
    world = World.of(100, tmp_path_factory.mktemp("adapters"), n_random=20)
    generator = torch.Generator().manual_seed(0)
    move = 0.5 * world.scale * world.planted
    moving = world.moving("moving", move)
    spreading = world.spreading("spreading", generator)
    base = world.base[:, LAYER].double()
    moved, spread = (world.read(one, rows=world.texts.all)[:, LAYER].double() - base for one in (moving, spreading))
    torch.testing.assert_close(moved.mean(0), move, rtol=0.02, atol=0.02 * float(move.norm()))
    assert float((moved - move).norm(dim=1).max()) < 0.25 * float(move.norm()), "each answer is moved alike"
    for part in spread.split(N_FIXED):
        assert float(part.mean(0).norm()) < 1e-4 * float(part.norm(dim=1).mean()), "no kind of text is moved on average"
    ratio = float((base + spread).var(0).sum() / base.var(0).sum())
    assert 1.2 < ratio < 2, "but all are spread"
    for layer in range(LAYER):
        assert torch.equal(world.read(moving, rows=world.texts.fixed)[:, layer], world.base[:N_FIXED, layer])


def test_the_planted_move_is_along_the_trait_and_off_the_assistant_axis(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    world = World.of(101, tmp_path_factory.mktemp("adapters"), n_random=20)
    along = {name: float(held.at(LAYER).double() @ world.planted) for name, held in world.tools.directions.items()}
    assert along == pytest.approx({"evil": np.sqrt(0.5), "assistant_axis": -np.sqrt(0.5)}, abs=1e-5)
    assert len(CONTROLS) == 2
