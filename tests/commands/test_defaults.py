"""A default that a command shows is that of the configuration which it fills."""

import dataclasses
from typing import Any

import pytest
from pydantic import BaseModel

from experiments.commands.ablate import Ablate
from experiments.commands.lens import Lens
from experiments.commands.steer import Steer
from experiments.interventions.treatments import AblateConfig, GridConfig, SteerConfig
from experiments.lens import LensConfig

OTHERWISE_WRITTEN = {"alphas": (-2.0, -1.0, 0.0, 1.0, 2.0), "phases": ("response",)}
"""What the command line has as one text."""


@pytest.mark.parametrize(
    ("command", "config"), [(Ablate, AblateConfig), (Steer, SteerConfig), (Steer, GridConfig), (Lens, LensConfig)]
)
def test_a_command_s_defaults_are_those_of_its_configuration(command: Any, config: type[BaseModel]) -> None:
    shown = {field.name: field.default for field in dataclasses.fields(command)} | {"measures": None}
    shared = [name for name in config.model_fields if name in shown and name not in ("measures", "judge")]
    assert shared
    for name in shared:
        default = config.model_fields[name].default
        if name in OTHERWISE_WRITTEN:
            assert default == OTHERWISE_WRITTEN[name]
            kind = type(default[0])
            assert tuple(map(kind, shown[name].split(","))) == default
        else:
            assert shown[name] == default, name
