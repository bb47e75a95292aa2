"""What anybody has: logistic regression on the words of a text, whatever their order.

p(positive) = sigmoid(w · x + b)      x_i = 1 if word i is in the text
loss = mean nats + l2 * |w|²          minimised by L-BFGS; l2 chosen on validation texts
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)?|[!?]|[:;=][-']?[()DPp/|]")
"""Words, marks of feeling, and faces."""
STRENGTHS = (1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3)
LEAST = 2
"""Texts that a word must be in."""


class BagOfWords(NamedTuple):
    """A fitted regression."""

    places: dict[str, int]
    weights: Float[Tensor, " words"]
    bias: float
    strength: float
    """Of the penalty, as validation chose it."""

    def says(self, texts: Sequence[str]) -> Bool[Tensor, " texts"]:
        """Whether each text is positive."""
        return features(texts, self.places) @ self.weights + self.bias > 0


def _words_of(text: str) -> set[str]:
    """The kinds of words in a text.

    >>> sorted(_words_of("Don't go! GO :)"))
    ['!', ':)', "don't", 'go']
    """
    return set(WORD.findall(text.lower()))


def features(texts: Sequence[str], places: dict[str, int]) -> Tensor:
    """Which word is in which text, (texts, words), sparse."""
    found = [(row, places[word]) for row, text in enumerate(texts)
             for word in sorted(_words_of(text)) if word in places]  # fmt: skip
    index = torch.tensor(found, dtype=torch.long).reshape(-1, 2).T
    return torch.sparse_coo_tensor(
        index, torch.ones(len(found)), (len(texts), len(places)), check_invariants=True
    )  # fmt: skip


def fit(texts: Sequence[str], labels: Sequence[bool], strength: float) -> BagOfWords:
    """The regression of a strength."""
    counts = Counter(word for text in texts for word in _words_of(text))
    kinds = sorted(word for word, count in counts.items() if count >= LEAST)
    places = {word: place for place, word in enumerate(kinds)}
    x, y = features(texts, places), torch.tensor(list(labels), dtype=torch.float32)
    weights = torch.zeros(len(kinds), requires_grad=True)
    bias = torch.zeros(1, requires_grad=True)
    optimizer = torch.optim.LBFGS([weights, bias], max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = torch.sparse.mm(x, weights[:, None]).squeeze(1) + bias
        loss = F.binary_cross_entropy_with_logits(logits, y) + strength * weights.square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return BagOfWords(places, weights.detach(), float(bias.detach()), strength)


def tuned(
    training: tuple[Sequence[str], Sequence[bool]], held: tuple[Sequence[str], Sequence[bool]]
) -> BagOfWords:
    """The regression whose strength is right most often on held-out texts."""
    answers = torch.tensor(list(held[1]))
    fitted = [fit(*training, strength) for strength in STRENGTHS]
    return max(fitted, key=lambda each: float((each.says(held[0]) == answers).float().mean()))
