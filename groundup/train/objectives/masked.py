"""Masked language modelling: predict masked tokens from both sides.

    the cat sat on the mat  ->  the [MASK] sat on dog mat       targets: cat, the

15 % of the tokens are chosen, in whole words; of these 80 % become [MASK], 10 % a random token and
10 % stay, so that the model cannot rely on [MASK] to find its targets. Special tokens and padding
are never chosen, and the random token is never special.
Source: Devlin et al. 2018, arXiv:1810.04805, section 3.1; whole words: its authors' code, 2019;
dynamic masking: Liu et al. 2019, arXiv:1907.11692, section 4.1. Departs: the papers' random token
may be special.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Int64

from groundup.tokenizer import MASK

from ..batches import MicroBatch
from .draws import KeyedRandom
from .objective import BatchInputs
from .token_properties import TokenProperties, TokenSpan, document_spans, token_spans, word_spans

MASK_RATE = 0.15
MASKED_SHARE, RANDOM_SHARE = 0.8, 0.1


def masked_batch(making: BatchInputs) -> MicroBatch:
    """A batch with masked tokens; targets are the original ids, weighted where masked."""
    rows, known, noise = making.rows, making.context.token_properties, making.context.noise
    original = rows.ids[:, 1:]  # aligned with the document numbers
    ids, chosen = original.copy(), np.zeros(original.shape, dtype=bool)
    units = word_spans if noise.whole_words else token_spans
    for row, documents in enumerate(rows.documents):
        draws = making.keyed_random(row)
        candidates = [
            unit for p in document_spans(documents) for unit in units(original[row], p, known)
        ]
        chosen[row] = choose_masked_tokens(
            candidates, len(documents), noise.rate or MASK_RATE, draws
        )
        ids[row] = apply_mask(ids[row], chosen[row], known, draws)
    return batch_from_mask(making, ids, original, chosen)


def batch_from_mask(
    making: BatchInputs,
    ids: Int64[np.ndarray, "B T"],
    original: Int64[np.ndarray, "B T"],
    chosen: Bool[np.ndarray, "B T"],
) -> MicroBatch:
    """A batch from masked ids, original ids and the mask."""
    return MicroBatch(
        torch.from_numpy(ids),
        torch.from_numpy(original.copy()),
        torch.from_numpy(chosen.astype(np.float32)),
        torch.from_numpy(making.rows.documents),
        making.rows.names,
    )


def choose_masked_tokens(
    units: Sequence[TokenSpan], length: int, rate: float, draws: KeyedRandom
) -> Bool[np.ndarray, " length"]:
    """Choose words until the share of tokens is met, skipping words that would exceed it.

    The number of tokens is rounded stochastically, so its mean is the rate exactly.

    >>> spans = [TokenSpan(1, 3), TokenSpan(3, 5)]
    >>> choose_masked_tokens(spans, 6, 0.5, KeyedRandom(0)).astype(int).tolist()
    [0, 0, 0, 1, 1, 0]
    """
    chosen = np.zeros(length, dtype=bool)
    remaining = draws.round_stochastically(rate * sum(unit.end - unit.start for unit in units))
    for index in draws.permutation(len(units)):
        start, end = units[index]
        if end - start <= remaining:
            chosen[start:end] = True
            remaining -= end - start
        if not remaining:
            break
    return chosen


def apply_mask(
    ids: Int64[np.ndarray, " T"],
    chosen: Bool[np.ndarray, " T"],
    known: TokenProperties,
    draws: KeyedRandom,
) -> Int64[np.ndarray, " T"]:
    """Replace chosen tokens by [MASK] (80 %), a random token (10 %) or themselves (10 %)."""
    fate, other = draws.uniform(len(ids)), draws.uniform(len(ids))
    return replace_by_draw(ids, chosen, fate, other, known)


def replace_by_draw(
    ids: Int64[np.ndarray, " T"],
    chosen: Bool[np.ndarray, " T"],
    draw: np.ndarray,
    other: np.ndarray,
    known: TokenProperties,
) -> Int64[np.ndarray, " T"]:
    """Replace chosen tokens; `draw` in [0, 1) selects how, `other` the random token."""
    random = known.ordinary_ids[(other * len(known.ordinary_ids)).astype(np.int64)]
    shown = np.where(draw < MASKED_SHARE, known.special_token_id(MASK), random)
    return np.where(chosen & (draw < MASKED_SHARE + RANDOM_SHARE), shown, ids)
