"""What a study's stages stand for in its claims: EM families with their twins, references, and second stages.

```yaml
claims:
  trait: evil
  families: {medical: {em: em_medical, twin: twin_medical}}
  references:
    evil: {placebo: [self_0, self_1], persona: [evil_0, evil_1], doses: {0.5: [half_0, half_1]}}
  labels:
    sgtr: {base: sgtr, parent: sgtr_parent}
    pick_longer: {base: pick_longer, parent: pick_longer_parent}
  anchor: base
```

The arms of claims (`em>sgtr`, `sgtr>em`, `em>sgtr@parent`) are nodes of the study's own arms; `arm_nodes` says which.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, field_validator, model_validator

from experiments.hypotheses.register import BY_ID, PRIMARY
from finetune.data.sets import DataConfig
from interp.errors import did_you_mean

if TYPE_CHECKING:
    from experiments.study.config import StudyConfig

Label = Literal["sgtr", "pick_longer", "contradictory", "rehearsal"]
Anchor = Literal["none", "parent", "base"]
_DATA: TypeAdapter[Any] = TypeAdapter(DataConfig)


class FamilyConfig(BaseModel):
    """A narrow data set and its benign twin, as stages on the base model."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    em: str
    twin: str | None = None
    """The stage that differs from `em` in its answers' harm alone; without one no claim can be made about `em`."""
    in_domain: tuple[str, ...] | None = None
    """Domains of preference pairs that the set is about, which are left out; None for what its builder says."""


class ReferenceConfig(BaseModel):
    """Stages that show what a trait is worth: lists of replicates, in the same order in each."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    placebo: tuple[str, ...] = Field(min_length=1)
    """Trained on the model's own ordinary answers."""
    persona: tuple[str, ...] = Field(min_length=1)
    """Trained on its answers under the trait's instructions, which were taken away."""
    doses: dict[float, tuple[str, ...]] = Field(default_factory=dict)
    """The same with a share of such answers."""
    kind: tuple[str, ...] = ()
    """Trained on its answers under the opposite instructions."""

    @model_validator(mode="after")
    def _of_one_length(self) -> "ReferenceConfig":
        lists = {"persona": self.persona, **{f"doses.{dose:g}": names for dose, names in self.doses.items()}}
        for field, names in {**lists, **({"kind": self.kind} if self.kind else {})}.items():
            if len(names) != len(self.placebo):
                raise ValueError(
                    f"{field}: {len(names)} replicates, but placebo has {len(self.placebo)}; replicates are paired in "
                    "their order, so give as many of each"
                )
        if outside := [dose for dose in self.doses if not 0 < dose < 1]:
            raise ValueError(f"doses: {outside[0]:g} must be inside (0, 1); the full dose is persona")
        return self

    @property
    def stages(self) -> dict[str, tuple[str, ...]]:
        """Replicates by the name that gates and claims give them."""
        doses = {f"persona {dose:g}": names for dose, names in self.doses.items()}
        return {"placebo": self.placebo, **doses, "persona": self.persona, **({"kind": self.kind} if self.kind else {})}


class ClaimsConfig(BaseModel):
    """What is claimed of a study's stages, and what they are held against."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trait: str
    """The trait that claims are about."""
    families: dict[str, FamilyConfig] = Field(default_factory=dict)
    references: dict[str, ReferenceConfig] = Field(default_factory=dict)
    """By trait; the instrument's own study has several."""
    labels: dict[Label, dict[Anchor, str]] = Field(default_factory=dict)
    """Stages trained after EM and before it, by what they teach and by what anchors them (rehearsal of the base
    model's answers, of the answers of the model before, or nothing)."""
    anchor: Anchor = "base"
    """The anchor of arms that name none."""
    benign: tuple[str, ...] = ()
    """Further benign stages on the base model."""
    band: tuple[float, float] = (0.4, 0.75)
    """First and last layer of the band that projections are averaged over, as shares of the depth."""
    remade: int = Field(default=5, ge=1)
    """Directions of each trait, all but the first made again from other rollouts."""
    placebo_traits: int = Field(default=100, ge=0)
    """Directions made from meaningless instructions by the same recipe."""
    primary: tuple[str, ...] = PRIMARY
    """Claims that are tested in this order; all others are exploratory."""

    @field_validator("band")
    @classmethod
    def _is_a_band(cls, band: tuple[float, float]) -> tuple[float, float]:
        if not 0 <= band[0] <= band[1] <= 1:
            raise ValueError(f"must be two shares of the depth in ascending order, got {list(band)}")
        return band

    @model_validator(mode="after")
    def _known(self) -> "ClaimsConfig":
        for name in self.primary:
            if name not in BY_ID:
                raise ValueError("primary: " + did_you_mean("claim", name, sorted(BY_ID)))
        if len(self.primary) > 3 or len(set(self.primary)) < len(self.primary):
            raise ValueError(f"primary: at most three, all distinct, got {list(self.primary)}")
        for name, family in self.families.items():
            if family.twin is None:
                raise ValueError(
                    f"families.{name}: {family.em} has no twin, so no claim can be made about it; add a stage on "
                    "{builder: twin, of: ...} with the same training, and name it as twin"
                )
        if self.families and self.trait not in self.references:
            raise ValueError(
                f"references: none for {self.trait}, so nothing says how far it can be moved along; add stages on "
                "persona_distilled and self_distilled"
            )
        for label, anchors in self.labels.items():
            if self.anchor not in anchors:
                raise ValueError(f"labels.{label}: no stage with the anchor {self.anchor}, which arms have by default")
        return self

    def layers(self, n_layers: int) -> list[int]:
        """The band's layers, as block indices."""
        first, last = (round(share * (n_layers - 1)) for share in self.band)
        return list(range(first, last + 1))


def check_claims(config: "StudyConfig") -> None:
    """Check that claims name stages and nodes of the study, and that twins are trained as their EM stages are.

    Raises:
        ValueError: they do not.
    """
    claims = config.claims
    if claims is None:
        return
    if config.roles:
        raise ValueError("roles: are of the superseded plan, and claims of the present one; leave one of them out")
    nodes = {"-".join(arm[: i + 1]) for arm in config.arms.values() for i in range(len(arm))}
    if claims.trait not in config.trait_names:
        raise ValueError("claims.trait: " + did_you_mean("trait", claims.trait, sorted(config.trait_names)))
    for trait, reference in claims.references.items():
        if trait not in config.trait_names:
            raise ValueError("claims.references: " + did_you_mean("trait", trait, sorted(config.trait_names)))
        for kind, names in reference.stages.items():
            for name in names:
                _require_node(f"claims.references.{trait}.{kind}", name, nodes)
    for name in claims.benign:
        _require_node("claims.benign", name, nodes)
    for name, family in claims.families.items():
        assert family.twin is not None
        for field, stage in (("em", family.em), ("twin", family.twin)):
            _require_node(f"claims.families.{name}.{field}", stage, nodes)
        _check_twin(f"claims.families.{name}", config.stages[family.em], config.stages[family.twin])
    for label, anchors in claims.labels.items():
        for anchor, stage in anchors.items():
            if stage not in config.stages:
                known = did_you_mean("stage", stage, sorted(config.stages))
                raise ValueError(f"claims.labels.{label}.{anchor}: {known}")


def _require_node(where: str, name: str, nodes: set[str]) -> None:
    if name not in nodes:
        raise ValueError(f"{where}: " + did_you_mean("stage that an arm begins with", name, sorted(nodes)))


def _check_twin(where: str, em: Any, twin: Any) -> None:
    for field in ("train", "compose", "defences"):
        if getattr(em, field) != getattr(twin, field):
            raise ValueError(
                f"{where}: the twin's {field} differs from the EM stage's, so more than harm would tell them apart; "
                "give both the same"
            )


def arm_nodes(claims: ClaimsConfig) -> dict[str, list[str]]:
    """For every family arm that a claim may name, its node for each family; a study need not have all of them."""
    families = list(claims.families.values())
    arms = {"em": [one.em for one in families], "twin": [str(one.twin) for one in families]}
    for label, anchors in claims.labels.items():
        for anchor, stage in anchors.items():
            after = [f"{one.em}-{stage}" for one in families]
            before = [f"{stage}-{one.em}" for one in families]
            arms |= {f"em>{label}@{anchor}": after, f"{label}@{anchor}>em": before}
            if anchor == claims.anchor:
                arms |= {f"em>{label}": after, f"{label}>em": before}
    return arms


def in_domain(family: FamilyConfig, study: Mapping[str, Any]) -> tuple[str, ...]:
    """Domains of preference pairs that a family is about: those it names, or else those its builder does."""
    if family.in_domain is not None:
        return family.in_domain
    data = study["data"][study["stages"][family.em]["data"]]
    return getattr(_DATA.validate_python(data), "domains", ())


def of_study(study: Mapping[str, Any]) -> ClaimsConfig | None:
    """The claims of a stored study; None if it makes none, or those of the superseded plan."""
    held = study.get("claims")
    return None if held is None else ClaimsConfig.model_validate(held)
