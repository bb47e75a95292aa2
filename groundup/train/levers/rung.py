"""One rung of the ladder: a model trained for some steps in a process of its own.

    python -m groundup.train.levers.rung '{"work": {...}, "levers": [...]}'

Allocator and compiler are chosen when a process starts, so each rung has one, and its memory is its
own. The batch is random ids, the same on every rung: speed does not depend on what they say.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import torch

from groundup.core import GroundupError, device
from groundup.model import Transformer, from_depth, preset

from ..batches import MicroBatch
from ..loop import LoopOptions, TrainStep, train
from ..objectives.losses import causal_loss
from ..optim.config import OptimConfig
from ..optim.optimizer import Optimizer
from ..optim.schedule import make_lr_schedule
from ..precision import Precision
from .ways import choosing

Lever = Literal[
    "bf16", "compiled", "attention", "softmax", "chunked loss", "fused optimizer", "allocator"
]
WARM_UP_STEPS = 2
LONG_RUN = 10**12
"""Tokens of a run for which every trial pays."""


class Work(NamedTuple):
    """What every rung does."""

    depth: int
    preset: str
    """A published shape in the place of `depth`; empty: none."""
    vocab_size: int
    rows: int
    length: int
    """Tokens of a row."""
    steps: int
    """Measured; some before them warm up."""
    matrices: Literal["adamw", "muon"] = "adamw"

    def model(self) -> Transformer:
        """The model, new."""
        if not self.preset:
            return Transformer(from_depth(self.depth, self.vocab_size, self.length).config)
        sizes = {"vocab_size": self.vocab_size, "context_length": self.length}
        return Transformer(preset(self.preset).config.model_copy(update=sizes))


class Measured(NamedTuple):
    """What one rung did."""

    tokens_per_second: float
    """Of the fastest step: what disturbs a step only slows it."""
    peak_bytes: int
    """Largest resident memory of a step after warming up, the process whole."""
    first_seconds: float
    """The first step: compiling, or reading what was compiled before."""
    cpu_seconds: float
    """Processor time of the cheapest step, all threads."""
    loss: float
    """After the last step; every rung's is nearly the same."""


def measured(work: Work, levers: frozenset[Lever]) -> Measured:
    """Train for some steps with these levers on, the others off."""
    device.set_num_threads()
    model = work.model()
    dtype = torch.bfloat16 if "bf16" in levers else torch.float32
    if "compiled" in levers:
        model.compile_blocks()
    choosing(model, [work.length], dtype, tokens=LONG_RUN)
    steps, started = training(work, model, dtype), time.perf_counter()
    next(steps)
    first = time.perf_counter() - started
    for _ in range(WARM_UP_STEPS - 1):
        next(steps)
    _forget_peak()
    wall, cpu, loss = list[float](), list[float](), 0.0
    for _ in range(work.steps):
        begun, own = time.perf_counter(), time.process_time()
        loss = next(steps).loss
        wall.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - own)
    tokens = work.rows * work.length
    return Measured(tokens / min(wall), peak_bytes(), first, min(cpu), loss)


def training(work: Work, model: Transformer, dtype: torch.dtype) -> Iterator[TrainStep]:
    """Steps on one batch of two documents a row."""
    made = torch.Generator().manual_seed(0)
    vocab_size = model.config.vocab_size
    ids = torch.randint(vocab_size, (work.rows, work.length + 1), generator=made)
    places = torch.arange(work.length)[None].expand(work.rows, -1)
    documents = (places >= work.length // 2).long()
    batch = MicroBatch(ids[:, :-1], ids[:, 1:], torch.ones(ids[:, 1:].shape), documents)
    rate = 1e-3
    config = OptimConfig(
        matrix_optimizer=work.matrices, learning_rate=rate, embedding_learning_rate=rate, warmup=0.0
    )
    optimizer = Optimizer(model.named_parameters(), config)
    plan = LoopOptions(10**9, precision=Precision(dtype))
    return train(
        model, lambda _: [batch], causal_loss, optimizer, make_lr_schedule(config, plan.steps), plan
    )


def _forget_peak() -> None:
    """Let the peak of memory count from now on, where the system can; compiling was before."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int:
    """Largest resident memory of this process since `_forget_peak`."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest if sys.platform == "darwin" else largest * 1024


def main() -> None:
    """Measure what the command line says; print it as JSON."""
    asked = json.loads(sys.argv[1])
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        found = measured(Work(**asked["work"]), frozenset(asked["levers"]))
    except GroundupError as error:
        sys.exit(str(error))
    os.write(answers, (json.dumps(found._asdict()) + "\n").encode())


if __name__ == "__main__":
    main()
