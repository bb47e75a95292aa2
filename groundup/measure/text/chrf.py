"""chrF: character n-gram F-score (orders 1 to 6); chrF++ adds word unigrams and bigrams.

    F = (1 + β²) · P · R / (β² · P + R)        P, R: means over the orders that both texts have

White space is ignored, so it needs no tokeniser and tolerates inflection; it suits languages where
BLEU's words are too coarse. β = 2 weighs recall twice.
Source: Popović 2015, doi:10.18653/v1/W15-3049; 2017, doi:10.18653/v1/W17-4770. Equal to sacrebleu,
see docs/benchmarks/agreement.md.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

from pydantic import Field

from groundup.core import Config, Reason

from .units import PUNCTUATION, missing_reference, ngrams

TINY = 1e-16


class Chrf(Config):
    """chrF with all settings that affect it; scores lie between 0 and 100.

    >>> round(Chrf().sentence("the cats sat", ["the cat sat"]), 2)
    74.78
    >>> round(Chrf(word_order=2).sentence("the cats sat", ["the cat sat"]), 2)     # chrF++
    64.44
    """

    character_order: int = Field(default=6, ge=1, le=64)
    """Maximum character n-gram order."""
    word_order: int = Field(default=0, ge=0, le=16)
    """Maximum word n-gram order; 0 is chrF, 2 is chrF++."""
    beta: float = Field(default=2, gt=0, le=1e6)
    """Weight of recall relative to precision."""
    lowercase: bool = False
    """Whether case is ignored."""
    whitespace: bool = False
    """Whether character n-grams include white space."""
    smoothing: bool = False
    """Mean of the orders' F-scores, orders without n-grams at almost zero (chrF++.py, Moses, NLTK);
    otherwise F of mean precision and recall over the orders that both texts have."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
        return (
            f"chrf|characters:{self.character_order}|words:{self.word_order}|beta:{self.beta:g}"
            f"|case:{'lower' if self.lowercase else 'mixed'}"
            f"|space:{'yes' if self.whitespace else 'no'}"
            f"|effective_order:{'no' if self.smoothing else 'yes'}"
            "|references:best|scale:100|version:1"
        )

    def ngram_counts(self, text: str) -> Iterator[Counter]:
        """Yield the n-grams of each order, characters first."""
        text = text.lower() if self.lowercase else text
        line = text if self.whitespace else "".join(text.split())
        for n in range(1, self.character_order + 1):
            yield Counter([line[start : start + n] for start in range(len(line) - n + 1)])
        if self.word_order:
            words = _split_punctuation(text)
            for n in range(1, self.word_order + 1):
                yield Counter(ngrams(words, n))

    def counts(self, candidate: str, references: Sequence[str]) -> tuple[int, ...] | Reason:
        """(n-grams of the answer, of the best reference, of both) for each order in turn."""
        if missing := missing_reference("chrF", references):
            return missing
        bags = list(self.ngram_counts(candidate))
        rows = [_count_matches(bags, self.ngram_counts(text)) for text in references]
        return max(rows, key=self.f_score) if len(rows) > 1 else rows[0]

    def from_counts(self, counts: Sequence[float]) -> float | Reason:
        """chrF of counts or of their sums; Reason `empty_reference` if the reference is empty."""
        if not any(counts[1::3]):
            return Reason("empty_reference", "The references have no character to compare with.")
        return self.f_score(counts)

    def f_score(self, counts: Sequence[float]) -> float:
        """The F-score in percent; 0 if nothing can match."""
        weight, orders = self.beta**2, self.character_order + self.word_order
        smoothed = precisions = recalls = 0.0
        shared = 0
        for total, expected, both in zip(counts[::3], counts[1::3], counts[2::3], strict=True):
            precision = both / total if total > 0 else TINY
            recall = both / expected if expected > 0 else TINY
            below = weight * precision + recall
            smoothed += (1 + weight) * precision * recall / below if below > 0 else TINY
            if total > 0 and expected > 0:
                precisions, recalls, shared = precisions + precision, recalls + recall, shared + 1
        if self.smoothing:
            return 100 * smoothed / orders
        if not shared or not precisions + recalls:
            return 0.0
        precision, recall = precisions / shared, recalls / shared
        return 100 * ((1 + weight) * precision * recall / (weight * precision + recall))

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """chrF of one answer."""
        counts = self.counts(candidate, references)
        return counts if isinstance(counts, Reason) else self.from_counts(counts)


def _count_matches(answer: Sequence[Counter], reference: Iterator[Counter]) -> tuple[int, ...]:
    """Counts against one reference; orders that the reference lacks count 0 for the answer."""
    row: list[int] = []
    for left, right in zip(answer, reference, strict=True):
        both = sum([min(count, right[gram]) for gram, count in left.items() if gram in right])
        row += (left.total() if right else 0, right.total(), both)
    return tuple(row)


def _split_punctuation(text: str) -> list[str]:
    """Split at white space, and split off one final or else one initial punctuation mark.

    >>> _split_punctuation('(so) "it" goes.')
    ['(so', ')', '"it', '"', 'goes', '.']
    """
    tokens: list[str] = []
    for word in text.split():
        if len(word) > 1 and word[-1] in PUNCTUATION:
            tokens += (word[:-1], word[-1])
        elif len(word) > 1 and word[0] in PUNCTUATION:
            tokens += (word[0], word[1:])
        else:
            tokens.append(word)
    return tokens
