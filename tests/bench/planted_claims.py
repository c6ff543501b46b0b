"""How often do claims err, and how often do they find what is there? Many studies whose truth is known.

    python tests/bench/planted_claims.py [--worlds 400] [--families 8] [--seeds 2] [--json FILE]

For every claim in every world three shares of studies are printed: supported, contradicted, and the instrument cannot
tell; first of the claim's tests alone, without gates and adjustment (`alone`), then of the verdict. `!` marks an error
rate alone that is surely (by two standard errors) above .025: supported at or below the margin, or contradicted at or
above it. The last table holds the power that plans print beside the share that is found.
"""

import argparse
import json
import math
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from experiments.hypotheses.power import EM_EFFECT, Design, detectable, power
from experiments.hypotheses.register import BY_ID, CLAIMS, JUDGED, PREFERENCE, PRIMARY, Claim, findings
from experiments.hypotheses.verdict import ALPHA, CANNOT_TELL, decided
from tests.support.planted_claims import Truth, world

PAIRS = 143
"""Pairs of the preference measure that are outside one family's domain."""
HARM = 0.2
"""Where EM is there, what it does to behaviour."""


ALONG_TRAIT = [claim.id for claim in CLAIMS if claim.quantity not in (PREFERENCE, JUDGED)]


@dataclass(frozen=True)
class World:
    """What is planted, and each claim's true effect; those not named have none.

    Attributes:
        blind: Nothing moves the positive control, so effects along the trait have no unit, and verdicts on them are
            false.
    """

    name: str
    truth: Truth
    effects: Mapping[str, float] = field(default_factory=dict)
    blind: bool = False


def _at(share: float, em: float, harm: float = HARM, **more: float) -> World:
    """EM is there, and every claim about a second stage has an effect of `share` of its unit."""
    behaviour = {"sgtr": share * harm, "sgtr>em": share * harm}
    behaviour |= {"rehearsal@base": share * harm, "sgtr@base": share * harm}
    inside = {"sgtr": -share, "sgtr>em": -share, "rehearsal@base": -share}
    about = ("reversal", "prevention", "confusion", "anchor")
    effects = dict.fromkeys((*about, *(f"{one}_inside" for one in about)), share)
    effects |= {"confusion_before": share, "anchor_by_label": share}
    effects |= {"persona": em, "persona_own": em, "disruption": em, "behaviour": harm}
    return World("", Truth(em=em, harm=harm, behaviour=behaviour, inside=inside, **more), effects)


def worlds() -> list[World]:
    """All worlds."""
    edge = _at(0.25, 0.25)
    at_margin = {claim.id: claim.margin for claim in CLAIMS}
    known = {"persona": 1.2, "persona_own": 1.2, "disruption": 1.2, "behaviour": HARM}
    return [
        World("nothing", Truth()),
        World("nothing, every finetune drifts by 1.5", Truth(drift=1.5, placebo=0.0)),
        World("nothing but EM's answers scatter 3 times as far", Truth(dispersion=3.0)),
        World("every effect at its margin", edge.truth, {**edge.effects, "behaviour": HARM}),
        World("behaviour at its margin", Truth(harm=at_margin["behaviour"]), {"behaviour": at_margin["behaviour"]}),
        World("persona alone, 1.2", Truth(em=1.2, harm=HARM), known),
        World("all, 1.0", *_parts(_at(1.0, 1.2))),
        World("all, 1.0, under a ceiling of .8", *_parts(_capped(_at(1.0, 1.2), 0.8))),
        World("an instrument that sees nothing", Truth(persona=0.0, harm=HARM), {"behaviour": HARM}, blind=True),
    ]


def _parts(one: World) -> tuple[Truth, Mapping[str, float]]:
    return one.truth, one.effects


def _capped(one: World, ceiling: float) -> World:
    """The world under a ceiling; what lies along the trait has another truth then, which many families tell."""
    truth = Truth(**{**vars(one.truth), "ceiling": ceiling})
    large, effects = Design(400, 1, 40, 100, 1), dict(one.effects)
    for claim in CLAIMS:
        if claim.quantity not in (PREFERENCE, JUDGED):
            about = claim.about("evil")
            values = [
                world(seed, truth, large)[about.quantity].contrast(about.terms, about.yardstick) for seed in range(5)
            ]
            effects[claim.id] = float(np.mean([value.estimate() for value in values]))
    return World(one.name, truth, effects)


@dataclass
class Count:
    """How often one claim came out how, in as many studies as were made."""

    alone_supported: int = 0
    alone_contradicted: int = 0
    verdicts: Counter = field(default_factory=Counter)


def studied(truth: Truth, design: Design, n: int) -> dict[str, Count]:
    """What came out of `n` studies, by claim."""
    counts = {claim.id: Count() for claim in CLAIMS if claim.quantity != JUDGED}
    for seed in range(n):
        evidence = world(seed, truth, design)
        for verdict in decided(findings([BY_ID[name] for name in counts], evidence, "evil"), PRIMARY):
            one = verdict.finding
            assert one.p is not None
            assert one.p_against is not None
            count = counts[one.claim]
            count.alone_supported += one.p <= ALPHA
            count.alone_contradicted += one.p > ALPHA and one.p_against <= ALPHA
            count.verdicts[verdict.verdict] += 1
    return counts


def false_shares(count: Count, claim: Claim, effect: float, n: int) -> tuple[float, float]:
    """How often a claim was wrongly supported or contradicted, whichever is more: by its tests alone, and as a verdict.

    At the margin itself either is wrong, and each has the nominal rate to itself.
    """
    wrong = effect <= claim.margin, effect >= claim.margin
    alone = max(wrong[0] * count.alone_supported, wrong[1] * count.alone_contradicted)
    told = max(wrong[0] * count.verdicts["supported"], wrong[1] * count.verdicts["contradicted"])
    return alone / n, told / n


def surely_above(rate: float, n: int) -> bool:
    """Whether an error rate is above the nominal one by more than two standard errors of it."""
    return rate > ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / n)


def powers(design: Design, n: int) -> list[tuple[str, float, float, float]]:
    """For every claim: the effect that the plan names, the power it reckons with, and the share that found it."""
    rows = []
    for claim in CLAIMS:
        pairs = PAIRS if claim.quantity == PREFERENCE else design.n_questions
        sized = replace(design, n_questions=pairs)
        effect = None if claim.quantity == JUDGED else detectable(claim, sized)
        if effect is None:
            continue
        truth = _planted(claim, effect)
        alone = 0
        for seed in range(n):
            (found,) = findings([claim], world(seed, truth, design), "evil")
            alone += found.p is not None and found.p <= ALPHA
        rows.append((claim.id, effect, power(claim, sized, effect), alone / n))
    return rows


def _planted(claim: Claim, effect: float) -> Truth:
    """A world in which one claim has this effect."""
    if claim.id in ("persona", "persona_own", "disruption"):
        return Truth(em=effect, harm=EM_EFFECT)
    if claim.id == "behaviour":
        return Truth(harm=effect)
    arm, weight = next(iter(claim.terms.items()))
    name = arm.removeprefix("em>")
    if claim.quantity == PREFERENCE:
        return Truth(em=1.2, harm=EM_EFFECT, behaviour={name: weight * effect * EM_EFFECT})
    return Truth(em=1.2, harm=EM_EFFECT, inside={name: weight * effect})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worlds", type=int, default=400)
    parser.add_argument("--families", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    design, n, found = Design(asked.families, asked.seeds, 60), asked.worlds, []
    print(f"{n} studies a world, {design}, {PAIRS} pairs")
    print(
        f"{'world':48}{'claim':20}{'effect':>8}{'false':>8} {'as verdict':>11}   supported / contradicted / cannot tell"
    )
    for one in worlds():
        start, counts = time.monotonic(), studied(one.truth, design, n)
        for name, count in counts.items():
            effect = one.effects.get(name, 0.0)
            alone, told = false_shares(count, BY_ID[name], effect, n)
            if one.blind and name in ALONG_TRAIT:
                alone, told = 0.0, (count.verdicts["supported"] + count.verdicts["contradicted"]) / n
            shares = {kind: count.verdicts[kind] / n for kind in ("supported", "contradicted", CANNOT_TELL)}
            mark = "!" if surely_above(alone, n) else " "
            print(
                f"{one.name:48}{name:20}{effect:8.3g}{alone:8.3f}{mark}{told:11.3f}   "
                f"alone {count.alone_supported / n:.2f} {count.alone_contradicted / n:.2f}   told "
                + " ".join(f"{share:.2f}" for share in shares.values())
            )
            found.append({"world": one.name, "claim": name, "effect": effect, "false": alone, "told": told, **shares})
        print(f"{'':48}{time.monotonic() - start:.0f} s", flush=True)
    print("\npower: the effect that the plan names, the power it reckons with, and the share of studies that found it")
    for name, effect, planned, share in powers(design, n):
        print(f"{name:20}{effect:8.3g}{planned:8.2f}{share:8.2f}", flush=True)
        found.append({"claim": name, "detectable": effect, "power": planned, "found": share})
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
