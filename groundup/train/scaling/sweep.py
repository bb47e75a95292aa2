"""Sweep: train every run of a ladder with `pretrain`, and report the results.

    DIR/4x192-1e13/   a model artifact for each run; completed runs are not repeated
    DIR/sweep/        the report: runs.json with weights, tokens, FLOPs, losses and curves

A stopped sweep resumes, also within a run. An isoFLOP ladder trains each size for each compute
budget, so larger sizes see fewer tokens. Everything else is equal: text, order, length, batch,
shape of the schedule.

    tokens = budget / (FLOPs per token)        with attention and output, without embedding
    rate   = rate at width 256 x (width / 256) ^ power
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from groundup.core import (
    MANIFEST,
    Artifact,
    Config,
    ConfigError,
    Draft,
    device,
    produce,
    record,
    write_json,
)
from groundup.model import ModelConfig, count_parameters, mean_flops_per_token
from groundup.tokenizer import load_tokenizer, open_shards

from ..objectives.objective import token_properties_of
from ..pretrain.stage import PretrainConfig, pretrain
from ..services.metrics import METRICS_FILE
from ..services.validation import BITS_PER_BYTE

STAGE, FILE = "scaling_sweep", "runs.json"
ASSUMED_UTILISATION = 0.3
"""Assumed share of the peak FLOP/s until a run has been measured."""
CURVE_POINTS = 60
SMOOTHING_SHARE = 0.05
"""Share of the steps before a point over which the training loss is averaged, at least 8."""
TUNED_WIDTH = 256
"""Width for which the default learning rates were tuned."""


class SweepTraining(PretrainConfig):
    """Settings of every run: one context length, and enough held-out text for small differences."""

    length: int = Field(default=256, ge=1)
    """Context, tokens."""
    context_length: int = Field(default=256, ge=1)
    """Context of the last phase; equal to `length`: the laws are for one context."""
    long_share: float = Field(default=0.0, ge=0, le=1)
    """Share of the tokens trained at the full context."""
    validations: int = Field(default=2, ge=1)
    """Number of validations during the run."""
    validation_tokens: int = Field(default=65_536, ge=1)
    """Held-out tokens scored at each validation."""


class SweepConfig(Config):
    """Sizes, budgets, and common settings of all runs."""

    shapes: tuple[tuple[int, int], ...] = ((2, 128), (4, 192), (5, 256), (6, 320))
    """Layers and width of each size; the width is a multiple of 64."""
    budgets: tuple[float, ...] = (1e13, 2e13, 4e13)
    """Compute of a run, FLOPs; each size is trained for each budget."""
    min_steps: int = Field(default=100, ge=2)
    """Runs of fewer steps are skipped: they would measure the warm-up."""
    adamw_power: float = -0.5
    """Power of width by which AdamW's rates (output, norms, embedding) scale."""
    muon_power: float = 0.0
    """Power of width by which Muon's rate scales; its updates have the same RMS at any width."""
    training: SweepTraining = SweepTraining()
    """Common settings; depth, width and tokens are set by the ladder."""

    @model_validator(mode="after")
    def check(self) -> "SweepConfig":
        """Reject an empty ladder, repeated values, and settings that the ladder determines."""
        for name, values in (("shapes", self.shapes), ("budgets", self.budgets)):
            if not values or len(set(values)) < len(values):
                raise ConfigError(f"SweepConfig.{name}={values} must be distinct and not empty.")
        if min(self.budgets) <= 0:
            raise ConfigError(f"SweepConfig.budgets={self.budgets} must be above 0, in FLOPs.")
        own = PretrainConfig.model_fields
        for name in ("depth", "width", "tokens", "preset", "stages"):
            if getattr(self.training, name) != own[name].default:
                raise ConfigError(
                    f"SweepConfig.training.{name} is set by the ladder; use shapes and budgets."
                )
        return self


class ModelSize(NamedTuple):
    """A model shape, its weight counts, and its arithmetic."""

    layers: int
    width: int
    embedding: int
    """Weights of the input embedding, which is looked up, not multiplied."""
    non_embedding: int
    """Weights between embedding and output (Kaplan et al.)."""
    output: int
    """Weights of the output; a tied table counts both here and in `embedding`."""
    flops_per_token: int
    """Of training, averaged over a sequence."""

    @property
    def computing(self) -> int:
        """Weights that every token is multiplied with: FLOPs are near 6 x these x tokens."""
        return self.non_embedding + self.output

    @property
    def name(self) -> str:
        """`4x192`."""
        return f"{self.layers}x{self.width}"


class LadderRun(NamedTuple):
    """One run of the ladder."""

    size: ModelSize
    budget: float
    """Nominal FLOPs."""
    config: PretrainConfig

    @property
    def name(self) -> str:
        """`4x192-1e13`."""
        return f"{self.size.name}-{self.budget:.3g}".replace("+", "")

    @property
    def flops(self) -> float:
        """FLOPs of its integer number of steps."""
        return float(self.size.flops_per_token) * self.config.tokens


def _count_size(config: ModelConfig, length: int) -> ModelSize:
    count = count_parameters(config)
    output = config.vocab_size * config.width if config.tied_embeddings else count.head
    inner = count.total - count.embedding - count.head
    flops = mean_flops_per_token(config, length).training
    return ModelSize(config.layers, config.width, count.embedding, inner, output, flops)


def ladder_runs(config: SweepConfig, vocab_size: int) -> list[LadderRun]:
    """All runs, cheapest budget first.

    Raises ConfigError if no run has enough steps.
    """
    runs = [make_ladder_run(config, shape, budget, vocab_size)
            for budget in sorted(config.budgets) for shape in config.shapes]  # fmt: skip
    batch = config.training.batch_tokens
    usable = [run for run in runs if run.config.tokens >= config.min_steps * batch]
    if not usable:
        raise ConfigError(
            f"No size has {config.min_steps} steps of {batch:,} tokens for "
            f"{max(config.budgets):.3g} FLOPs; use larger budgets or smaller shapes."
        )
    return usable


def make_ladder_run(
    config: SweepConfig, shape: tuple[int, int], budget: float, vocab_size: int
) -> LadderRun:
    """One run: a shape trained for a budget."""
    shaped = config.training.model_copy(update={"depth": shape[0], "width": shape[1]})
    size = _count_size(shaped.model_config_for(vocab_size), shaped.length)
    return LadderRun(size, budget, _run_settings(config, shape, budget / size.flops_per_token))


def _run_settings(config: SweepConfig, shape: tuple[int, int], tokens: float) -> PretrainConfig:
    """Training settings of a shape, with tokens rounded to steps that validations divide."""
    base, (layers, width) = config.training, shape
    unit = base.batch_tokens * base.validations
    optim, ratio = base.optim, width / TUNED_WIDTH
    rates = {
        "muon_learning_rate": optim.muon_learning_rate * ratio**config.muon_power,
        "learning_rate": optim.learning_rate * ratio**config.adamw_power,
        "embedding_learning_rate": optim.embedding_learning_rate * ratio**config.adamw_power,
    }
    return base.model_copy(update={
        "depth": layers, "width": width, "tokens": max(1, round(tokens / unit)) * unit,
        "optim": optim.model_copy(update=rates),
    })  # fmt: skip


WIDTH_PER_LAYER = (32, 96)
"""Smallest and largest width per layer of candidate shapes."""


def candidate_shapes(config: SweepConfig, vocab_size: int, budget: float) -> list[tuple[int, int]]:
    """Shapes of usual proportions that a budget trains for at least the ladder's fewest steps.

    Raises ConfigError if there is none.
    """
    shapes, fewest = [], config.min_steps * config.training.batch_tokens
    for width in range(64, 64 * 65, 64):
        depths = range(-(-width // WIDTH_PER_LAYER[1]), width // WIDTH_PER_LAYER[0] + 1)
        enough = [
            (depth, width) for depth in depths
            if make_ladder_run(config, (depth, width), budget, vocab_size).config.tokens >= fewest
        ]  # fmt: skip
        if not enough:
            break
        shapes += enough
    if not shapes:
        raise ConfigError(
            f"{budget:.3g} FLOPs are too few to train any model for {config.min_steps} steps."
        )
    return shapes


TABLE_COLUMNS = ("run", "embedding", "non-emb.", "output", "tokens", "FLOPs", "steps")


def format_ladder(ladder: Sequence[LadderRun], seconds: Sequence[str], head: str = "time") -> str:
    """One line per run: weights by part, tokens, FLOPs, steps and time."""
    rows = [(*TABLE_COLUMNS, head)] + [
        (each.name, f"{each.size.embedding:,}", f"{each.size.non_embedding:,}",
         f"{each.size.output:,}", f"{each.config.tokens:,}", f"{each.flops:.3g}",
         f"{each.config.tokens // each.config.batch_tokens:,}", time)
        for each, time in zip(ladder, seconds, strict=True)
    ]  # fmt: skip
    return format_table(rows)


def format_table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text: the first column on the left, the others on the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                  for i, (cell, width) in enumerate(zip(row, widths, strict=True)))
        for row in rows
    )  # fmt: skip


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
    done = [each for each in ladder if (out / each.name / MANIFEST).is_file()]
    speeds = {
        each.size.computing: _flops_per_second(
            Artifact.open(out / each.name, "model").numbers, each
        )
        for each in done
    }

    def speed(each: LadderRun) -> float:
        near = sorted(speeds, key=lambda size: abs(np.log(size / each.size.computing)))
        return speeds[near[0]] if near else ASSUMED_UTILISATION * peak

    return tuple(0.0 if each in done else each.flops / speed(each) for each in ladder)


def _flops_per_second(numbers: dict[str, Any], each: LadderRun) -> float:
    return float(numbers["tokens per second"]) * each.size.flops_per_token


def _sweep_run(each: LadderRun, model: Artifact) -> SweepRun:
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
