"""Trace one training step of a model on fake tensors, and record its memory.

The model, its loss and its optimizer are the real ones, so their memory is too. Fake tensors have
shapes and no data: a model of any size is traced on any machine, in seconds. Tracing leaves fake
tensors in caches of the model and of torch, which would break real work, so `Tracer` runs it in a
separate process.
"""

import functools
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple
from unittest import mock

import torch
from pydantic import Field
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from groundup.core import Config, ConfigError, GroundupError, child
from groundup.kernels import (
    Choice,
    ExpertWeights,
    LossSum,
    Pairs,
    Recompute,
    brought_back,
    compiled_once,
    networks,
)
from groundup.model import ModelConfig, Transformer, compiled_block

from ..batches import Batch
from ..objectives.losses import causal, picked_loss, sequence
from ..optim.config import OptimConfig
from ..optim.optimizer import Optimizer
from ..precision import Precision
from .events import Recorder, peak
from .fused import without_compiling

IMPORTS_BYTES = 310 * 2**20
"""Memory after importing torch and groundup, on Linux."""
PICKED = 0.15
"""Share of the tokens that an encoder's objective masks."""


class Work(Config):
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


class Ledger(NamedTuple):
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


def recorded(config: ModelConfig, work: Work) -> Ledger:
    """Trace a step's allocations; the process cannot be used for real work afterwards."""
    with torch.device("meta"):
        model = Transformer(config, seed=None)
    for stack in filter(None, (model, model.encoder)):
        for block in stack.layers:
            if block.experts is not None:
                block.experts.compute = even_experts  # type: ignore[union-attr]
    recorder, is_compiled = Recorder(), work.compiled and config.feedforward.experts is None
    with ExitStack() as stack:
        stack.enter_context(nowhere())
        if is_compiled:
            stack.enter_context(without_compiling(compiled_block, compiled_once))
        if work.device != "cpu":  # fake tensors are on the CPU, and would select its kernels
            stack.enter_context(mock.patch("groundup.kernels.ways.MATMUL_UP_TO", 0))
            stack.enter_context(mock.patch.dict(os.environ, GROUNDUP_SOFTMAX="torch"))
        stack.enter_context(recorder)
        take_weights(model, recorder)
        model.train()
        model.recompute_blocks(work.recompute)
        model.is_compiled = is_compiled
        if model.encoder is not None:
            model.encoder.is_compiled = is_compiled
        with recorder.making("optimizer states"):
            optimizer = Optimizer(model.named_parameters(), work.optim)
        for _ in range(min(work.micro_batches, 2)):  # later ones are like the second
            micro_batch(model, work, recorder)
        passed = len(recorder.events)
        with recorder.making("update"):
            optimizer.step(1.0)
        return ledger(model, optimizer, recorder, passed)


def ledger(model: Transformer, optimizer: Optimizer, recorder: Recorder, passed: int) -> Ledger:
    """Sum up what was recorded; `passed` is the number of events before the optimizer's."""
    config = model.config
    inner, outer, routed = [], [], []
    for name, parameter in model.named_parameters():
        (inner if is_inner(name) else outer).append(parameter)
        if ".experts." in name and parameter.ndim == 3:
            routed.append(parameter)
    states = optimizer.state()
    return Ledger(
        inner=held(inner), experts=held(routed), outer=held(outer),
        inner_states=held(state for name, state in states.items() if is_inner(name)),
        outer_states=held(state for name, state in states.items() if not is_inner(name)),
        tied=model.lm_head is None, layers=config.layers + config.encoder_layers,
        during_pass=peak(recorder, 0, passed).parts,
        during_step=peak(recorder, passed).parts,
    )  # fmt: skip


def held(tensors: Any) -> int:
    """Bytes of tensors that share no storage."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def is_inner(name: str) -> bool:
    """Whether a weight, or its state, is in a block."""
    return "layers." in name


@functools.cache
def nowhere() -> FakeTensorMode:
    """The fake tensor mode; one for all, since the model's caches keep fake tensors."""
    return FakeTensorMode()


def take_weights(model: nn.Module, recorder: Recorder) -> None:
    """Give a meta model fake weights; tied ones once."""
    fakes: dict[int, nn.Parameter] = {}
    with recorder.making("weights"):
        for module in model.modules():
            for name, old in module._parameters.items():
                if old is not None and id(old) not in fakes:
                    fakes[id(old)] = nn.Parameter(torch.empty(old.shape, dtype=old.dtype))
                if old is not None:
                    module._parameters[name] = fakes[id(old)]


def micro_batch(model: Transformer, work: Work, recorder: Recorder) -> None:
    """One forward and backward pass, as in the loop."""
    batch = rows_of(model.config, work)
    precision = Precision(getattr(torch, work.precision))
    with recorder.making("activations"), precision.autocast("cpu"), layers_apart(model, recorder):
        loss_sum = loss_of(model, batch)
    with recorder.making("working"):
        (loss_sum.total / 2.0).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            recorder.name(parameter.grad, "gradients")


def rows_of(config: ModelConfig, work: Work) -> Batch:
    """A micro-batch of full sequences, each of one document."""
    ids = torch.zeros(work.rows, work.length, dtype=torch.long)
    documents = torch.zeros(work.rows, work.length, dtype=torch.int32)
    source: dict[str, Tensor] = {}
    if config.kind == "encoder_decoder":
        source = {"source": ids, "source_documents": documents}
    return Batch(ids, ids, torch.ones(ids.shape), documents, **source)  # type: ignore[arg-type]


def loss_of(model: Transformer, batch: Batch) -> LossSum:
    """The loss of a model of its kind; of an encoder, with a typical share of masked tokens."""
    if model.config.kind == "decoder":
        return causal(model, batch)
    if model.config.kind == "encoder_decoder":
        return sequence(model, batch)
    hidden = model(batch.ids, documents=batch.documents).flatten(0, 1)
    count = max(1, round(PICKED * len(hidden)))
    row = Batch(batch.ids, batch.targets.flatten()[:count], torch.ones(count), None)
    return picked_loss(model, model.readout(hidden[:count]), row, torch.arange(count))


def even_experts(hidden: Tensor, weights: ExpertWeights, choice: Choice, activation: Any) -> Tensor:
    """Experts with a balanced load: routing is unknown without data."""
    indices = torch.arange(choice.experts.numel())
    counts = [len(part) for part in range_parts(len(indices), len(weights.up))]
    pairs = Pairs(indices // choice.experts.shape[1], choice.weights.flatten()[indices], counts)
    return brought_back(networks(hidden[pairs.tokens], counts, weights, activation), pairs, hidden)


def range_parts(total: int, parts: int) -> list[range]:
    """A range in nearly equal parts."""
    bounds = [total * i // parts for i in range(parts + 1)]
    return [range(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]


@contextmanager
def layers_apart(model: Transformer, recorder: Recorder) -> Iterator[None]:
    """Context in which allocations after the decoder's last layer count as the loss's."""
    hook = model.norm.register_forward_pre_hook(lambda *_: setattr(recorder, "part", "loss"))
    try:
        yield
    finally:
        hook.remove()


class Tracer:
    """A process that traces steps; results are cached."""

    def __init__(self, config: ModelConfig) -> None:
        self.config, self.known = config, dict[str, Ledger]()
        self.process: subprocess.Popen[str] | None = None
        self.said = tempfile.TemporaryFile("w+")

    def __enter__(self) -> "Tracer":
        self.process = subprocess.Popen(
            child.python_command("-m", "groundup.train.plan.step"),
            env=child.python_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.communicate()
        self.said.close()

    def __call__(self, work: Work) -> Ledger:
        """Memory of a step.

        Raises ConfigError if the model does not support the step, GroundupError if tracing died.
        """
        request = json.dumps([self.config.plain(), work.plain()])
        if request in self.known:
            return self.known[request]
        assert self.process is not None and self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(request + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.said.seek(0)
            errors = self.said.read().strip().splitlines()
            raise GroundupError(f"The step cannot be traced: {errors[-1] if errors else 'killed'}")
        result = json.loads(answer)
        if isinstance(result, str):
            raise ConfigError(f"The step is not possible: {result}")
        self.known[request] = Ledger(*result)
        return self.known[request]


def resident_bytes() -> int:
    """Resident memory of this process, or a typical value where the system does not report it."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return IMPORTS_BYTES
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


def main() -> None:
    """Answer each line of standard input with a ledger, or with an error message."""
    imports = resident_bytes()
    for line in sys.stdin:
        config, work = json.loads(line)
        try:
            memory = recorded(ModelConfig(**config), Work(**work))
            answer: Ledger | str = memory._replace(imports=imports)
        except GroundupError as error:
            answer = str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
