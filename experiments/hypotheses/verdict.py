"""From contrasts to verdicts: gates first, then interval against margin, then the adjustment for several claims.

1. A claim is that an effect is larger than a margin, which was written down before. *Supported*: the whole interval
   lies beyond the margin. *Contradicted*: the whole interval lies inside minus and plus the margin, or wholly on the
   other side of minus the margin. *Undecided*: neither.
2. A claim's gates come first. If one fails, the verdict is *the instrument cannot tell*, with the gate's numbers: what
   the interval says is shown, and means nothing.
3. There are three tests of one effect, and all of them have to agree at .025 one-sided: Student's over families and
   questions, the exact sign-flip test over families and, for a claim about one direction rather than any, its place
   among placebo directions. `p` is for an effect at or below the margin, `p_against` for one that is not where a
   contradiction puts it.
4. The primary claims are tested in their order, each only while all before it are supported. All others, and primary
   ones behind one that is not supported, are exploratory: Student's p is adjusted by Benjamini and Hochberg over all of
   these, of each kind apart. The other two tests are not adjusted, since with few families they cannot get any smaller;
   they can only take a verdict away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from interp.comparisons import benjamini_hochberg
from interp.contrasts import Contrast, rank_p, sign_flip_p
from interp.stats import Estimate

ALPHA = 0.025
CANNOT_TELL = "the instrument cannot tell"
Decision = Literal["supported", "contradicted", "undecided", "the instrument cannot tell"]


@dataclass(frozen=True)
class GateResult:
    """Whether what a claim presupposes was shown in the run.

    Attributes:
        gate: Its name.
        passed: Whether it was shown.
        why: What was looked at, with its numbers.
        estimate: The number that the gate rests on, with its interval; None if nothing was measured.
    """

    gate: str
    passed: bool
    why: str
    estimate: Estimate | None = None


@dataclass(frozen=True)
class Finding:
    """What a run says of one claim, before claims are adjusted for one another.

    Attributes:
        claim: The claim's id.
        margin: Smallest effect that matters, in the effect's unit.
        estimate: The effect and its interval; `n` counts families.
        by_student: Student's one-sided p for and against it; None if the claim cannot be tested.
        exact: p for and against it by the tests that are not adjusted: the sign-flip test, and the place among placebo
            directions where the claim has one; None likewise.
        gates: What the claim presupposes.
        why_untested: Why it cannot be tested, if so.
        null_p: Its one-sided place among placebo directions; None where these are no part of the claim.
        floor: The least that `p` can be with so many families and placebo directions.
    """

    claim: str
    margin: float
    estimate: Estimate
    by_student: tuple[float, float] | None = None
    exact: tuple[float, float] | None = None
    gates: tuple[GateResult, ...] = ()
    why_untested: str = ""
    null_p: float | None = None
    floor: float = 0.0

    @property
    def p(self) -> float | None:
        """For an effect at or below the margin, by all tests and unadjusted; None if it cannot be tested."""
        return self._largest(0)

    @property
    def p_against(self) -> float | None:
        """For an effect that is not where a contradiction puts it, likewise."""
        return self._largest(1)

    def _largest(self, side: int) -> float | None:
        if self.by_student is None or self.exact is None:
            return None
        return max(self.by_student[side], self.exact[side])


@dataclass(frozen=True)
class Verdict:
    """A finding with its verdict.

    Attributes:
        primary: Whether it was tested as one of the primary claims, in their sequence.
        p_adjusted: `p` as it was compared with .025; None where it could not be tested.
        p_against_adjusted: Likewise.
        why: The reason in words.
    """

    finding: Finding
    verdict: Decision
    primary: bool
    p_adjusted: float | None
    p_against_adjusted: float | None
    why: str = field(default="")


def finding_of(
    claim: str,
    contrast: Contrast,
    margin: float,
    gates: Sequence[GateResult] = (),
    placebos: Sequence[float] | np.ndarray | None = None,
    needs_placebos: bool = False,
) -> Finding:
    """What a contrast says of the claim that it is above `margin`.

    Args:
        placebos: The contrast's raw difference along every placebo direction.
        needs_placebos: The claim is about this direction rather than any, so without placebo directions it is untested.
    """
    estimate, gates = contrast.interval(), tuple(gates)
    if contrast.n_families < 2:
        few = f"{contrast.n_families} family has all arms of it, and a test takes 2"
        return Finding(claim, margin, estimate, gates=gates, why_untested=few)
    null_p, floor = None, 2.0**-contrast.n_families
    if needs_placebos:
        if placebos is None or not len(placebos):
            alone = "no placebo directions to hold it against"
            return Finding(claim, margin, estimate, gates=gates, why_untested=alone)
        null_p = rank_p(contrast.along(0).raw(), np.asarray(placebos, dtype=float))
        floor = max(floor, 1 / (len(placebos) + 1))
    at, below = contrast.pivot(margin), contrast.pivot(-margin)
    by_student = (at.p_above(), max(at.p_below(), min(below.p_above(), below.p_below())))
    above, under = sign_flip_p(at.by_family), sign_flip_p(-at.by_family)
    apart = min(sign_flip_p(below.by_family), sign_flip_p(-below.by_family))
    exact = (max(above, null_p or 0.0), max(under, apart))
    return Finding(claim, margin, estimate, by_student, exact, gates, "", null_p, floor)


def decided(findings: Sequence[Finding], primary: Sequence[str]) -> list[Verdict]:
    """Every finding's verdict, in order; `primary` names the primary claims in the order in which they are tested."""
    by_claim = {finding.claim: finding for finding in findings}
    in_sequence: list[str] = []
    for name in primary:
        if name not in by_claim:
            break
        in_sequence.append(name)
        finding = by_claim[name]
        if _failed(finding) or finding.p is None or finding.p > ALPHA:
            break
    rest = [one for one in findings if one.claim not in in_sequence and one.by_student and not _failed(one)]
    adjusted = [benjamini_hochberg([one.by_student[side] for one in rest if one.by_student]) for side in (0, 1)]
    by_student = {one.claim: pair for one, pair in zip(rest, zip(*adjusted, strict=True), strict=True)}
    return [_verdict(one, by_student.get(one.claim, one.by_student), one.claim in in_sequence) for one in findings]


def _failed(finding: Finding) -> bool:
    return not all(gate.passed for gate in finding.gates)


def _verdict(finding: Finding, by_student: tuple[float, float] | None, primary: bool) -> Verdict:
    if failed := [gate for gate in finding.gates if not gate.passed]:
        why = "; ".join(f"{gate.gate}: {gate.why}" for gate in failed)
        return Verdict(finding, CANNOT_TELL, primary, None, None, why)
    if by_student is None or finding.exact is None:
        return Verdict(finding, "undecided", primary, None, None, finding.why_untested)
    p, p_against = (max(pair) for pair in zip(by_student, finding.exact, strict=True))
    margin, value = finding.margin, finding.estimate.value
    if p <= ALPHA:
        return Verdict(finding, "supported", primary, p, p_against, f"surely above {margin:.3g} (p {p:.2g})")
    if p_against <= ALPHA:
        inside = value is not None and abs(value) < margin
        where = f"surely between {-margin:.3g} and {margin:.3g}" if inside else f"surely below {-margin:.3g}"
        return Verdict(finding, "contradicted", primary, p, p_against, f"{where} (p {p_against:.2g})")
    why = f"neither surely above {margin:.3g} (p {p:.2g}) nor surely inside it or on the other side (p {p_against:.2g})"
    if finding.floor > ALPHA:
        why += f"; with so few families or placebo directions p is at least {finding.floor:.2g} whatever the effect"
    return Verdict(finding, "undecided", primary, p, p_against, why)
