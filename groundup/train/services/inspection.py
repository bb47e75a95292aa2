"""Looking into some steps: statistics of the model by layer and kind, and a profile of operators.

Statistics are computed every `every` steps; other steps have no cost and no hooks. Compiled blocks
stay compiled: their inputs are recorded between them. A row of metrics has, for example,

    gradient/layers.3.attention      norm of a module's gradient, before clipping
    update/layers.3.attention        norm of its update, over the norm of its weights
    activation rms/layers.3          root mean square of layer 3's input, and its largest value
    activation max/layers.3
    logits rms, logits max           of some positions of the last micro-batch

A profile is profile.txt, the operators with the most self time, and trace.json.gz, every call, for
chrome://tracing or https://ui.perfetto.dev. docs/reference/train/services.md says what is
healthy.
"""

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.profiler import profile

from groundup.core import record
from groundup.model import Transformer

from ..loop import Accept, TrainStep

MAX_LOGIT_POSITIONS = 64
"""Positions whose logits are computed: all of them would be a step's largest tensor."""


def _module_of(name: str) -> str:
    """The module that a parameter is counted to: its layer and kind.

    >>> _module_of("layers.3.attention.query.weight"), _module_of("embed_tokens.weight")
    ('layers.3.attention', 'embed_tokens')
    """
    words = name.split(".")
    if "layers" in words[:-2]:
        return ".".join(words[: words.index("layers") + 3])
    return ".".join(words[:-1]) or name


class ModelStatistics:
    """Collects statistics every few steps; an `accept` and a service of one run."""

    def __init__(
        self,
        model: nn.Module,
        body: Transformer,
        every: int,
        metrics: record.MetricsFile | None,
        *,
        accept: Accept | None = None,
    ) -> None:
        """Collect statistics of a model and the activations of its body.

        every    steps between two collections, from step 0; a copy of the weights is kept for one
        metrics  None on a process that only takes part and does not write
        accept   decides whether a step is applied; None: always
        """
        self.parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.body, self.every, self.metrics, self.accept = body, every, metrics, accept
        self.statistics: dict[str, float] = {}
        self.weights_before: dict[str, Tensor] = {}
        self.states: list[Tensor] = []

    def __call__(self, step: int, loss: float, norm: float) -> bool:
        """Collect at a due step, copy its weights, and decide as `accept` does."""
        is_accepted = self.accept is None or self.accept(step, loss, norm)
        if step % self.every == 0 and math.isfinite(norm):
            self.statistics = self._activation_sizes() | self._gradient_norms(norm)
            if is_accepted:
                self.weights_before = {n: p.detach().clone() for n, p in self.parameters.items()}
        return is_accepted

    def collect_statistics(self, steps: Iterable[TrainStep], start: int = 0) -> Iterator[TrainStep]:
        """Record due steps and write their statistics."""
        number, iterator = start, iter(steps)
        while True:
            hooks = self._install_hooks() if number % self.every == 0 else []
            try:
                step = next(iterator, None)
            finally:
                for hook in hooks:
                    hook.remove()
            if step is None:
                return
            if step.number % self.every == 0:
                self._write_row(step.number)
            number = step.number + 1
            yield step

    def _write_row(self, step: int) -> None:
        row = self.statistics | self._update_ratios()
        if self.metrics is not None:
            self.metrics.write(step=step, **{n: float(f"{v:.5g}") for n, v in row.items()})
        self.statistics, self.weights_before, self.states = {}, {}, []

    def _install_hooks(self) -> list[Any]:
        def record_states(module: nn.Module, args: tuple, kwargs: dict[str, Any]) -> Any:
            self.states = []
            return args, {"states": self.states} | kwargs

        return [self.body.register_forward_pre_hook(record_states, with_kwargs=True)]

    @torch.no_grad()
    def _gradient_norms(self, norm: float) -> dict[str, float]:
        grads = {n: p.grad for n, p in self.parameters.items() if p.grad is not None}
        squares = _squares_by_module(grads)
        clipped = math.sqrt(sum(squares.values()))
        factor = norm / clipped if clipped else 0.0
        return {f"gradient/{part}": factor * math.sqrt(s) for part, s in squares.items()}

    @torch.no_grad()
    def _update_ratios(self) -> dict[str, float]:
        """Update norms by module, relative to the weights; empty if the step was not applied."""
        moved = {n: self.parameters[n] - old for n, old in self.weights_before.items()}
        sizes = _squares_by_module(self.weights_before)
        return {
            f"update/{part}": math.sqrt(square / sizes[part])
            for part, square in _squares_by_module(moved).items()
            if sizes[part]
        }

    @torch.no_grad()
    def _activation_sizes(self) -> dict[str, float]:
        if not self.states:
            return {}
        names = [*(f"layers.{i}" for i in range(len(self.states) - 1)), "output"]
        row: dict[str, float] = {}
        for name, state in zip(names, self.states, strict=True):
            rms, largest = _rms_and_max(state)
            row |= {f"activation rms/{name}": rms, f"activation max/{name}": largest}
        hidden = self.states[-1].reshape(-1, self.states[-1].shape[-1])
        chosen = hidden[:: max(1, len(hidden) // MAX_LOGIT_POSITIONS)][:MAX_LOGIT_POSITIONS]
        rms, largest = _rms_and_max(self.body.project(chosen.to(self.body.head.dtype)))
        return row | {"logits rms": rms, "logits max": largest}


def _squares_by_module(tensors: dict[str, Tensor]) -> dict[str, float]:
    squares: dict[str, float] = {}
    norms = torch._foreach_norm(list(tensors.values())) if tensors else ()
    for name, norm in zip(tensors, norms, strict=True):
        full = norm.full_tensor() if isinstance(norm, DTensor) else norm
        squares[_module_of(name)] = squares.get(_module_of(name), 0.0) + float(full) ** 2
    return squares


def _rms_and_max(values: Tensor) -> tuple[float, float]:
    values = values.detach().float()
    return float(values.square().mean().sqrt()), float(values.abs().max())


TABLE_FILE, TRACE_FILE, MAX_OPERATORS = "profile.txt", "trace.json.gz", 30


def profile_steps(
    steps: Iterable[TrainStep], folder: Path, first: int, count: int = 3, *, start: int = 0
) -> Iterator[TrainStep]:
    """Profile `count` steps from `first` on and write the table and the trace to a folder.

    start  number of the first step to come; a run resumed after `first` profiles nothing

    Profiled steps are slower. If the run ends during profiling, the steps so far are reported.
    """
    number, iterator, profiled = start, iter(steps), 0
    profiler: profile | None = None
    try:
        while True:
            if number == first and count > 0:
                profiler = profile()
                profiler.start()
            step = next(iterator, None)
            if step is None:
                return
            profiled += profiler is not None
            if profiler is not None and profiled >= count:
                _write_profile(profiler, folder, profiled)
                profiler = None
            yield step
            number = step.number + 1
    finally:
        if profiler is not None:
            _write_profile(profiler, folder, profiled)


def _write_profile(profiler: profile, folder: Path, steps: int) -> None:
    """Stop, write both files and log the three largest operators.

    Operators are sorted by self time: on the device if one was used, otherwise on the CPU.
    """
    profiler.stop()
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[Any] = list(profiler.key_averages())
    is_on_device = sum(row.self_device_time_total for row in rows) > 0
    name = "self_device_time_total" if is_on_device else "self_cpu_time_total"  # microseconds
    rows.sort(key=lambda row: getattr(row, name), reverse=True)
    total = sum(getattr(row, name) for row in rows) or 1
    lines = [f"{'operator':<48} {'calls':>8} {'ms a step':>10} {'share':>6}"]
    for row in rows[:MAX_OPERATORS]:
        time = getattr(row, name)
        figures = f"{row.count:>8} {time / 1e3 / steps:>10.2f} {time / total:>6.1%}"
        lines.append(f"{row.key[:48]:<48} {figures}")
    (folder / TABLE_FILE).write_text("\n".join(lines) + "\n")
    profiler.export_chrome_trace(str(folder / TRACE_FILE))
    top = ", ".join(f"{row.key} {getattr(row, name) / total:.0%}" for row in rows[:3])
    record.log(f"Profile of {steps} steps: {top}; see {folder / TABLE_FILE} and {TRACE_FILE}.")
