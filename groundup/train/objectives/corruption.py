"""Span corruption (T5): predict the removed spans, each after the sentinel that replaced it.

    Thank you for inviting me to your party last week
    source   Thank you <0> me to your party <1> week
    target   <0> for inviting <1> last <2>

Of n tokens round(0.15 n) are removed in spans of mean length 3: the number of spans is the removed
tokens divided by 3, and the lengths of spans and of the text between them are random compositions.
A text ends with a span; its end token is never removed.
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
"""Target lengths are padded to multiples of this."""
LEAST = 3
"""Shortest document that is corrupted: a shorter one's target would be longer than itself."""


def corruption_batch(making: Making) -> Batch:
    """A batch of documents with removed spans, which are the targets."""
    known, noise = making.setting.known, making.setting.noise
    sentinels, end = known.sentinels, known.special(DOCUMENT_END)

    def damage(ids: list[int], draws: Draws) -> SourceTarget:
        return corrupted(ids, sentinels, end, noise, draws)

    return damaged_batch(making, damage, PADDED)


def corrupted(
    ids: list[int], sentinels: Sequence[int], end: int, noise: NoiseConfig, draws: Draws
) -> SourceTarget:
    """One document's source and target; the target of fewer than three tokens is empty.

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
            f"{len(body)} tokens with {count} spans need {count + 1} sentinels, but the tokenizer "
            f"has {len(sentinels)}; shorten the sequences."
        )
    gaps, spans = draws.parts(len(body) - hidden, count), draws.parts(hidden, count)
    source, target, start = list[int](), list[int](), 0
    for sentinel, gap, span in zip(sentinels, gaps.tolist(), spans.tolist(), strict=False):
        source += [*body[start : start + gap], sentinel]
        target += [sentinel, *body[start + gap : start + gap + span]]
        start += gap + span
    return SourceTarget(source + tail, [*target, sentinels[count]])


def sizes(length: int, noise: NoiseConfig) -> tuple[int, int]:
    """Number of removed tokens and of spans, for a document of a length.

    >>> sizes(100, NoiseConfig())
    (15, 5)
    """
    hidden = min(max(round(length * (noise.rate or RATE)), 1), length - 2)
    count = max(round(hidden / noise.mean_length), 1)
    return hidden, min(count, hidden, length - hidden - 1)


def sentinels_needed(length: int, noise: NoiseConfig) -> int:
    """Number of sentinels for a document of a length, including the final one."""
    return sizes(max(length, LEAST), noise)[1] + 1
