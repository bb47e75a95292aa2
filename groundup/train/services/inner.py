"""Inner statistics: how large gradients, updates, activations and logits are, by layer and kind.

Taken on every so many steps; on the others nothing is computed and nothing hooked. Blocks that are
compiled stay so: what enters each is noted between them. A row of metrics has, for example,

    gradient/layers.3.attention      norm of a part's gradient, before clipping
    update/layers.3.attention        norm of the step that moved it, over the norm of the weights
    activation rms/layers.3          root mean square of what enters layer 3, and its largest value
    activation max/layers.3
    logits rms, logits max           of some positions of the last micro-batch

Knows nothing of what is healthy: see docs/train-services.md.
"""

import math
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from groundup.core import record
from groundup.model import Transformer

from ..loop import Accept, Step

POSITIONS = 64
"""Positions whose logits are looked at: all of them would be a step's largest tensor."""


def part_of(name: str) -> str:
    """The part of the model that a parameter is counted to: its layer and kind.

    >>> part_of("layers.3.attention.query.weight"), part_of("embed_tokens.weight")
    ('layers.3.attention', 'embed_tokens')
    """
    words = name.split(".")
    if "layers" in words[:-2]:
        return ".".join(words[: words.index("layers") + 3])
    return ".".join(words[:-1]) or name


class Inner:
    """Looks into a model on every so many steps; it is an `accept` and a service of one run."""

    def __init__(
        self,
        model: nn.Module,
        body: Transformer,
        every: int,
        metrics: record.Metrics | None,
        *,
        accept: Accept | None = None,
    ) -> None:
        """Look into what is trained, and into the activations of its body.

        every    steps between two looks, the first at step 0; on one a copy of the weights is held
        metrics  None on a process that looks along with others and writes nothing
        accept   who decides whether a step is made; None: all are
        """
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.body, self.every, self.metrics, self.accept = body, every, metrics, accept
        self.found: dict[str, float] = {}
        self.before: dict[str, Tensor] = {}
        self.states: list[Tensor] = []

    def __call__(self, step: int, loss: float, norm: float) -> bool:
        """Look at a step that is due, keep its weights, and decide as `accept` does."""
        is_made = self.accept is None or self.accept(step, loss, norm)
        if step % self.every == 0 and math.isfinite(norm):
            self.found = self.activations() | self.gradients(norm)
            if is_made:
                self.before = {n: p.detach().clone() for n, p in self.parameters.items()}
        return is_made

    def watching(self, steps: Iterable[Step], start: int = 0) -> Iterator[Step]:
        """Let the steps that are due be looked at, and write what was found."""
        number, made = start, iter(steps)
        while True:
            hooks = self.hooked() if number % self.every == 0 else []
            try:
                step = next(made, None)
            finally:
                for hook in hooks:
                    hook.remove()
            if step is None:
                return
            if step.number % self.every == 0:
                self.write(step.number)
            number = step.number + 1
            yield step

    def write(self, step: int) -> None:
        """Write a step's row and let go of what was held for it."""
        found = self.found | self.updates()
        if self.metrics is not None:
            self.metrics.write(step=step, **{n: float(f"{v:.5g}") for n, v in found.items()})
        self.found, self.before, self.states = {}, {}, []

    def hooked(self) -> list[Any]:
        """Let the body note its states until the hooks are removed; the last pass's are kept."""

        def ask(module: nn.Module, given: tuple, named: dict[str, Any]) -> Any:
            self.states = []
            return given, {"states": self.states} | named

        return [self.body.register_forward_pre_hook(ask, with_kwargs=True)]

    @torch.no_grad()
    def gradients(self, norm: float) -> dict[str, float]:
        """Norms by part; clipping, which shortened all alike, is taken back."""
        grads = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        squares = by_part(grads)
        whole = math.sqrt(sum(squares.values()))
        factor = norm / whole if whole else 0.0
        return {f"gradient/{part}": factor * math.sqrt(s) for part, s in squares.items()}

    @torch.no_grad()
    def updates(self) -> dict[str, float]:
        """How far each part moved, over its norm before; nothing if the step was not made."""
        moved = {n: self.parameters[n] - old for n, old in self.before.items()}
        sizes = by_part(self.before)
        return {
            f"update/{part}": math.sqrt(square / sizes[part])
            for part, square in by_part(moved).items()
            if sizes[part]
        }

    @torch.no_grad()
    def activations(self) -> dict[str, float]:
        """Size of what enters each layer, of the output, and of some logits."""
        if not self.states:
            return {}
        names = [*(f"layers.{i}" for i in range(len(self.states) - 1)), "output"]
        found: dict[str, float] = {}
        for name, state in zip(names, self.states, strict=True):
            rms, largest = sizes_of(state)
            found |= {f"activation rms/{name}": rms, f"activation max/{name}": largest}
        hidden = self.states[-1].reshape(-1, self.states[-1].shape[-1])
        chosen = hidden[:: max(1, len(hidden) // POSITIONS)][:POSITIONS]
        rms, largest = sizes_of(self.body.project(chosen.to(self.body.head.dtype)))
        return found | {"logits rms": rms, "logits max": largest}


def by_part(tensors: dict[str, Tensor]) -> dict[str, float]:
    """Sums of squares by part; of a tensor that is shared out, of the whole."""
    squares: dict[str, float] = {}
    norms = torch._foreach_norm(list(tensors.values())) if tensors else ()
    for name, norm in zip(tensors, norms, strict=True):
        whole = norm.full_tensor() if isinstance(norm, DTensor) else norm
        squares[part_of(name)] = squares.get(part_of(name), 0.0) + float(whole) ** 2
    return squares


def sizes_of(values: Tensor) -> tuple[float, float]:
    """Root mean square and largest absolute value."""
    values = values.detach().float()
    return float(values.square().mean().sqrt()), float(values.abs().max())
