"""Step: run one training step of a model on tensors that are not there, and record its memory.

The model, its loss and its optimizer are the real ones, so what they hold is what they will hold.
Fake tensors have shapes and no data: a model of any size is traced on any machine, in seconds.
What is made while they are there stays in caches, of the model and of torch, and would spoil real
work: `Tracer` runs a process for it.
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
"""Of torch and groundup once imported, on Linux."""
PICKED = 0.15
"""Share of the tokens that an encoder's objective hides."""


class Work(Config):
    """What one process computes in a step."""

    rows: int = Field(default=1, ge=1)
    """Of a micro-batch."""
    length: int = Field(default=256, ge=1)
    """Tokens of a row."""
    micro_batches: int = Field(default=1, ge=1)
    """Parts in which a step is computed."""
    precision: Literal["float32", "bfloat16", "float16"] = "bfloat16"
    """What products compute in."""
    recompute: Recompute = "none"
    """What blocks compute again for the gradient."""
    compiled: bool = False
    """Whether blocks and loss are compiled."""
    device: Literal["cpu", "cuda"] = "cpu"
    """What it runs on: attention keeps its scores, and softmax is C++, on processors alone."""
    optim: OptimConfig = OptimConfig()
    """Optimizer, which decides what states there are."""


class Ledger(NamedTuple):
    """What a step holds in one process that has all of the model, bytes."""

    inner: int
    """Weights of the blocks."""
    experts: int
    """Those of them that are experts'."""
    outer: int
    """Weights of embeddings, head and last norms."""
    inner_states: int
    """States of the optimizer for the blocks."""
    outer_states: int
    tied: bool
    layers: int
    during_pass: dict[str, int]
    """By part, when most is held from the beginning of forward to the end of backward."""
    during_step: dict[str, int]
    """By part, when most is held while the optimizer moves the weights."""
    imports: int = 0
    """Of a process that has imported torch and groundup, and done nothing yet."""


def recorded(config: ModelConfig, work: Work) -> Ledger:
    """What a step takes and gives back; the process is of no other use afterwards."""
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
        if work.device != "cpu":  # fake tensors lie on the processor, and their kernels would too
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
    """Memory of tensors that share none."""
    return sum(tensor.numel() * tensor.itemsize for tensor in tensors)


def is_inner(name: str) -> bool:
    """Whether a weight or a state of it is a block's."""
    return "layers." in name


@functools.cache
def nowhere() -> FakeTensorMode:
    """Where tensors have no data; one for all, since caches of the model keep what they made."""
    return FakeTensorMode()


def take_weights(model: nn.Module, recorder: Recorder) -> None:
    """Give a model without memory fake weights, tied ones once."""
    made: dict[int, nn.Parameter] = {}
    with recorder.making("weights"):
        for module in model.modules():
            for name, old in module._parameters.items():
                if old is not None and id(old) not in made:
                    made[id(old)] = nn.Parameter(torch.empty(old.shape, dtype=old.dtype))
                if old is not None:
                    module._parameters[name] = made[id(old)]


def micro_batch(model: Transformer, work: Work, recorder: Recorder) -> None:
    """One pass forward and back, as the loop makes it."""
    batch = rows_of(model.config, work)
    precision = Precision(getattr(torch, work.precision))
    with recorder.making("activations"), precision.autocast("cpu"), layers_apart(model, recorder):
        found = loss_of(model, batch)
    with recorder.making("working"):
        (found.total / 2.0).backward()
    for parameter in model.parameters():
        if parameter.grad is not None:
            recorder.name(parameter.grad, "gradients")


def rows_of(config: ModelConfig, work: Work) -> Batch:
    """A micro-batch of full rows, each of one document."""
    ids = torch.zeros(work.rows, work.length, dtype=torch.long)
    documents = torch.zeros(work.rows, work.length, dtype=torch.int32)
    source: dict[str, Tensor] = {}
    if config.kind == "encoder_decoder":
        source = {"source": ids, "source_documents": documents}
    return Batch(ids, ids, torch.ones(ids.shape), documents, **source)  # type: ignore[arg-type]


def loss_of(model: Transformer, batch: Batch) -> LossSum:
    """What a model of its kind loses; of an encoder, as many tokens are hidden as usually."""
    if model.config.kind == "decoder":
        return causal(model, batch)
    if model.config.kind == "encoder_decoder":
        return sequence(model, batch)
    hidden = model(batch.ids, documents=batch.documents).flatten(0, 1)
    count = max(1, round(PICKED * len(hidden)))
    row = Batch(batch.ids, batch.targets.flatten()[:count], torch.ones(count), None)
    return picked_loss(model, model.readout(hidden[:count]), row, torch.arange(count))


def even_experts(hidden: Tensor, weights: ExpertWeights, choice: Choice, activation: Any) -> Tensor:
    """Experts that all get equal work: who gets which token is not known without data."""
    places = torch.arange(choice.experts.numel())
    counts = [len(part) for part in range_parts(len(places), len(weights.up))]
    pairs = Pairs(places // choice.experts.shape[1], choice.weights.flatten()[places], counts)
    return brought_back(networks(hidden[pairs.tokens], counts, weights, activation), pairs, hidden)


def range_parts(total: int, parts: int) -> list[range]:
    """A range in nearly equal parts."""
    bounds = [total * i // parts for i in range(parts + 1)]
    return [range(a, b) for a, b in zip(bounds, bounds[1:], strict=False)]


@contextmanager
def layers_apart(model: Transformer, recorder: Recorder) -> Iterator[None]:
    """Context in which what is made after the decoder's last layer is the loss's."""
    hook = model.norm.register_forward_pre_hook(lambda *_: setattr(recorder, "part", "loss"))
    try:
        yield
    finally:
        hook.remove()


class Tracer:
    """A process that records steps, asked as often as one likes; each question once."""

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
        """What a step holds.

        Raises ConfigError if the model cannot make such a step, GroundupError if the process died.
        """
        asked = json.dumps([self.config.plain(), work.plain()])
        if asked in self.known:
            return self.known[asked]
        assert self.process is not None and self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(asked + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.said.seek(0)
            said = self.said.read().strip().splitlines()
            raise GroundupError(f"The step cannot be traced: {said[-1] if said else 'killed'}")
        found = json.loads(answer)
        if isinstance(found, str):
            raise ConfigError(f"There is no such step: {found}")
        self.known[asked] = Ledger(*found)
        return self.known[asked]


def resident_bytes() -> int:
    """Memory that this process holds; where the system does not say it, what is usual."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return IMPORTS_BYTES
    return int(next(line for line in lines if line.startswith("VmRSS:")).split()[1]) * 1024


def main() -> None:
    """Answer each line of standard input with a ledger, or with what is wrong with it."""
    imports = resident_bytes()
    for line in sys.stdin:
        config, work = json.loads(line)
        try:
            found = recorded(ModelConfig(**config), Work(**work))
            answer: Ledger | str = found._replace(imports=imports)
        except GroundupError as error:
            answer = str(error)
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
