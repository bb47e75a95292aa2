"""How fast training is as its levers are pulled, one at a time.

    python -m benchmarks.train.levers            all levers on
    python -m benchmarks.train.levers --levers   one lever at a time

Each rung is a process of its own, because allocator and compiler are chosen when a process starts,
and every rung runs once a round, forwards and backwards in turn, so that a machine that drifts does
not favour one. The batch is random ids, the same on every rung: speed does not depend on what they
say. A lever's switch is an environment variable, which works for `groundup pretrain` as well.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Literal, NamedTuple

import torch

from groundup.core import ConfigError, GroundupError, child, device, record
from groundup.model import Transformer, count_parameters, from_depth, mean_flops_per_token, preset
from groundup.model import preset as find_preset
from groundup.train import choose_attention
from groundup.train.batches import MicroBatch
from groundup.train.loop import LoopOptions, TrainStep, train
from groundup.train.objectives.losses import causal_loss
from groundup.train.optim.config import OptimConfig
from groundup.train.optim.optimizer import Optimizer
from groundup.train.optim.schedule import make_lr_schedule
from groundup.train.precision import Precision

Lever = Literal[
    "bf16", "compiled", "attention", "softmax", "chunked loss", "fused optimizer", "allocator"
]
SIZES = {"depth": 6, "vocab_size": 8192, "rows": 8, "length": 256, "steps": 5, "rounds": 1}
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
    choose_attention(model, [work.length], dtype, tokens=LONG_RUN)
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


LADDER: tuple[Lever, ...] = (
    "bf16", "compiled", "attention", "softmax", "chunked loss", "fused optimizer", "allocator"
)  # fmt: skip
"""In the order in which they are pulled."""
OFF: dict[Lever, dict[str, str]] = {
    "bf16": {"GROUNDUP_DTYPE": "float32"},
    "compiled": {"GROUNDUP_COMPILE": "0"},
    "attention": {"GROUNDUP_ATTENTION": "flash"},
    "softmax": {"GROUNDUP_SOFTMAX": "torch"},
    "chunked loss": {"GROUNDUP_LOSS_CHUNK": str(2**31)},
    "fused optimizer": {"GROUNDUP_ADAMW": "plain"},
    "allocator": {"GROUNDUP_ALLOCATOR": "0"},
}
"""Environment variables that turn a lever off."""


class Rung(NamedTuple):
    """Levers that are on, and what they give."""

    lever: str
    """The one pulled here, on top of those above."""
    tokens_per_second: float
    """Median over the rounds."""
    peak_bytes: int
    """Largest resident memory, of the round with the least."""
    share_of_peak: float
    """Arithmetic that the model needs, of what the machine's matrix products in bfloat16 reach."""
    cpu_seconds: float
    """Processor time of a step; it tells more than speed while the machine is busy."""
    first_seconds: float
    """First step: compiling, or reading what was compiled before."""
    loss: float


class Ladder(NamedTuple):
    """What training does on this machine, lever by lever."""

    machine: str
    work: str
    rungs: list[Rung]

    def __str__(self) -> str:
        """A line for each rung."""
        head = ["", "tokens/s", "x", "peak memory", "of peak", "CPU s a step", "first step", "loss"]
        first, rows = self.rungs[0].tokens_per_second, [head]
        for rung in self.rungs:
            rows.append([
                rung.lever, f"{rung.tokens_per_second:,.0f}",
                f"{rung.tokens_per_second / first:.2f}", record.format_bytes(rung.peak_bytes),
                f"{rung.share_of_peak:.0%}", f"{rung.cpu_seconds:.2f}",
                f"{rung.first_seconds:.1f} s", f"{rung.loss:.3f}",
            ])  # fmt: skip
        widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
        lines = [self.machine, self.work]
        for row in rows:
            cells = [
                row[0].ljust(widths[0]),
                *(c.rjust(w) for c, w in zip(row, widths, strict=True)),
            ]
            lines.append("  ".join([cells[0], *cells[2:]]))
        return "\n".join(lines)


def benchmark_train(
    *,
    levers: bool = False,
    depth: int = SIZES["depth"],
    preset: str = "",
    vocab_size: int = SIZES["vocab_size"],
    rows: int = SIZES["rows"],
    length: int = SIZES["length"],
    steps: int = SIZES["steps"],
    rounds: int = SIZES["rounds"],
) -> Ladder:
    """Measure how fast a model trains here, with all levers on, or one lever at a time.

    levers      pull the levers one at a time, each rung in a process of its own
    depth       layers; the other sizes follow
    preset      a published shape in the place of the depth
    vocab_size  ids of the vocabulary
    rows        rows of a batch
    length      tokens of a row
    steps       steps that are measured on a rung
    rounds      times that every rung is run, forwards and backwards in turn

    Raises ConfigError for sizes below 1 and for a preset that there is not.
    """
    sizes = {"depth": depth, "vocab_size": vocab_size, "rows": rows, "length": length,
             "steps": steps, "rounds": rounds}  # fmt: skip
    for name, size in sizes.items():
        if size < 1:
            raise ConfigError(f"--{name.replace('_', '-')} {size} must be 1 or more.")
    if preset:
        find_preset(preset)
    device.set_num_threads()
    work = Work(depth, preset, vocab_size, rows, length, steps)
    pulled = list(_pulls()) if levers else [("all levers", frozenset(LADDER))]
    found: dict[str, list[Measured]] = {name: [] for name, _ in pulled}
    with record.progress("rungs", rounds * len(pulled), "runs") as bar:
        for number in range(rounds):
            for name, on in pulled if number % 2 == 0 else reversed(pulled):
                found[name].append(run_ablations(work, on))
                bar.advance(1)
    return format_rung(work, found)


def _pulls() -> Iterator[tuple[str, frozenset[Lever]]]:
    """The rungs: nothing, then one lever more on each."""
    yield "no lever", frozenset()
    for number, lever in enumerate(LADDER, start=1):
        yield f"+ {lever}", frozenset(LADDER[:number])


def run_ablations(work: Work, on: frozenset[Lever]) -> Measured:
    """Measure a rung in a process of its own."""
    asked = json.dumps({"work": work._asdict(), "levers": sorted(on)})
    command = child.python_command("-m", "benchmarks.train.levers", "--rung", asked)
    done = subprocess.run(command, env=environment(on), capture_output=True, text=True)
    if done.returncode:
        why = done.stderr.strip().splitlines()[-1:] or ["no reason was told"]
        raise GroundupError(f"The rung with {', '.join(sorted(on)) or 'no lever'} ended: {why[0]}")
    return Measured(**json.loads(done.stdout))


def environment(on: frozenset[Lever]) -> dict[str, str]:
    """This process's environment with the levers that are off turned off.

    A preloaded allocator, and a user's own settings of the C library's, count as the lever.
    """
    own = child.python_environment()
    for lever, switch in OFF.items():
        if lever not in on:
            own |= switch
    if "allocator" in on:
        return own | device.allocator_settings()
    return {name: v for name, v in own.items() if name not in ("GLIBC_TUNABLES", "LD_PRELOAD")}


def format_rung(work: Work, found: dict[str, list[Measured]]) -> Ladder:
    """The ladder of what was measured."""
    config, peak = work.model().config, device.measure_speeds().bfloat16_flops
    needed = mean_flops_per_token(config, work.length).training
    rungs = []
    for name, runs in found.items():
        speed = median(one.tokens_per_second for one in runs)
        rungs.append(Rung(
            name, speed, min(one.peak_bytes for one in runs), speed * needed / peak,
            min(one.cpu_seconds for one in runs), min(one.first_seconds for one in runs),
            runs[-1].loss,
        ))  # fmt: skip
    size = f"{count_parameters(config).total / 1e6:.1f}M parameters"
    batch = f"{work.rows} rows of {work.length} tokens"
    return Ladder(
        device.device_summary(), f"{size}, {batch}, {needed / 1e6:,.0f} MFLOP a token", rungs
    )


def _answer_rung(asked: str) -> None:
    """Measure a rung in this process; print it as JSON."""
    request = json.loads(asked)
    answers = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no answer
    try:
        found = measured(Work(**request["work"]), frozenset(request["levers"]))
    except GroundupError as error:
        sys.exit(str(error))
    os.write(answers, (json.dumps(found._asdict()) + "\n").encode())


def main() -> None:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rung", help="JSON: measure this one, for the ladder itself")
    parser.add_argument("--levers", action="store_true", help="pull the levers one at a time")
    parser.add_argument("--preset", default="", help="a published shape in the place of the depth")
    for name, default in SIZES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    options = vars(parser.parse_args())
    if asked := options.pop("rung"):
        return _answer_rung(asked)
    print(benchmark_train(**options))
    return None


if __name__ == "__main__":
    main()
