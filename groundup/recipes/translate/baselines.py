"""What any translation must beat: the source as it is, and a dictionary word for word.

The dictionary is IBM's model 1: every target word is explained by the source words of its pair, in
the shares in which they explain it elsewhere. A few rounds of counting and sharing find them.
Source: Brown et al. 1993, "The mathematics of statistical machine translation", section 4.1.
"""

import re
from collections.abc import Sequence

import numpy as np

WORD = re.compile(r"\w+")
NOTHING = ""
"""The empty word, which explains target words that no source word stands for."""


class Dictionary:
    """The likeliest translation of each word."""

    def __init__(self, words: dict[str, str]) -> None:
        self.words = words

    @classmethod
    def learn(cls, pairs: Sequence[tuple[str, str]], rounds: int = 8) -> "Dictionary":
        """Count words that stand in the same pairs, and share what each explains.

        >>> Dictionary.learn([("the house", "a casa"), ("the sun", "o sol"), ("house", "casa")]
        ...     )("The house")
        'A casa'
        """
        sources = [[NOTHING, *_words_of(source)] for source, _ in pairs]
        targets = [_words_of(target) for _, target in pairs]
        left, right = numbered(sources), numbered(targets)
        cells, slots = [], []  # a word of either side that may explain the other; its target place
        start = 0
        for a, b in zip(sources, targets, strict=True):
            mine = np.array([left[word] for word in a])
            theirs = np.array([right[word] for word in b], dtype=int)
            cells.append((mine[:, None] * len(right) + theirs).ravel())
            slots.append(np.tile(np.arange(start, start + len(b)), len(a)))
            start += len(b)
        known, cell = np.unique(np.concatenate(cells), return_inverse=True)
        slot, owner = np.concatenate(slots), known // len(right)
        share = np.ones(len(known))
        for _ in range(rounds):
            explained = np.bincount(slot, share[cell])
            count = np.bincount(cell, share[cell] / explained[slot])
            share = count / np.bincount(owner, count)[owner]
        return cls(_best_of(known, share, list(left), list(right)))

    def __call__(self, text: str) -> str:
        """The text with every known word replaced, capitals kept; what is between stays."""
        return WORD.sub(lambda found: self.word(found[0]), text)

    def word(self, word: str) -> str:
        """A word's translation, or the word."""
        found = self.words.get(word.lower(), word)
        return found[:1].upper() + found[1:] if word[:1].isupper() else found


def _words_of(text: str) -> list[str]:
    """Its words in small letters."""
    return [word.lower() for word in WORD.findall(text)]


def numbered(texts: Sequence[Sequence[str]]) -> dict[str, int]:
    """Every word with a number, in order of first appearance."""
    return {word: i for i, word in enumerate(dict.fromkeys(w for text in texts for w in text))}


def _best_of(
    known: np.ndarray, share: np.ndarray, left: list[str], right: list[str]
) -> dict[str, str]:
    """The likeliest target word of each source word; the first of equal ones."""
    order = np.argsort(-share, kind="stable")
    words: dict[str, str] = {}
    for place in order.tolist():
        source, target = divmod(int(known[place]), len(right))
        words.setdefault(left[source], right[target])
    words.pop(NOTHING, None)
    return words
