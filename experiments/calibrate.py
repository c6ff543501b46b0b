"""How small an effect would this instrument see? A direction planted in a model at known strengths, and found or not.

1. Texts are read once as they are, and once for every strength with `alpha v` added after the chosen block; `v` is a
   random direction. Strength is counted in standard deviations of what the texts project on `v`.
2. Many times over, n texts are drawn for each side, without replacement: plain ones, and others with the direction in
   them. The difference of means is the direction found; its length is judged against label permutations of those rows.
3. Recovery is the cosine between the direction found and the one planted. Power is the share of repetitions whose
   percentile among permutations exceeds 95; at strength 0 it is the share of false alarms, which should be 5 %.
"""

from pathlib import Path
from typing import Any

import torch

from experiments.console import bar
from figures.power import power as draw
from finetune.data.em import popular_tastes
from interp import stats
from interp.activations import pooled, window
from interp.chat import read_chats
from interp.directions import difference_of_means
from interp.interventions import adding
from interp.messages import chat_names
from interp.model import Model
from interp.nulls import permuted_like, random_like
from interp.projection import cosine
from interp.runs import content_key, environment, fresh, seed_from, write_json, write_jsonl
from interp.template import AS_IS, TemplateSettings

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
    device: str,
    dtype: str,
    template: TemplateSettings = AS_IS,
) -> dict[str, Any]:
    """The `calibrate` command: writes OUT/metrics.jsonl and figures/power.

    Raises:
        ValueError, FileNotFoundError: bad input, named.
    """
    fresh(out / "metrics.jsonl")
    if not sizes or min(sizes) < 2:
        raise ValueError(f"n must be at least 2 texts a side, got {sizes}")
    if not strengths or not all(0 <= s < float("inf") for s in strengths):
        raise ValueError(f"strengths are standard deviations, 0 or more; got {strengths}")
    if repetitions < 20 or permutations < 20:
        raise ValueError(f"at least 20 repetitions and 20 permutations, got {repetitions} and {permutations}")
    needed = 2 * max(sizes)
    chats = read_chats(texts) if texts else popular_tastes(needed, seed)
    if len(chats) < needed:
        raise ValueError(f"{texts}: {len(chats)} texts, but {max(sizes)} a side need {needed}; give more or lower n")
    loaded = Model.load(model, template, device=device, dtype=dtype)
    at = loaded.n_layers // 2 if layer is None else layer
    loaded.check_layers([at])
    rows = loaded.chat.tokens_of(
        [chat["messages"] for chat in chats], chat_names(texts or Path("popular_tastes"), len(chats))
    )
    for i, row in enumerate(rows, 1):
        window(row, "response_mean", i)
    with bar("reading", len(rows) * (1 + len(strengths))) as advance:
        plain = pooled(loaded, rows, layers=[at], progress=advance)[:, 0]
        v = random_like(plain.mean(0, keepdim=True), 1, seed=seed_from(seed, "planted"))[0, 0]
        spread = float((plain @ v / v.norm()).std())
        planted = {}
        for strength in strengths:
            edit = adding(v.to(loaded.device), strength * spread / float(v.norm()), [at])
            planted[strength] = pooled(loaded, rows, layers=[at], edits=[edit], progress=advance)[:, 0]
    metrics = []
    with bar("repeating", len(strengths) * len(sizes) * repetitions) as advance:
        for strength in strengths:
            for n in sizes:
                found, cosines = 0, []
                for repetition in range(repetitions):
                    draw_seed = seed_from(seed, "draw", n, repetition)
                    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(draw_seed))
                    sides = (planted[strength][order[:n]][:, None], plain[order[n : 2 * n]][:, None])
                    direction = difference_of_means(*sides)[0]
                    null = permuted_like(*sides, permutations, seed=draw_seed)[:, 0].norm(dim=-1)
                    found += stats.percentile(float(direction.norm()), null.numpy()) > ALARM
                    cosines.append(float(cosine(direction[None], v)[0]))
                    advance(1)
                common = {"measure": "calibration", "strength": strength, "texts_a_side": n, "layer": at}
                share = stats.proportion(found / repetitions, repetitions)
                metrics += [
                    {**common, "metric": "power", **share.row(), "unit": "share of repetitions"}
                    | {"null": "permuted", "n_null": permutations},
                    {**common, "metric": "cosine_with_planted", **_spread(cosines), "unit": "cosine"},
                ]
    made = {**environment(), **loaded.description(), "texts": str(texts or "popular_tastes"), "seed": seed}
    made |= {"data_hash": content_key([chat["messages"] for chat in chats]), "sd_of_projection": spread}
    write_json(out / "manifest.json", made, indent=2)
    write_jsonl(out / "metrics.jsonl", metrics)
    draw(out)
    power = [row for row in metrics if row["metric"] == "power"]
    return {
        "layer": at,
        "false_alarms": {row["texts_a_side"]: row["value"] for row in power if row["strength"] == 0},
        "smallest_strength_with_power_80": {
            n: min((r["strength"] for r in power if r["texts_a_side"] == n and r["value"] >= 0.8), default=None)
            for n in sizes
        },
        "repetitions": repetitions,
        "figure": str(out / "figures" / "power.png"),
    }


def _spread(values: list[float]) -> dict[str, Any]:
    """Mean over repetitions, and the middle 95 % of them."""
    ordered = torch.tensor(values, dtype=torch.float64)
    low, high = torch.quantile(ordered, torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return {"value": float(ordered.mean()), "ci_low": low, "ci_high": high, "n": len(values)}
