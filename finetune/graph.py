"""The whole optimiser step as one CUDA graph for each of a few padded shapes.

At these sizes a step is bound by launching thousands of small kernels from Python; a graph launches them all at once.
Rows are padded up to one of a few widths, and the supervised positions up to the most that a step of that width has;
filler has weight zero, so a step's loss and gradient are those of the plain step.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from finetune.batch import Inputs

MOST_SHAPES = 6


def shapes_of(steps: Sequence[tuple[int, int]], most: int = MOST_SHAPES) -> dict[int, int]:
    """Padded widths that cover all steps, with the supervised positions each must hold.

    Args:
        steps: Width of the longest row, and supervised positions, of every step.

    Returns:
        Positions by width, widest first; at most `most` widths, multiples of the least power of two that allows it.
    """
    unit = 8
    while len({-(-width // unit) for width, _ in steps}) > most:
        unit *= 2
    shapes: dict[int, int] = {}
    for width, n in steps:
        padded = -(-width // unit) * unit
        shapes[padded] = max(shapes.get(padded, 1), n)
    return dict(sorted(shapes.items(), reverse=True))


class Graphs:
    """Captured steps by shape.

    Raises:
        torch.OutOfMemoryError: a shape does not fit; nothing was trained.
    """

    def __init__(
        self,
        shapes: Mapping[int, Inputs],
        backward: Callable[[Inputs], Tensor],
        update: Callable[[], None],
        optimiser: torch.optim.Optimizer,
        device: torch.device,
    ) -> None:
        self._held = shapes
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, Tensor]] = {}
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for inputs in shapes.values():
                backward(inputs)  # filler alone has no loss: gradients of zero
                optimiser.zero_grad(set_to_none=True)
            backward(next(iter(shapes.values())))
            _start(optimiser)
        torch.cuda.current_stream(device).wait_stream(aside)
        pool = torch.cuda.graph_pool_handle()
        for width, inputs in shapes.items():
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.device(device), torch.cuda.graph(graph, pool=pool):
                loss = backward(inputs)
                update()
            self._graphs[width] = graph, loss

    def __call__(self, width: int, inputs: Inputs) -> Float[Tensor, "2"]:
        """Take one step on `inputs`, which have the shape of `width`; loss and penalty, on the device."""
        graph, loss = self._graphs[width]
        self._held[width].fill(inputs)
        graph.replay()
        return loss.clone()


def _start(optimiser: torch.optim.Optimizer) -> None:
    """Let an optimiser make its state, which a graph cannot, and leave it as before the first step."""
    rates = [group["lr"].clone() for group in optimiser.param_groups]
    for group in optimiser.param_groups:
        group["lr"].zero_()
    optimiser.step()
    for group, rate in zip(optimiser.param_groups, rates, strict=True):
        group["lr"].copy_(rate)
    for state in optimiser.state.values():
        for value in state.values():
            value.zero_()
    optimiser.zero_grad(set_to_none=True)
