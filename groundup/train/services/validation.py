"""Validation: held-out text scored during a run, by source and as a whole.

Windows are chosen once, by a seed, and none twice, so that every held-out token is scored at most
once and each validation scores the same. The whole weighs the sources as the run reads them.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor, nn

from groundup.core import record
from groundup.tokenizer import Batch as Windows
from groundup.tokenizer import Loader, Shard

from ..batches import Batch
from ..loop import Loss, Step
from ..objectives.losses import causal
from ..parallel.mesh import ALONE, Mesh
from ..precision import Precision

BITS = "validation bits per byte"


def validating(
    steps: Iterable[Step],
    evaluate: Callable[[], dict[str, float]],
    due: Callable[[int], bool],
    metrics: record.Metrics | None,
) -> Iterator[Step]:
    """Call `evaluate` after the steps that are due and write what it finds.

    due      whether a step's number, from 0, is one of them: `evenly`
    metrics  None on a process that scores along with others and writes nothing
    """
    for step in steps:
        if due(step.number):
            found = evaluate()
            if metrics is not None:
                metrics.write(step=step.number, **found)
        yield step


def evenly(steps: int, times: int) -> Callable[[int], bool]:
    """Whether a step's number is one of `times` that lie evenly in a run, the last one with them.

    >>> [step for step in range(10) if evenly(10, 4)(step)]
    [2, 4, 7, 9]
    """
    return lambda step: (step + 1) * times // steps > step * times // steps


def held_out(shards: Sequence[Shard], length: int, tokens: int, seed: int) -> dict[str, Windows]:
    """Windows of each shard by its name, about `tokens` targets in all.

    Each shard gets an equal part, at least one window and at most all that it has; what the small
    ones cannot fill goes to the others.

    >>> shard = Shard.of("web", [("a", list(range(1, 100)), 99)], end=0)
    >>> held_out([shard], length=8, tokens=1000, seed=0)["web"].ids.shape
    (13, 9)
    """
    found, left = dict[str, Windows](), max(len(shards), tokens // length)
    for place, shard in enumerate(sorted(shards, key=len)):
        rows = min(-(-len(shard) // length), max(1, left // (len(shards) - place)))
        found[shard.name] = Loader([shard], rows, length, seed).batch(0)
        left -= rows
    return {shard.name: found[shard.name] for shard in shards}


class Tally(NamedTuple):
    """Sums over the targets of one source."""

    nats: float = 0.0
    weight: float = 0.0
    bytes: float = 0.0

    def __add__(self, other: "Tally") -> "Tally":  # type: ignore[override]
        return Tally(*(a + b for a, b in zip(self, other, strict=True)))

    def times(self, factor: float) -> "Tally":
        """As if there were so many times as much."""
        return Tally(*(factor * each for each in self))

    def told(self, name: str = "") -> dict[str, float]:
        """Nats a target and, where bytes are known, bits a byte of text."""
        found = {f"validation{name}": round(self.nats / self.weight, 5)}
        if not self.bytes:
            return found
        return found | {f"{BITS}{name}": round(self.nats / math.log(2) / self.bytes, 5)}


def scoring(
    model: nn.Module,
    batches: Sequence[Batch] | Mapping[str, Sequence[Batch]],
    precision: Precision,
    *,
    loss: Loss = causal,
    sizes: Int[Tensor, " V"] | None = None,
    shares: Mapping[str, float] | None = None,
    mesh: Mesh = ALONE,
) -> Callable[[], dict[str, float]]:
    """A function for `validating`: mean nats a weighted target over held-out batches.

    batches  those of one text, or by source; of several each is told as `validation/NAME` too, with
             half the width of its 95 % interval over the batches, if there are two
    sizes    bytes of text of each id; with them the nats are told as bits a byte too
    shares   weight of each source's tokens in the whole; None, or none of those that are scored:
             as many as are scored
    mesh     processes along `data` share the batches if their number divides them, else each
             scores all; along `context` each scores the positions that it is given
    """
    sources = batches if isinstance(batches, Mapping) else {"": batches}
    named = [(name, batch) for name, own in sources.items() for batch in own]
    place, ranks = named[0][1].ids.device.type, mesh.size("data")
    is_shared = len(named) % ranks == 0

    def tally(batch: Batch) -> Tally:
        with precision.autocast(place):
            part = loss(model, batch)
        size = 0.0 if sizes is None else float((sizes[batch.targets] * batch.weights).sum())
        return Tally(float(part.total), float(part.weight), size)

    @torch.no_grad()
    def score() -> dict[str, float]:
        model.eval()
        tallies = {name: list[Tally]() for name in sources}
        for number, (name, batch) in enumerate(named):
            is_own = not is_shared or number % ranks == mesh.place("data")
            tallies[name].append(tally(batch) if is_own else Tally())
        model.train()
        along = ("data", "context") if is_shared else ("context",)  # whose targets are apart
        if set(along) & set(mesh.dimensions):
            tallies = {name: [Tally(*(mesh.sum(each, along) for each in part))
                              for part in own] for name, own in tallies.items()}  # fmt: skip
        return told(tallies, shares)

    return score


def told(
    tallies: Mapping[str, Sequence[Tally]], shares: Mapping[str, float] | None
) -> dict[str, float]:
    """The figures of the whole and, of several sources, of each."""
    sums = {name: sum(own, start=Tally()) for name, own in tallies.items()}
    sums = {name: own for name, own in sums.items() if own.weight}
    if shares is None or not any(shares[name] for name in sums):
        whole = sum(sums.values(), start=Tally())
    else:
        parts = (own.times(shares[name] / own.weight) for name, own in sums.items())
        whole = sum(parts, start=Tally())
    found = whole.told()
    if len(tallies) > 1:
        for name, own in sums.items():
            found |= own.told(f"/{name}")
            if width := half_width(tallies[name]):
                found[f"validation half width/{name}"] = round(width, 5)
    return found


def half_width(tallies: Sequence[Tally]) -> float:
    """Half of the 95 % interval of a ratio of sums, its batches taken as a sample; 0 if of one.

    Source: Cochran 1977, Sampling Techniques, section 6.3.
    """
    own = [tally for tally in tallies if tally.weight]
    if len(own) < 2:
        return 0.0
    whole = sum(own, start=Tally())
    mean = whole.nats / whole.weight
    squares = sum((tally.nats - mean * tally.weight) ** 2 for tally in own)
    return 1.96 * math.sqrt(squares * len(own) / (len(own) - 1)) / whole.weight
