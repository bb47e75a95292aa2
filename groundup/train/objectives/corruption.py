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

from ..batches import MicroBatch
from .draws import KeyedRandom
from .objective import BatchInputs, NoiseConfig
from .sequences import SourceTarget, corrupted_batch

CORRUPTION_RATE = 0.15
TARGET_MULTIPLE = 32
"""Target lengths are padded to multiples of this."""
MIN_CORRUPTED_LENGTH = 3
"""Shortest document that is corrupted: a shorter one's target would be longer than itself."""


def corruption_batch(making: BatchInputs) -> MicroBatch:
    """A batch of documents with removed spans, which are the targets."""
    known, noise = making.context.token_properties, making.context.noise
    sentinels, end = known.sentinels, known.special_token_id(DOCUMENT_END)

    def damage(ids: list[int], draws: KeyedRandom) -> SourceTarget:
        return _corrupt_spans(ids, sentinels, end, noise, draws)

    return corrupted_batch(making, damage, TARGET_MULTIPLE)


def _corrupt_spans(
    ids: list[int], sentinels: Sequence[int], end: int, noise: NoiseConfig, draws: KeyedRandom
) -> SourceTarget:
    """One document's source and target; the target of fewer than three tokens is empty.

    >>> _corrupt_spans(list(range(10, 20)), [0, 1, 2], 9, NoiseConfig(rate=0.3), KeyedRandom(5))
    SourceTarget(source=[10, 11, 12, 13, 14, 15, 16, 0], target=[0, 17, 18, 19, 1])

    Raises ConfigError if there are too few sentinels.
    """
    has_end = bool(ids) and ids[-1] == end
    body, tail = (ids[:-1], ids[-1:]) if has_end else (ids, [])
    if len(body) < MIN_CORRUPTED_LENGTH:
        return SourceTarget(ids, [])
    hidden, count = _noise_sizes(len(body), noise)
    if count + 1 > len(sentinels):
        raise ConfigError(
            f"{len(body)} tokens with {count} spans need {count + 1} sentinels, but the tokenizer "
            f"has {len(sentinels)}; shorten the sequences."
        )
    gaps, spans = (
        draws.random_composition(len(body) - hidden, count),
        draws.random_composition(hidden, count),
    )
    source, target, start = list[int](), list[int](), 0
    for sentinel, gap, span in zip(sentinels, gaps.tolist(), spans.tolist(), strict=False):
        source += [*body[start : start + gap], sentinel]
        target += [sentinel, *body[start + gap : start + gap + span]]
        start += gap + span
    return SourceTarget(source + tail, [*target, sentinels[count]])


def _noise_sizes(length: int, noise: NoiseConfig) -> tuple[int, int]:
    """Number of removed tokens and of spans, for a document of a length.

    >>> _noise_sizes(100, NoiseConfig())
    (15, 5)
    """
    hidden = min(max(round(length * (noise.rate or CORRUPTION_RATE)), 1), length - 2)
    count = max(round(hidden / noise.mean_length), 1)
    return hidden, min(count, hidden, length - hidden - 1)


def required_sentinels(length: int, noise: NoiseConfig) -> int:
    """Number of sentinels for a document of a length, including the final one."""
    return _noise_sizes(max(length, MIN_CORRUPTED_LENGTH), noise)[1] + 1
