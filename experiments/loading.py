"""How a command loads the model that it is about."""

from dataclasses import dataclass
from typing import Any

from interp.model import Model
from interp.sources import pick_device, pick_dtype
from interp.template import AS_IS, TemplateSettings


@dataclass(frozen=True)
class Loading:
    """Where a model computes, in which numbers, and with which chat template it is asked.

    Attributes:
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: `auto`, `float32`, `bfloat16` or `float16`.
        template: How the model is asked.
    """

    device: str
    dtype: str
    template: TemplateSettings = AS_IS

    @property
    def dtype_name(self) -> str:
        """The numbers that the model is loaded in, where `auto` is what its device takes.

        Raises:
            ValueError: there is no such device or dtype.
        """
        return str(pick_dtype(self.dtype, pick_device(self.device))).removeprefix("torch.")

    def model(self, spec: str, **how: Any) -> Model:
        """The model of this name, folder or file; `how` is as for `Model.load`."""
        return Model.load(spec, self.template, device=self.device, dtype=self.dtype, **how)
