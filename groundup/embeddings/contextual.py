"""Contextual vectors of a word in sentences, from any model.

    "the bank of the river"  "the bank lent money"   ->   two vectors of `bank`, one cosine

A word's vector is the mean, first or last of its tokens' states after a layer: 0 is the embedding,
the last one the output. In a decoder a state depends only on earlier tokens.
Source: Peters et al. 2018, arXiv:1802.05365; Ethayarajh 2019, arXiv:1909.00512, on how the layers
differ.
"""

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch

from groundup.core import CapacityError, ConfigError, DataError, Tokenizer
from groundup.model import Transformer

Pooling = Literal["mean", "first", "last"]


class Occurrence(NamedTuple):
    """One occurrence of a word."""

    text: int
    """Index of the text."""
    start: int
    """Offset of the first character in the text."""
    vector: np.ndarray
    """(D,) float32."""


def occurrences(
    model: Transformer, tokenizer: Tokenizer, texts: Sequence[str], word: str, *,
    layer: int = -1, pooling: Pooling = "mean",
) -> list[Occurrence]:  # fmt: skip
    """The vectors of every occurrence of a complete word, ignoring case.

    layer    0 is the embedding; negative ones count from the output

    Raises DataError if a text lacks the word, ConfigError for a layer that does not exist and
    CapacityError for a text longer than the context.
    """
    results = []
    for index, text in enumerate(texts):
        matches = [match.span() for match in re.finditer(rf"(?i)\b{re.escape(word)}\b", text)]
        if not matches:
            raise DataError(f"The text {text[:60]!r} does not contain the word {word!r}.")
        states = _layer_states(model, tokenizer.encode(text), layer)
        spans = tokenizer.offsets(text)
        for start, stop in matches:
            first, last = len(text[:start].encode()), len(text[:stop].encode())
            picked = states[_overlapping_tokens(spans, first, last)]
            pooled = {"mean": picked.mean(0), "first": picked[0], "last": picked[-1]}[pooling]
            results.append(Occurrence(index, start, pooled.numpy()))
    return results


def _layer_states(model: Transformer, ids: Sequence[int], layer: int) -> torch.Tensor:
    """States (T, D) of a text after a layer, of the encoder if there is one."""
    if len(ids) > model.config.context_length:
        what = f"A text has {len(ids)} tokens; the model's context is"
        raise CapacityError(f"{what} {model.config.context_length}: give shorter texts.")
    states: list[torch.Tensor] = []
    batch = torch.tensor([list(ids)], device=model.head.device)
    with torch.inference_mode():
        if model.encoder is not None:
            model.encode(batch, states=states)
        else:
            model(batch, states=states)
    if not -len(states) <= layer < len(states):
        what = f"layer={layer} does not exist; expected 0 (the embedding) to {len(states) - 1} (the"
        raise ConfigError(f"{what} output), or -1 for the output.")
    return states[layer][0].float().cpu()


def _overlapping_tokens(spans: Sequence[tuple[int, int]], start: int, stop: int) -> list[int]:
    """Indices of the tokens that overlap a byte range.

    >>> _overlapping_tokens([(0, 3), (3, 8), (8, 9)], 4, 8)
    [1]
    """
    return [i for i, (low, high) in enumerate(spans) if low < stop and high > start]


def cosines(vectors: np.ndarray) -> np.ndarray:
    """Cosines (n, n) of all pairs of vectors (n, D).

    >>> cosines(np.array([[1.0, 0.0], [0.0, 2.0]]))
    array([[1., 0.],
           [0., 1.]])
    """
    units = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-30)
    return units @ units.T
