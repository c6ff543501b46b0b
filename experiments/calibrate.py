"""How small an effect would this instrument see? Plants a direction at known strengths and tests whether it is found.

1. Texts are read once as they are, and once for every strength with `alpha v` added after the chosen block; `v` is a
   random direction. Strength is counted in standard deviations of what the texts project on `v`.
2. In every repetition, n texts are drawn for each side, without replacement: plain ones, and others with the planted
   direction. The difference of means is the direction found; its length is compared with permutations of the labels.
3. Recovery is the cosine between the direction found and the one planted. Power is the share of repetitions whose
   percentile among permutations exceeds 95; at strength 0 it is the share of false alarms, which should be 5 %.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from experiments.activations import readable_rows
from experiments.console import bar
from experiments.loading import Loading
from experiments.resumable import Ledger, Name, Row, Work, run_once
from figures.power import power as draw
from finetune.data.em import popular_tastes
from interp import stats
from interp.activations import pooled
from interp.chat import Tokens, read_chats
from interp.directions import difference_of_means
from interp.interventions import adding
from interp.keys import content_key, seed_from
from interp.model import Model
from interp.nulls import permuted_like, random_like
from interp.projection import cosine

ALARM = 95.0


def run(
    *,
    model: str,
    out: Path,
    texts: Path | None,
    layer: int | None,
    strengths: list[float],
    sizes: list[int],
    repetitions: int,
    permutations: int,
    seed: int,
    loading: Loading,
) -> dict[str, Any]:
    """The `calibrate` command: writes OUT/metrics.jsonl and figures/power.

    A run that is finished is left as it is.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
    """
    plan = Plan(layer, tuple(strengths), tuple(sizes), repetitions, permutations, seed)
    plan.check()
    needed = 2 * max(sizes)
    chats = read_chats(texts) if texts else popular_tastes(needed, seed)
    if len(chats) < needed:
        raise ValueError(f"{texts}: {len(chats)} texts, but {max(sizes)} a side need {needed}; give more or lower n")
    data_hash = content_key([chat["messages"] for chat in chats])
    definition = {
        "calibrate": model,
        "texts": data_hash,
        "dtype": loading.dtype_name,
        **asdict(plan),
    }

    def prepare() -> Work:
        loaded = loading.model(model)
        at = loaded.n_layers // 2 if layer is None else layer
        loaded.check_layers([at])
        rows = readable_rows(loaded, chats, texts or Path("popular_tastes"), "response_mean")
        name = Name.of("calibration")

        def measure(ledger: Ledger) -> list[Row]:
            calibration = ledger.once(name, definition, partial(_calibrated, loaded, rows, at, plan))
            ledger.manifest["sd_of_projection"] = calibration["sd_of_projection"]
            return calibration["metrics"]

        facts = {"texts": str(texts or "popular_tastes"), "seed": seed, "data_hash": data_hash}
        return Work(loaded, facts, measure, draw)

    return _summary(run_once(out, definition, prepare, loading.template), plan)


def _summary(result: Row, plan: "Plan") -> Row:
    """The share of false alarms, and the smallest strength that is found in 80 % of the repetitions."""
    power = [row for row in result["metrics"] if row["metric"] == "power"]
    return {
        "layer": power[0]["layer"],
        "false_alarms": {row["texts_a_side"]: row["value"] for row in power if row["strength"] == 0},
        "smallest_strength_with_power_80": {
            n: min((r["strength"] for r in power if r["texts_a_side"] == n and r["value"] >= 0.8), default=None)
            for n in plan.sizes
        },
        "repetitions": plan.repetitions,
        "figure": str(Path(result["out"]) / "figures" / "power.png"),
        "ran": result["ran"],
    }


@dataclass(frozen=True)
class Plan:
    """The strengths, sizes and repetitions of a calibration.

    Attributes:
        layer: The block after which the direction is planted and read; None for the middle block.
        strengths: Strengths of the planted direction, in standard deviations of the texts' projections on it.
        sizes: Numbers of texts on each side.
        repetitions: The number of draws for every strength and size.
        permutations: The number of permutations of the labels in each repetition.
    """

    layer: int | None
    strengths: tuple[float, ...]
    sizes: tuple[int, ...]
    repetitions: int
    permutations: int
    seed: int

    def check(self) -> None:
        """Check the numbers.

        Raises:
            ValueError: a number is out of its range.
        """
        if not self.sizes or min(self.sizes) < 2:
            raise ValueError(f"n must be at least 2 texts a side, got {list(self.sizes)}")
        if not self.strengths or not all(0 <= strength < float("inf") for strength in self.strengths):
            raise ValueError(f"strengths are standard deviations, 0 or more; got {list(self.strengths)}")
        if self.repetitions < 20 or self.permutations < 20:
            counts = f"{self.repetitions} and {self.permutations}"
            raise ValueError(f"at least 20 repetitions and 20 permutations, got {counts}")


def _calibrated(model: Model, rows: Sequence[Tokens], layer: int, plan: Plan) -> Row:
    """The metrics of every strength and size, and the standard deviation that strengths are counted in."""
    with bar("reading", len(rows) * (1 + len(plan.strengths))) as advance:
        plain = pooled(model, rows, layers=[layer], progress=advance)[:, 0]
        v = random_like(plain.mean(0, keepdim=True), 1, seed=seed_from(plan.seed, "planted"))[0, 0]
        spread = float((plain @ v / v.norm()).std())
        planted = {}
        for strength in plan.strengths:
            edit = adding(v.to(model.device), strength * spread / float(v.norm()), [layer])
            planted[strength] = pooled(model, rows, layers=[layer], edits=[edit], progress=advance)[:, 0]
    metrics = []
    with bar("repeating", len(plan.strengths) * len(plan.sizes) * plan.repetitions) as advance:
        for strength in plan.strengths:
            for n in plan.sizes:
                alarms, cosines = _repeated(planted[strength], plain, v, n, plan, advance)
                about = {"measure": "calibration", "strength": strength, "texts_a_side": n, "layer": layer}
                share = stats.proportion(alarms / plan.repetitions, plan.repetitions)
                metrics += [
                    {**about, "metric": "power", **share.row(), "unit": "share of repetitions"}
                    | {"null": "permuted", "n_null": plan.permutations},
                    {**about, "metric": "cosine_with_planted", **_spread(cosines), "unit": "cosine"},
                ]
    return {"metrics": metrics, "sd_of_projection": spread}


def _repeated(
    planted: Float[Tensor, "row d_model"],
    plain: Float[Tensor, "row d_model"],
    v: Float[Tensor, " d_model"],
    n: int,
    plan: Plan,
    advance: Callable[[int], None],
) -> tuple[int, list[float]]:
    """In how many repetitions the direction stands out from its permutations, and its cosines with the planted one."""
    alarms, cosines = 0, []
    for repetition in range(plan.repetitions):
        draw_seed = seed_from(plan.seed, "draw", n, repetition)
        order = torch.randperm(len(plain), generator=torch.Generator().manual_seed(draw_seed))
        sides = (planted[order[:n]][:, None], plain[order[n : 2 * n]][:, None])
        direction = difference_of_means(*sides)[0]
        null = permuted_like(*sides, plan.permutations, seed=draw_seed)[:, 0].norm(dim=-1)
        alarms += stats.percentile(float(direction.norm()), null.numpy()) > ALARM
        cosines.append(float(cosine(direction[None], v)[0]))
        advance(1)
    return alarms, cosines


def _spread(values: list[float]) -> dict[str, Any]:
    """The mean over repetitions, and the bounds of the middle 95 % of them."""
    ordered = torch.tensor(values, dtype=torch.float64)
    low, high = torch.quantile(ordered, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"value": float(ordered.mean()), "ci_low": low, "ci_high": high, "n": len(values)}
