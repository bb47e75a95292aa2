"""Trace one training step of a model on fake tensors, and record its memory.

The model, its loss and its optimizer are the real ones, so their memory is too. Fake tensors have
shapes and no data: a model of any size is traced on any machine, in seconds. Tracing leaves fake
tensors in caches of the model and of torch, which would break real work, so `trace_step` runs it
in a separate process.
"""

import atexit
import functools
import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from groundup.core import Config, ConfigError, GroundupError, child
from groundup.kernels import (
    ExpertRouting,
    ExpertWeights,
    LossSum,
    Recompute,
    TokenExpertPairs,
    combine_expert_outputs,
    compiled_once,
    run_experts,
)
from groundup.model import ModelConfig, Transformer, compiled_block

from ..batches import MicroBatch
from ..objectives.losses import _selected_loss, causal_loss, sequence_to_sequence_loss
from ..optim.config import OptimConfig
from ..optim.optimizer import Optimizer
from ..precision import Precision
from .events import MemoryRecorder, memory_peak, simulated_compilation

IMPORTS_BYTES = 310 * 2**20
"""Memory after importing torch and groundup, on Linux."""
MASKED_SHARE_ESTIMATE = 0.15
"""Share of the tokens that an encoder's objective masks."""


class StepWork(Config):
    """What one process computes in a step."""

    rows: int = Field(default=1, ge=1)
    """Sequences of a micro-batch."""
    length: int = Field(default=256, ge=1)
    """Sequence length, tokens."""
    micro_batches: int = Field(default=1, ge=1)
    """Micro-batches per step."""
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """Compute dtype."""
    recompute: Recompute = "none"
    """Activation checkpointing."""
    compiled: bool = False
    """Whether blocks and loss are compiled."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Device: on a CPU attention stores its scores and softmax is native C++."""
    optim: OptimConfig = OptimConfig()
    """Optimizer, which determines its states."""


class MemoryBreakdown(NamedTuple):
    """Memory of a step in one process with the complete model, bytes."""

    inner: int
    """Weights of the blocks."""
    experts: int
    """Those of the blocks' weights that are experts'."""
    outer: int
    """Weights of embeddings, head and last norms."""
    inner_states: int
    """Optimizer states of the blocks."""
    outer_states: int
    tied: bool
    layers: int
    during_pass: dict[str, int]
    """By category, at the peak between the start of forward and the end of backward."""
    during_step: dict[str, int]
    """By category, at the peak of the optimizer step."""
    imports: int = 0
    """Of a process that has only imported torch and groundup."""


def _trace_step(config: ModelConfig, work: StepWork) -> MemoryBreakdown:
    """Trace a step's allocations; the process cannot be used for real work afterwards."""
    with torch.device("meta"):
        model = Transformer(config, seed=None)
    for stack in filter(None, (model, model.encoder)):
        for block in stack.layers:
            if block.experts is not None:
                block.experts.compute = _balanced_experts  # type: ignore[union-attr]
    positions: Any = importlib.import_module("groundup.model.positions")
    positions.cached_frequencies.cache_clear()  # a table of an earlier trace would not be counted
    recorder, is_compiled = MemoryRecorder(), work.compiled and config.feedforward.experts is None
    with ExitStack() as stack:
        stack.enter_context(_fake_mode())
        if is_compiled:
            stack.enter_context(simulated_compilation(compiled_block, compiled_once))
        if work.device != "cpu":  # fake tensors are on the CPU, and would select its kernels
            stack.enter_context(_card_kernels())
        stack.enter_context(recorder)
        _allocate_fake_weights(model, recorder)
        model.train()
        model.recompute_blocks(work.recompute)
        model.is_compiled = is_compiled
        if model.encoder is not None:
            model.encoder.is_compiled = is_compiled
        with recorder.allocating("optimizer states"):
            optimizer = Optimizer(model.named_parameters(), work.optim)
        for _ in range(min(work.micro_batches, 2)):  # later ones are like the second
            _trace_micro_batch(model, work, recorder)
        passed = len(recorder.events)
        with recorder.allocating("update"):
            optimizer.step(1.0)
        return _summarise(model, optimizer, recorder, passed)


def _summarise(
    model: Transformer, optimizer: Optimizer, recorder: MemoryRecorder, passed: int
) -> MemoryBreakdown:
    """Sum up what was recorded; `passed` is the number of events before the optimizer's."""
    config = model.config
    inner, outer, routed = [], [], []
    for name, parameter in model.named_parameters():
        (inner if _is_block_tensor(name) else outer).append(parameter)
        if ".experts." in name and parameter.ndim == 3:
            routed.append(parameter)
    states = optimizer.state()
    return MemoryBreakdown(
        inner=_total_tensor_bytes(inner),
        experts=_total_tensor_bytes(routed),
        outer=_total_tensor_bytes(outer),
        inner_states=_total_tensor_bytes(
            state for name, state in states.items() if _is_block_tensor(name)
        ),
        outer_states=_total_tensor_bytes(
            state for name, state in states.items() if not _is_block_tensor(name)
        ),
        tied=model.lm_head is None,
        layers=config.layers + config.encoder_layers,
        during_pass=memory_peak(recorder, 0, passed).by_category,
        during_step=memory_peak(recorder, passed).by_category,
    )


def _total_tensor_bytes(tensors: Any) -> int:
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def _is_block_tensor(name: str) -> bool:
    return "layers." in name


@functools.cache
def _fake_mode() -> FakeTensorMode:
    """The fake tensor mode; one for all, since the model's caches keep fake tensors."""
    return FakeTensorMode()


@contextmanager
def _card_kernels() -> Iterator[None]:
    """Context in which attention, softmax and Muon's products are those of a card."""
    backends: Any = importlib.import_module("groundup.kernels.attention")
    rules: Any = importlib.import_module("groundup.train.optim.rules")
    slow, rules.SLOW_BFLOAT16 = rules.SLOW_BFLOAT16, False
    longest, softmax = backends.MAX_MATMUL_LENGTH, os.environ.pop("GROUNDUP_SOFTMAX", None)
    backends.MAX_MATMUL_LENGTH, os.environ["GROUNDUP_SOFTMAX"] = 0, "torch"
    try:
        yield
    finally:
        backends.MAX_MATMUL_LENGTH, rules.SLOW_BFLOAT16 = longest, slow
        del os.environ["GROUNDUP_SOFTMAX"]
        os.environ |= {} if softmax is None else {"GROUNDUP_SOFTMAX": softmax}


def _allocate_fake_weights(model: nn.Module, recorder: MemoryRecorder) -> None:
    """Give a meta model fake weights; tied ones once."""
    fakes: dict[int, nn.Parameter] = {}
    with recorder.allocating("weights"):
        for module in model.modules():
            for name, old in module._parameters.items():
                if old is not None and id(old) not in fakes:
                    fakes[id(old)] = nn.Parameter(torch.empty(old.shape, dtype=old.dtype))
                if old is not None:
                    module._parameters[name] = fakes[id(old)]


def _trace_micro_batch(model: Transformer, work: StepWork, recorder: MemoryRecorder) -> None:
    batch = _full_batch(model.config, work)
    precision = Precision(getattr(torch, work.precision))
    with (
        recorder.allocating("activations"),
        precision.autocast("cpu"),
        _loss_category(model, recorder),
    ):
        loss_sum = _kind_loss(model, batch)
    with recorder.allocating("working"):
        (loss_sum.total / 2.0).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            recorder.set_category(parameter.grad, "gradients")


def _full_batch(config: ModelConfig, work: StepWork) -> MicroBatch:
    ids = torch.zeros(work.rows, work.length, dtype=torch.long)
    documents = torch.zeros(work.rows, work.length, dtype=torch.int32)
    source: dict[str, Tensor] = {}
    if config.kind == "encoder_decoder":
        source = {"source": ids, "source_documents": documents}
    return MicroBatch(ids, ids, torch.ones(ids.shape), documents, **source)  # type: ignore[arg-type]


def _kind_loss(model: Transformer, batch: MicroBatch) -> LossSum:
    """The loss of a model of its kind; of an encoder, with a typical share of masked tokens."""
    if model.config.kind == "decoder":
        return causal_loss(model, batch)
    if model.config.kind == "encoder_decoder":
        return sequence_to_sequence_loss(model, batch)
    hidden = model(batch.ids, documents=batch.documents).flatten(0, 1)
    count = max(1, round(MASKED_SHARE_ESTIMATE * len(hidden)))
    row = MicroBatch(batch.ids, batch.targets.flatten()[:count], torch.ones(count), None)
    return _selected_loss(model, model.output_states(hidden[:count]), row, torch.arange(count))


def _balanced_experts(
    hidden: Tensor, weights: ExpertWeights, choice: ExpertRouting, activation: Any
) -> Tensor:
    """Experts with a balanced load: routing is unknown without data."""
    indices = torch.arange(choice.experts.numel())
    counts = [len(part) for part in _split_range(len(indices), len(weights.up))]
    pairs = TokenExpertPairs(
        indices // choice.experts.shape[1], choice.weights.flatten()[indices], counts
    )
    return combine_expert_outputs(
        run_experts(hidden[pairs.tokens], counts, weights, activation), pairs, hidden
    )


def _split_range(total: int, parts: int) -> list[range]:
    bounds = [total * i // parts for i in range(parts + 1)]
    return [range(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]


@contextmanager
def _loss_category(model: Transformer, recorder: MemoryRecorder) -> Iterator[None]:
    """Context in which allocations after the decoder's last layer count as the loss's."""
    hook = model.norm.register_forward_pre_hook(lambda *_: setattr(recorder, "category", "loss"))
    try:
        yield
    finally:
        hook.remove()


class StepTracer:
    """A process that traces steps: starts at the first one, serves any model, ends with this one.

    Results are cached.
    """

    def __init__(self) -> None:
        self.cached: dict[str, MemoryBreakdown] = {}
        self.process: subprocess.Popen[str] | None = None
        atexit.register(self.close)

    def __call__(self, config: ModelConfig, work: StepWork) -> MemoryBreakdown:
        """Memory of a step.

        Raises ConfigError if the model does not support the step, GroundupError if tracing died.
        """
        request = json.dumps([config.to_dict(), work.to_dict()])
        if request not in self.cached:
            result = json.loads(self._ask(request))
            if isinstance(result, str):
                raise ConfigError(f"The step is not possible: {result}")
            self.cached[request] = MemoryBreakdown(*result)
        return self.cached[request]

    def _ask(self, request: str) -> str:
        if self.process is None:
            self.errors = tempfile.TemporaryFile("w+")
            self.process = subprocess.Popen(
                child.python_command("-c", f"from {__name__} import main; main()"),
                env=child.python_environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self.errors,
                text=True,
            )
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.errors.seek(0)
            said = self.errors.read().strip().splitlines()
            self.close()
            raise GroundupError(f"The step cannot be traced: {said[-1] if said else 'killed'}")
        return answer

    def close(self) -> None:
        """End the process and free its memory; the next step starts another."""
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.errors.close()
            self.process = None


trace_step = StepTracer()
"""The tracer of this process."""


def _resident_bytes() -> int:
    """Resident memory of this process, or a typical value where the system does not report it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return IMPORTS_BYTES
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


def main() -> None:
    """Answer each line of standard input with a ledger, or with an error message."""
    imports = _resident_bytes()
    for line in sys.stdin:
        config, work = json.loads(line)
        try:
            memory = _trace_step(ModelConfig(**config), StepWork(**work))
            answer: MemoryBreakdown | str = memory._replace(imports=imports)
        except GroundupError as error:
            answer = str(error)
        print(json.dumps(answer), flush=True)
