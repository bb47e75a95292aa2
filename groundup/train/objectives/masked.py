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

from ..batches import Batch
from .draws import Draws
from .objective import Making
from .vocabulary import Span, Vocabulary, pieces, tokens, words

RATE = 0.15
MASKED, RANDOM = 0.8, 0.1


def masked_batch(making: Making) -> Batch:
    """A batch with masked tokens; targets are the original ids, weighted where masked."""
    rows, known, noise = making.rows, making.setting.known, making.setting.noise
    original = rows.ids[:, 1:]  # aligned with the document numbers
    ids, chosen = original.copy(), np.zeros(original.shape, dtype=bool)
    units = words if noise.whole_words else tokens
    for row, documents in enumerate(rows.documents):
        draws = making.draws(row)
        candidates = [unit for p in pieces(documents) for unit in units(original[row], p, known)]
        chosen[row] = choose(candidates, len(documents), noise.rate or RATE, draws)
        ids[row] = replaced(ids[row], chosen[row], known, draws)
    return hidden_batch(making, ids, original, chosen)


def hidden_batch(
    making: Making,
    ids: Int64[np.ndarray, "B T"],
    original: Int64[np.ndarray, "B T"],
    chosen: Bool[np.ndarray, "B T"],
) -> Batch:
    """A batch from masked ids, original ids and the mask."""
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(original.copy()),
        torch.from_numpy(chosen.astype(np.float32)),
        torch.from_numpy(making.rows.documents),
        making.rows.names,
    )


def choose(
    units: Sequence[Span], length: int, rate: float, draws: Draws
) -> Bool[np.ndarray, " length"]:
    """Choose words until the share of tokens is met, skipping words that would exceed it.

    The number of tokens is rounded stochastically, so its mean is the rate exactly.

    >>> choose([Span(1, 3), Span(3, 5)], 6, 0.5, Draws(0)).astype(int).tolist()
    [0, 0, 0, 1, 1, 0]
    """
    chosen = np.zeros(length, dtype=bool)
    remaining = draws.rounded(rate * sum(unit.end - unit.start for unit in units))
    for index in draws.order(len(units)):
        start, end = units[index]
        if end - start <= remaining:
            chosen[start:end] = True
            remaining -= end - start
        if not remaining:
            break
    return chosen


def replaced(
    ids: Int64[np.ndarray, " T"], chosen: Bool[np.ndarray, " T"], known: Vocabulary, draws: Draws
) -> Int64[np.ndarray, " T"]:
    """Replace chosen tokens by [MASK] (80 %), a random token (10 %) or themselves (10 %)."""
    fate, other = draws.uniform(len(ids)), draws.uniform(len(ids))
    return with_fates(ids, chosen, fate, other, known)


def with_fates(
    ids: Int64[np.ndarray, " T"],
    chosen: Bool[np.ndarray, " T"],
    fate: np.ndarray,
    other: np.ndarray,
    known: Vocabulary,
) -> Int64[np.ndarray, " T"]:
    """Replace chosen tokens; `fate` in [0, 1) selects how, `other` the random token."""
    random = known.plain[(other * len(known.plain)).astype(np.int64)]
    shown = np.where(fate < MASKED, known.special(MASK), random)
    return np.where(chosen & (fate < MASKED + RANDOM), shown, ids)
