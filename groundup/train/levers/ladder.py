"""The ladder: how fast training is as its levers are pulled, one at a time.

    groundup benchmark train --levers

Each rung is a process of its own (see `rung.py`), and every rung runs once a round, forwards and
backwards in turn, so that a machine that drifts does not favour one. A lever's switch is an
environment variable, which works for `groundup pretrain` as well.
"""

import json
import subprocess
from collections.abc import Iterator
from statistics import median
from typing import NamedTuple

from groundup.core import ConfigError, GroundupError, child, device, record
from groundup.model import count_parameters, mean_flops_per_token
from groundup.model import preset as find_preset

from .rung import Lever, Measured, Work

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
    depth: int = 6,
    preset: str = "",
    vocab_size: int = 8192,
    rows: int = 8,
    length: int = 256,
    steps: int = 5,
    rounds: int = 1,
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
    command = child.python_command("-m", "groundup.train.levers.rung", asked)
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
