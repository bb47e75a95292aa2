"""Span corruption: write the spans that were taken out, each after the sentinel that stands for it.

    Thank you for inviting me to your party last week
    source   Thank you <0> me to your party <1> week
    target   <0> for inviting <1> last <2>

Of n tokens round(0.15 n) are taken out in spans of 3 in the mean: their number is that of the
tokens divided by 3, and both the spans' lengths and the distances between them are a random
division of what there is. A text ends with a span; its end's token is never taken out.
Source: Raffel et al. 2019, arXiv:1910.10683, section 3.1.4 with its last sentinel; how lengths
are drawn: its code's `random_spans_noise_mask`, which ends a target by an end of text instead.
"""

from collections.abc import Sequence

from groundup.core import ConfigError
from groundup.tokenizer import DOCUMENT_END

from ..batches import Batch
from .draws import Draws
from .objective import Making, NoiseConfig
from .sequences import SourceTarget, damaged_batch

RATE = 0.15
PADDED = 32
"""Targets are padded to multiples of so many tokens."""
LEAST = 3
"""Tokens from which on a document's target is no longer than the document."""


def corruption_batch(making: Making) -> Batch:
    """Rows of documents, each with spans taken out, and what they were."""
    known, noise = making.setting.known, making.setting.noise
    sentinels, end = known.sentinels, known.special(DOCUMENT_END)

    def damage(ids: list[int], draws: Draws) -> SourceTarget:
        return corrupted(ids, sentinels, end, noise, draws)

    return damaged_batch(making, damage, PADDED)


def corrupted(
    ids: list[int], sentinels: Sequence[int], end: int, noise: NoiseConfig, draws: Draws
) -> SourceTarget:
    """One document's source and target; one of fewer than three tokens has nothing to write.

    >>> corrupted(list(range(10, 20)), [0, 1, 2], 9, NoiseConfig(rate=0.3), Draws(5))
    SourceTarget(source=[10, 11, 12, 13, 14, 15, 16, 0], target=[0, 17, 18, 19, 1])

    Raises ConfigError if there are too few sentinels.
    """
    has_end = bool(ids) and ids[-1] == end
    body, tail = (ids[:-1], ids[-1:]) if has_end else (ids, [])
    if len(body) < LEAST:
        return SourceTarget(ids, [])
    hidden, count = sizes(len(body), noise)
    if count + 1 > len(sentinels):
        raise ConfigError(
            f"{len(body)} tokens with {count} spans need {count + 1} sentinels; the tokenizer has "
            f"{len(sentinels)}."
        )
    kept, taken = draws.parts(len(body) - hidden, count), draws.parts(hidden, count)
    source, target, place = list[int](), list[int](), 0
    for sentinel, seen, gone in zip(sentinels, kept.tolist(), taken.tolist(), strict=False):
        source += [*body[place : place + seen], sentinel]
        target += [sentinel, *body[place + seen : place + seen + gone]]
        place += seen + gone
    return SourceTarget(source + tail, [*target, sentinels[count]])


def sizes(length: int, noise: NoiseConfig) -> tuple[int, int]:
    """How many of a document's tokens are taken out, and in how many spans.

    >>> sizes(100, NoiseConfig())
    (15, 5)
    """
    hidden = min(max(round(length * (noise.rate or RATE)), 1), length - 2)
    count = max(round(hidden / noise.mean_length), 1)
    return hidden, min(count, hidden, length - hidden - 1)


def sentinels_needed(length: int, noise: NoiseConfig) -> int:
    """Sentinels of a document of so many tokens, the last one included."""
    return sizes(max(length, LEAST), noise)[1] + 1
