"""Encoder-decoder objectives: the encoder reads the source, the decoder writes the target.

    decoder input    <start>  Guten    Tag
    target            Guten    Tag    <end>

A sequence may pack several pairs: each is a document, and its target attends to its own source.
Padding has document -1 and weight 0.

    corruption   Thank you for inviting me to your party last week           (T5)
        source   Thank you <0> me to your party <1> week
        target   <0> for inviting <1> last <2>
    denoising    A b c. D e f.                                               (BART)
        source   D [MASK] . A b c .
        target   A b c . D e f .

Corruption removes round(0.15 n) of n tokens in spans of mean length 3: the number of spans is the
removed tokens divided by 3, and the lengths of spans and of the text between them are random
compositions. A text ends with a span; its end token is never removed.
Denoising shuffles sentences, which end with tokens that end in a full stop. Spans of Poisson(3)
tokens, 30 % of all, become one [MASK] each, so their lengths must be predicted too; an empty span
inserts a [MASK] where nothing is missing. Spans do not touch.
Source: teacher forcing: Sutskever et al. 2014, arXiv:1409.3215; Raffel et al. 2019,
arXiv:1910.10683, section 3.1.4 with its last sentinel; how lengths are drawn: its code's
`random_spans_noise_mask`, which ends a target by an end of text instead. Lewis et al. 2019,
arXiv:1910.13461, section 2.2. Departs: no mask is inserted where the source would become longer
than its document.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor

from groundup.core import ConfigError, DataError
from groundup.tokenizer import DOCUMENT_END, MASK

from ..batches import MicroBatch
from .objective import BatchInputs, KeyedRandom, NoiseConfig, TokenProperties, document_spans


class SourceTarget(NamedTuple):
    """Ids of a source and of its target, end token included."""

    source: list[int]
    target: list[int]


def sequence_batch(
    rows: Sequence[Sequence[SourceTarget]],
    *,
    start: int,
    names: tuple[str, ...] = (),
    length: int | None = None,
    multiple: int = 1,
) -> MicroBatch:
    """A batch of packed pairs.

    start     id before the first token of a target; also the padding id
    length    padded length of sources and maximum of targets; None: as long as needed
    multiple  padded lengths are multiples of this, which limits the number of shapes

    >>> batch = sequence_batch([[SourceTarget([7, 8], [5, 6, 0])]], start=1)
    >>> batch.ids, batch.targets
    (tensor([[1, 5, 6]]), tensor([[5, 6, 0]]))

    Raises DataError if a source is empty, and if a source or a target is longer than `length`.
    """
    for number, row in enumerate(rows):
        if not all(pair.source for pair in row):
            raise DataError(f"Row {number} has a pair without a source; remove the pair.")
    sources = [[pair.source for pair in row] for row in rows]
    targets = [[pair.target for pair in row] for row in rows]
    shifted = [[[start, *target[:-1]] if target else [] for target in row] for row in targets]
    S = _round_up_to_multiple(_longest_sequence(sources), multiple) if length is None else length
    T = _round_up_to_multiple(_longest_sequence(targets), multiple)
    if length is not None:
        _check_length(max(_longest_sequence(sources), _longest_sequence(targets)), length)
        T = min(T, length)
    documents = _pair_numbers(targets, T)
    return MicroBatch(
        _pad_rows(shifted, T, start),
        _pad_rows(targets, T, start),
        (documents >= 0).float(),
        documents,
        names,
        source=_pad_rows(sources, S, start),
        source_documents=_pair_numbers(sources, S),
    )


def corrupted_batch(
    making: BatchInputs, corrupt: Callable[[list[int], KeyedRandom], SourceTarget], multiple: int
) -> MicroBatch:
    """A batch of documents, each corrupted separately.

    corrupt   makes source and target from a document's ids
    multiple  see `sequence_batch`
    """
    rows, pairs = making.rows, []
    for row, documents in enumerate(rows.documents):
        draws, ids = making.keyed_random(row), rows.ids[row, 1:].tolist()
        pairs.append([corrupt(ids[start:stop], draws) for start, stop in document_spans(documents)])
    return sequence_batch(
        pairs,
        start=making.context.token_properties.special_token_id(DOCUMENT_END),
        names=rows.names,
        length=rows.documents.shape[1],
        multiple=multiple,
    )


def _check_length(longest: int, length: int) -> None:
    if longest > length:
        raise DataError(
            f"A source or target has {longest} tokens, more than length={length}; shorten it."
        )


def _round_up_to_multiple(length: int, multiple: int) -> int:
    return max(1, -(-length // multiple)) * multiple


def _longest_sequence(rows: Sequence[Sequence[list[int]]]) -> int:
    return max((sum(map(len, row)) for row in rows), default=0)


def _pad_rows(rows: Sequence[Sequence[list[int]]], length: int, padding: int) -> Tensor:
    """Concatenate each row's ids and pad on the right, (B, length)."""
    flat = [[id for ids in row for id in ids] for row in rows]
    return torch.tensor([[*row, *[padding] * (length - len(row))] for row in flat])


def _pair_numbers(rows: Sequence[Sequence[list[int]]], length: int) -> Tensor:
    """Each token's pair number within its sequence, -1 in padding, (B, length)."""
    return _pad_rows([[[n] * len(ids) for n, ids in enumerate(row)] for row in rows], length, -1)


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


INFILLING_RATE = 0.3
MAX_SPAN_LENGTH = 30


def denoising_batch(making: BatchInputs) -> MicroBatch:
    """A batch of corrupted documents, with the originals as targets."""
    known, noise = making.context.token_properties, making.context.noise

    def damage(ids: list[int], draws: KeyedRandom) -> SourceTarget:
        return _corrupt_document(ids, known, noise, draws)

    return corrupted_batch(making, damage, making.rows.documents.shape[1])


def _corrupt_document(
    ids: list[int], known: TokenProperties, noise: NoiseConfig, draws: KeyedRandom
) -> SourceTarget:
    """One corrupted document and the original; the end token is kept."""
    has_end = ids[-1] == known.special_token_id(DOCUMENT_END)
    body, tail = (ids[:-1], ids[-1:]) if has_end else (ids, [])
    if noise.permute:
        sentences = _split_sentences(body, known)
        body = [id for index in draws.permutation(len(sentences)) for id in sentences[index]]
    lengths = _draw_span_lengths(len(body), noise, draws)
    return SourceTarget(_mask_spans(body, lengths, known.special_token_id(MASK), draws) + tail, ids)


def _split_sentences(ids: Sequence[int], known: TokenProperties) -> list[list[int]]:
    """The sentences of a document; concatenated, they are the document."""
    sentences, current = list[list[int]](), list[int]()
    for id in ids:
        current.append(id)
        if known.ends_sentence[id]:
            sentences.append(current)
            current = []
    return [*sentences, current] if current else sentences


def _poisson_probabilities(mean: float) -> Float64[np.ndarray, " lengths"]:
    """Poisson probability of each length from 0 to `MAX_SPAN_LENGTH`.

    >>> _poisson_probabilities(3.0)[:3].round(3).tolist()
    [0.05, 0.149, 0.224]
    """
    counts = np.arange(MAX_SPAN_LENGTH + 1)
    factorials = np.array([math.lgamma(count + 1) for count in counts])
    return np.exp(counts * math.log(mean) - mean - factorials)


def _draw_span_lengths(length: int, noise: NoiseConfig, draws: KeyedRandom) -> list[int]:
    """Span lengths that add up to the share of masked tokens; the last is shortened to fit."""
    remaining, lengths = (
        draws.round_stochastically(length * (noise.rate or INFILLING_RATE)),
        list[int](),
    )
    weights = _poisson_probabilities(noise.mean_length)
    while remaining:
        drawn = min(int(draws.weighted_choice(weights, 1)[0]), remaining)
        lengths.append(drawn)
        remaining -= drawn
    return lengths


def _mask_spans(
    ids: Sequence[int], lengths: Sequence[int], mask: int, draws: KeyedRandom
) -> list[int]:
    """Ids with non-overlapping spans of these lengths each replaced by one mask.

    >>> _mask_spans([5, 6, 7, 8], [2, 0], 1, KeyedRandom(3))
    [1, 7, 8, 1]
    """
    shown = len(ids) - sum(lengths)
    lengths = _fit_spans(lengths, shown, len(ids))
    slots = draws.sorted_sample(len(lengths), shown + 1).tolist()
    source, position, seen = list[int](), 0, 0
    for slot, length in zip(slots, lengths, strict=True):
        source += [*ids[position : position + slot - seen], mask]
        position, seen = position + slot - seen + length, slot
    return source + list(ids[position:])


def _fit_spans(lengths: Sequence[int], shown: int, most: int) -> list[int]:
    """Drop empty spans and merge others until the source fits its document and spans do not touch.

    >>> _fit_spans([3, 0, 0, 2], 1, 6)
    [3, 2]
    """
    spans = list(lengths)
    while 0 in spans and (len(spans) > shown + 1 or shown + len(spans) > most):
        spans.remove(0)
    while len(spans) > shown + 1:
        last = spans.pop()
        spans[-1] += last
    return spans
