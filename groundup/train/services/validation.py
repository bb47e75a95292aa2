"""Validation: held-out text scored during a run, by source and in total; and samples of the model.

Windows are chosen once, by a seed, without repetition, so every held-out token is scored at most
once and each validation scores the same. The total weights sources by their share in the run.
Samples continue a few fixed prompts; the model comes as a LanguageModel that reads the weights
being trained, since this room does not know how text is generated.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from groundup.core import LanguageModel, Message, Sampling, record
from groundup.tokenizer import Loader, Shard
from groundup.tokenizer import TextBatch as Windows

from ..batches import MicroBatch
from ..loop import Loss, TrainStep
from ..objectives.losses import causal_loss
from ..parallel.mesh import SINGLE_PROCESS, Mesh
from ..precision import Precision

BITS_PER_BYTE = "validation bits per byte"


def validate_steps(
    steps: Iterable[TrainStep],
    evaluate: Callable[[], dict[str, float]],
    due: Callable[[int], bool],
    metrics: record.MetricsFile | None,
) -> Iterator[TrainStep]:
    """Call `evaluate` after the steps that are due and write its result.

    due      whether a step, by its number from 0, is due: `evenly_spaced`
    metrics  None on a process that takes part in scoring and does not write
    """
    for step in steps:
        if due(step.number):
            scores = evaluate()
            if metrics is not None:
                metrics.write(step=step.number, **scores)
        yield step


def evenly_spaced(steps: int, times: int) -> Callable[[int], bool]:
    """Select `times` evenly spaced steps of a run, including the last.

    >>> [step for step in range(10) if evenly_spaced(10, 4)(step)]
    [2, 4, 7, 9]
    """
    return lambda step: (step + 1) * times // steps > step * times // steps


def held_out_windows(
    shards: Sequence[Shard], length: int, tokens: int, seed: int
) -> dict[str, Windows]:
    """Windows of each shard by its name, about `tokens` targets in total.

    Each shard gets an equal part, at least one window and at most all that it has; what small
    shards cannot fill goes to the others.

    >>> shard = Shard.from_documents("web", [("a", list(range(1, 100)), 99)], end=0)
    >>> held_out_windows([shard], length=8, tokens=1000, seed=0)["web"].ids.shape
    (13, 9)
    """
    windows, remaining = dict[str, Windows](), max(len(shards), tokens // length)
    for number, shard in enumerate(sorted(shards, key=len)):
        rows = min(-(-len(shard) // length), max(1, remaining // (len(shards) - number)))
        windows[shard.name] = Loader([shard], rows, length, seed).batch(0)
        remaining -= rows
    return {shard.name: windows[shard.name] for shard in shards}


class LossTally(NamedTuple):
    """Sums over the targets of one source."""

    nats: float = 0.0
    weight: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "LossTally") -> "LossTally":  # type: ignore[override]
        return LossTally(*(a + b for a, b in zip(self, other, strict=True)))

    def scaled(self, factor: float) -> "LossTally":
        """The sums multiplied by a factor."""
        return LossTally(*(factor * each for each in self))

    def named_scores(self, name: str = "") -> dict[str, float]:
        """Nats per target and, where bytes are known, bits per byte of text."""
        nats = {f"validation{name}": round(self.nats / self.weight, 5)}
        if not self.bytes:
            return nats
        return nats | {f"{BITS_PER_BYTE}{name}": round(self.nats / math.log(2) / self.bytes, 5)}


def validation_scorer(
    model: nn.Module,
    batches: Sequence[MicroBatch] | Mapping[str, Sequence[MicroBatch]],
    precision: Precision,
    *,
    loss: Loss = causal_loss,
    sizes: Int[Tensor, " V"] | None = None,
    shares: Mapping[str, float] | None = None,
    mesh: Mesh = SINGLE_PROCESS,
) -> Callable[[], dict[str, float]]:
    """A function for `validate_steps`: mean nats per weighted target over held-out batches.

    batches  of one text, or by source; each of several is also reported as `validation/NAME`, with
             the half width of its 95 % interval over the batches, if there are two
    sizes    bytes of text of each id; with them bits per byte are reported too
    shares   weight of each source's tokens in the total; None, or no scored source in it: by the
             number of scored tokens
    mesh     processes along `data` share the batches if their number divides them, otherwise each
             scores all; along `context` each scores its own positions
    """
    sources = batches if isinstance(batches, Mapping) else {"": batches}
    named = [(name, batch) for name, own in sources.items() for batch in own]
    device_type, ranks = named[0][1].ids.device.type, mesh.size("data")
    is_shared = len(named) % ranks == 0

    def tally(batch: MicroBatch) -> LossTally:
        with precision.autocast(device_type):
            loss_sum = loss(model, batch)
        size = 0.0 if sizes is None else float((sizes[batch.targets] * batch.weights).sum())
        return LossTally(float(loss_sum.total), float(loss_sum.weight), size)

    @torch.no_grad()
    def score() -> dict[str, float]:
        model.eval()
        tallies = {name: list[LossTally]() for name in sources}
        for number, (name, batch) in enumerate(named):
            is_own = not is_shared or number % ranks == mesh.rank_along("data")
            tallies[name].append(tally(batch) if is_own else LossTally())
        model.train()
        along = ("data", "context") if is_shared else ("context",)  # with different targets
        if set(along) & set(mesh.dimensions):
            tallies = {name: [LossTally(*(mesh.sum(each, along) for each in part))
                              for part in own] for name, own in tallies.items()}  # fmt: skip
        return _scores_by_source(tallies, shares)

    return score


def _scores_by_source(
    tallies: Mapping[str, Sequence[LossTally]], shares: Mapping[str, float] | None
) -> dict[str, float]:
    """The total and, for several sources, each source's numbers."""
    sums = {name: sum(own, start=LossTally()) for name, own in tallies.items()}
    sums = {name: own for name, own in sums.items() if own.weight}
    if shares is None or not any(shares[name] for name in sums):
        total = sum(sums.values(), start=LossTally())
    else:
        weighted = (own.scaled(shares[name] / own.weight) for name, own in sums.items())
        total = sum(weighted, start=LossTally())
    scores = total.named_scores()
    if len(tallies) > 1:
        for name, own in sums.items():
            scores |= own.named_scores(f"/{name}")
            if width := half_width(tallies[name]):
                scores[f"validation half width/{name}"] = round(width, 5)
    return scores


def half_width(tallies: Sequence[LossTally]) -> float:
    """Half of the 95 % interval of a ratio of sums, its batches taken as a sample; 0 for one batch.

    Source: Cochran 1977, Sampling Techniques, section 6.3.
    """
    own = [tally for tally in tallies if tally.weight]
    if len(own) < 2:
        return 0.0
    total = sum(own, start=LossTally())
    mean = total.nats / total.weight
    squares = sum((tally.nats - mean * tally.weight) ** 2 for tally in own)
    return 1.96 * math.sqrt(squares * len(own) / (len(own) - 1)) / total.weight


SAMPLES_KEY = "samples"


def generate_samples(
    steps: Iterable[TrainStep],
    sampler: LanguageModel,
    prompts: Sequence[str],
    due: Callable[[int], bool],
    metrics: record.MetricsFile,
    *,
    model: nn.Module | None = None,
    generation: Sampling | None = None,
    within: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[TrainStep]:
    """After due steps, let the model answer each prompt, and write the answers to the metrics.

    due         whether to sample after a step, by its number from 0
    model       module to put back into training mode; None if the sampler does so
    generation  default: greedy, 48 tokens
    within      context for generation, such as averaged weights

    Random states of the run do not change, so a run with samples gives the same bits.
    """
    generation = generation or Sampling(max_tokens=48)
    for step in steps:
        if prompts and due(step.number):
            with torch.random.fork_rng(), torch.no_grad(), within():
                answers = sampler.generate(
                    [(Message("user", each),) for each in prompts], generation
                )
            if model is not None:
                model.train()
            texts = [
                {"prompt": prompt, "text": answer.text}
                for prompt, answer in zip(prompts, answers, strict=True)
            ]
            metrics.write(step=step.number, **{SAMPLES_KEY: texts})
        yield step
