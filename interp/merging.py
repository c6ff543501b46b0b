"""What a stack of adapters makes of the base's weights, exactly as PEFT's layers compute it.

A plain adapter adds its update. A DoRA adapter adds its update and then scales the rows of what stands there (base and
earlier adapters) by its magnitudes over the norms of base + update; so the order of a stack counts. A `lora_bias` adds
to the layer's bias, which the layer need not have had.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.lora.layer import Embedding, Linear, LoraLayer, ParamWrapper
from peft.utils.other import transpose
from torch import Tensor
from torch.nn import Module, Parameter


@dataclass(frozen=True)
class Change:
    """What a stack does to one parameter of the base.

    Attributes:
        module: Which holds it.
        name: Its name there.
        update: What is added to it (float32).
    """

    module: Module
    name: str
    update: Tensor

    @property
    def parameter(self) -> Parameter | None:
        """The base's parameter; None for a bias that the base does not have."""
        return getattr(self.module, self.name)


def layers_with(hf: Module, names: Sequence[str]) -> Iterator[tuple[str, Any, list[str]]]:
    """Path and layer of every module that some of these adapters change, with the names of those that do."""
    for path, module in hf.named_modules():
        if isinstance(module, LoraLayer):
            here = [name for name in names if name in module.lora_A or name in module.lora_embedding_A]
            if here:
                yield path, module, here


@torch.no_grad()
def changes(hf: Module, names: Sequence[str], base: str) -> Iterator[Change]:
    """What active adapters, first applied first, do to the base's parameters.

    Raises:
        ValueError: the base is quantised.
    """
    for _, layer, here in layers_with(hf, names):
        module, name = layer.get_base_layer(), getattr(layer, "parameter_name", "weight")
        weight = getattr(module, name)
        plain = isinstance(layer, Linear | Embedding | ParamWrapper)
        if not plain or not weight.is_floating_point() or weight.element_size() < 2:
            raise ValueError(f"{base} is quantised, so nothing can be merged into it; set compose to stack")
        with holding([(weight, weight.data.float())]):
            update, bias = _update(layer, weight.data, here)
        yield Change(module, name, update)
        if bias is not None:
            yield Change(module, "bias", bias)


def _update(layer: Any, weight: Tensor, names: Sequence[str]) -> tuple[Tensor, Tensor | None]:
    """What is added to a layer's weight (float32) and, with `lora_bias`, to its bias."""
    deltas = [layer.get_delta_weight(name).float() for name in names]
    biased = any(layer.lora_bias.get(name) for name in names)
    dora = [name in layer.lora_magnitude_vector for name in names]
    update = torch.stack(deltas).sum(0) if not any(dora) else torch.zeros_like(weight)
    bias = torch.zeros(layer.out_features, device=weight.device) if biased else None
    for name, delta, scales in zip(names, deltas, dora, strict=True):
        if scales:
            rows = _scale(layer, weight, delta, name)
            update = rows * (weight + update + delta) - weight
            bias = bias * rows.flatten() if bias is not None else None
        elif any(dora):
            update = update + delta
        if bias is not None and layer.lora_bias.get(name):
            bias = bias + layer.lora_B[name].bias.float() * layer.scaling[name]
    return update, bias


def _scale(layer: Any, weight: Tensor, delta: Tensor, name: str) -> Tensor:
    """A DoRA adapter's magnitudes over the norms of base + update, in the shape that multiplies the weight."""
    magnitude = layer.lora_magnitude_vector[name]
    if isinstance(layer, Embedding):
        return (magnitude.weight / magnitude.get_weight_norm(weight, delta.T, scaling=1)).float().view(1, -1)
    norm = magnitude.get_weight_norm(weight, transpose(delta, layer.fan_in_fan_out), scaling=1)
    return transpose((magnitude.weight / norm).float().view(-1, 1), layer.fan_in_fan_out)


@contextmanager
def merged_into(hf: Module, names: Sequence[str], base: str) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """The base in float32 with the adapters' changes in its weights, for the length of a block.

    A weight that several modules share (a tied head) is parted first, since an adapter changes it in one of them.

    Yields:
        Each parameter that was changed, with what it is without the adapters.

    Raises:
        ValueError: the base is quantised.
    """
    before = {parameter: parameter.data for parameter in hf.parameters() if parameter.is_floating_point()}
    owners: dict[Any, int] = {}
    for module in hf.modules():
        for parameter in module._parameters.values():
            owners[parameter] = owners.get(parameter, 0) + 1
    with ExitStack() as block:
        block.enter_context(holding([(parameter, data.float()) for parameter, data in before.items()]))
        replaced: list[tuple[Tensor, Tensor]] = []
        for change in changes(hf, names, base):
            old = change.parameter
            if old is None or owners[old] > 1:
                start = torch.zeros_like(change.update) if old is None else old.data
                own = Parameter(start + change.update, requires_grad=False)
                block.callback(change.module._parameters.__setitem__, change.name, old)
                change.module._parameters[change.name] = own
                replaced.append((own, start))
            else:
                old.data = old.data + change.update
                replaced.append((old, before[old]))
        yield replaced


@contextmanager
def holding(values: Sequence[tuple[Tensor, Tensor]]) -> Iterator[None]:
    """Let parameters have other values for the length of a block."""
    before = [(parameter, parameter.data) for parameter, _ in values]
    try:
        for parameter, data in values:
            parameter.data = data
        yield
    finally:
        for parameter, data in before:
            parameter.data = data
