"""Sweep: train every run of a ladder with `pretrain`, and report the results.

    DIR/4x192-1e13/   a model artifact for each run; completed runs are not repeated
    DIR/sweep/        the report: runs.json with weights, tokens, FLOPs, losses and curves

A stopped sweep resumes, also within a run.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from groundup.core import (
    MANIFEST,
    Artifact,
    ConfigError,
    Draft,
    device,
    produce,
    record,
    write_json,
)
from groundup.tokenizer import load_tokenizer, open_shards

from ..objectives.token_properties import token_properties_of
from ..pretrain.stage import pretrain
from ..services.metrics import METRICS_FILE
from ..services.validation import BITS_PER_BYTE
from .ladder import LadderRun, SweepConfig, format_ladder, ladder_runs

STAGE, FILE = "scaling_sweep", "runs.json"
ASSUMED_UTILISATION = 0.3
"""Assumed share of the peak FLOP/s until a run has been measured."""
CURVE_POINTS = 60
SMOOTHING_SHARE = 0.05
"""Share of the steps before a point over which the training loss is averaged, at least 8."""


class LossCurve(NamedTuple):
    """Smoothed training loss along a run."""

    tokens: list[float]
    loss: list[float]
    """Nats."""


class SweepRun(NamedTuple):
    """Size, budget and results of a run."""

    name: str
    layers: int
    width: int
    embedding: int
    non_embedding: int
    output: int
    flops_per_token: int
    budget: float
    tokens: int
    flops: float
    loss: float
    """Final held-out loss, nats per token."""
    bits_per_byte: float
    """The same in bits per byte."""
    flops_per_second: float
    """At the median speed of the steps."""
    curve: LossCurve

    @property
    def computing(self) -> int:
        """Weights that every token is multiplied with."""
        return self.non_embedding + self.output


@dataclass(frozen=True)
class SweepResult:
    """The plan of a sweep, or its results."""

    ladder: tuple[LadderRun, ...]
    seconds: tuple[float, ...]
    """Predicted time of each run; 0 for completed ones."""
    artifact: Artifact | None = None
    """The report, unless it was a dry run."""
    runs: tuple[SweepRun, ...] = ()

    def __str__(self) -> str:
        """A table: the plan, or the losses."""
        if self.artifact is None:
            times = [record.format_duration(s) if s else "done" for s in self.seconds]
            flops = sum(each.flops for each in self.ladder)
            remaining = record.format_duration(sum(self.seconds))
            return (
                f"{format_ladder(self.ladder, times)}\n\n{flops:.3g} FLOPs "
                f"in all, about {remaining} left"
            )
        losses = [f"{run.loss:.4f}" for run in self.runs]
        return f"{format_ladder(self.ladder, losses, 'nats')}\n\nReport: {self.artifact.path}"

    def _asdict(self) -> dict[str, Any]:
        """What `--json` prints."""
        rows = [{"name": each.name, **each.size._asdict(), "tokens": each.config.tokens,
                 "flops": each.flops, "predicted_seconds": round(seconds, 1)}
                for each, seconds in zip(self.ladder, self.seconds, strict=True)]  # fmt: skip
        report = None if self.artifact is None else str(self.artifact.path)
        return {"runs": rows, "report": report, "results": [run._asdict() for run in self.runs]}


class SweepReport(NamedTuple):
    """Content of a sweep's report."""

    config: SweepConfig
    vocab_size: int
    runs: tuple[SweepRun, ...]
    train_tokens: float
    """Available training tokens; infinite in a report that does not record them."""


def missing_tokens_message(run: LadderRun, train_tokens: float) -> str:
    """The problem of a run that needs more tokens than there are; empty if it does not."""
    if run.config.tokens <= train_tokens:
        return ""
    return (
        f"The run {run.name} needs {run.config.tokens:,} tokens, but there are {train_tokens:,}, "
        "and the laws do not model repeated text; use a larger shape, a smaller budget, or more "
        "text."
    )


def sweep(
    config: SweepConfig, tokens: Artifact, tokenizer: Artifact, out: Path, *, dry_run: bool = False
) -> SweepResult:
    """Train a ladder of models, sizes x budgets of compute; a stopped sweep resumes.

    tokens     shards made by `groundup tokens`, or a mixture of such
    tokenizer  the tokenizer that made them
    out        directory with a model for each run, and the report `sweep`
    dry_run    only print weights, tokens, FLOPs and predicted time

    Raises ConfigError if a run needs more tokens than there are: the laws do not model repeated
    text.
    """
    vocab_size = len(token_properties_of(load_tokenizer(tokenizer.path)).byte_lengths)
    ladder = ladder_runs(config, vocab_size)
    available = sum(len(shard) for shard in open_shards(tokens, "train").shards)
    if problem := missing_tokens_message(
        max(ladder, key=lambda each: each.config.tokens), available
    ):
        raise ConfigError(problem)
    if skipped := len(config.shapes) * len(config.budgets) - len(ladder):
        steps = f"{config.min_steps:,} steps (min_steps)"
        record.log(f"Skipped {skipped} of the ladder's runs with fewer than {steps}.")
    seconds = _predict_seconds(ladder, out)
    if dry_run:
        return SweepResult(tuple(ladder), seconds)
    inputs, runs = {"tokens": tokens, "tokenizer": tokenizer}, []
    for number, each in enumerate(ladder):
        record.log(f"run {number + 1} of {len(ladder)}: {each.name}")
        inputs[each.name] = pretrain(each.config, tokens, tokenizer, out / each.name)
        runs.append(_sweep_run(each, inputs[each.name]))

    def write(draft: Draft) -> None:
        rows = [run._asdict() | {"curve": run.curve._asdict()} for run in runs]
        write_json(
            draft.file(FILE), {"vocab_size": vocab_size, "train_tokens": available, "runs": rows}
        )
        draft.numbers |= {"runs": len(runs), "flops": sum(run.flops for run in runs)}

    report = produce(
        out / "sweep", kind="report", stage=STAGE, version=1, config=config, parents=inputs,
        write=write,
    )  # fmt: skip
    return SweepResult(tuple(ladder), seconds, report, read_sweep(report).runs)


def _predict_seconds(ladder: Sequence[LadderRun], out: Path) -> tuple[float, ...]:
    """Seconds of each run, by the speed of the completed run nearest in size, or of the peak."""
    peak = max(device.measure_speeds().bfloat16_flops, device.measure_speeds().float32_flops)
    speeds = {each.size.computing: _flops_per_second(_read_manifest_numbers(out / each.name), each)
              for each in ladder if (out / each.name / MANIFEST).is_file()}  # fmt: skip

    def speed(each: LadderRun) -> float:
        near = sorted(speeds, key=lambda size: abs(np.log(size / each.size.computing)))
        return speeds[near[0]] if near else ASSUMED_UTILISATION * peak

    return tuple(0.0 if (out / each.name / MANIFEST).is_file() else each.flops / speed(each)
                 for each in ladder)  # fmt: skip


def _read_manifest_numbers(place: Path) -> dict[str, Any]:
    """Numbers of a completed run."""
    return Artifact.open(place, "model").numbers


def _flops_per_second(numbers: dict[str, Any], each: LadderRun) -> float:
    """FLOP/s of a run."""
    return float(numbers["tokens per second"]) * each.size.flops_per_token


def _sweep_run(each: LadderRun, model: Artifact) -> SweepRun:
    """The results of a run."""
    numbers, size = model.numbers, each.size
    steps = record.read_metrics(model.path / "log" / METRICS_FILE)
    return SweepRun(
        each.name, size.layers, size.width, size.embedding, size.non_embedding, size.output,
        size.flops_per_token, each.budget, numbers["tokens"],
        float(size.flops_per_token) * numbers["tokens"], numbers["validation loss"],
        numbers[BITS_PER_BYTE], _flops_per_second(numbers, each),
        _smooth_curve([row["loss"] for row in steps if "loss" in row], each.config.batch_tokens),
    )  # fmt: skip


def _smooth_curve(losses: Sequence[float], batch_tokens: int) -> LossCurve:
    """Training loss at about evenly spaced logarithms of tokens, each a mean of the steps before.

    >>> _smooth_curve([3.0] * 8 + [2.1], 100)
    LossCurve(tokens=[800.0, 900.0], loss=[3.0, 2.8875])
    """
    first, last = min(8, len(losses)), len(losses)
    ends = sorted({round(x) for x in np.geomspace(first, last, CURVE_POINTS)})
    spans = [(max(8, round(SMOOTHING_SHARE * end)), end) for end in ends]
    means = [float(np.mean(losses[max(0, end - span) : end])) for span, end in spans]
    return LossCurve([float(end * batch_tokens) for end in ends], [round(x, 6) for x in means])


def read_sweep(report: Artifact) -> SweepReport:
    """Read a sweep's report.

    Raises ConfigError for another kind of report.
    """
    if report.stage != STAGE:
        raise ConfigError(
            f"{report.path} is a {report.kind} of {report.stage}; expected the folder `sweep` of a "
            "`groundup scaling sweep`."
        )
    content = json.loads(report.file(FILE).read_text(encoding="utf-8"))
    runs = (SweepRun(**(row | {"curve": LossCurve(**row["curve"])})) for row in content["runs"])
    available = content.get("train_tokens", math.inf)
    return SweepReport(SweepConfig(**report.config), content["vocab_size"], tuple(runs), available)
