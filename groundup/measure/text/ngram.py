"""BLEU, chrF and diversity: n-grams that texts share.

BLEU is the clipped n-gram precision of the answer with a brevity penalty:

    BLEU = 100 · brevity · exp(mean over n of log precision_n)
    brevity = 1 if the answer is at least as long as the reference, else exp(1 - reference / answer)

precision_n is the share of the answer's n-grams that occur in a reference, clipped to the maximum
count in any reference. Precisions multiply, so one order without a match makes the score 0: rare
for a corpus, common for a sentence. Hence smoothing, and `sentence`, which omits orders longer than
the answer.

chrF is the F-score of character n-grams (orders 1 to 6); chrF++ adds word unigrams and bigrams:

    F = (1 + β²) · P · R / (β² · P + R)        P, R: means over the orders that both texts have

White space is ignored, so it needs no tokeniser and tolerates inflection; it suits languages where
BLEU's words are too coarse. β = 2 weighs recall twice.

A model that always answers the same can score well by chance: compare the diversity of two models
only on sets of equal number and similar length, on which both of its metrics depend.
Source: Papineni et al. 2002, doi:10.3115/1073083.1073135; Chen and Cherry 2014 (smoothing);
Popović 2015, doi:10.18653/v1/W15-3049; 2017, doi:10.18653/v1/W17-4770; Li et al. 2016,
arXiv:1510.03055; Zhu et al. 2018, arXiv:1802.01886. BLEU and chrF are equal to sacrebleu, see
docs/benchmarks/agreement.md.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from math import exp, log
from typing import Literal

from pydantic import Field

from groundup.core import Config, Reason

from .units import (
    PUNCTUATION,
    TOKENISERS,
    TokeniserName,
    missing_reference,
    ngrams,
    tokenise_lowercase,
)

Smoothing = Literal["none", "floor", "add-k", "exp"]
SMOOTHING_VALUE: dict[Smoothing, float] = {"none": 0.0, "floor": 0.1, "add-k": 1.0, "exp": 0.0}


class Bleu(Config):
    """BLEU with all settings that affect it; scores lie between 0 and 100.

    >>> bleu = Bleu()
    >>> round(bleu.sentence("the cat sat on the mat", ["the cat sat on a mat"]), 2)
    53.73
    >>> bleu.counts("the cat", ["the dog"])
    (2, 2, 1, 0, 0, 0, 2, 1, 0, 0)
    """

    tokeniser: TokeniserName = "13a"
    """How texts are tokenised."""
    lowercase: bool = False
    """Whether case is ignored."""
    smoothing: Smoothing = "exp"
    """Treatment of orders without a match: `exp` halves with each such order, `floor` assumes a
    small number of matches, `add-k` adds to all orders above one, `none` makes BLEU 0."""
    smoothing_value: float | None = Field(default=None, gt=0, le=1e6)
    """Amount for `floor` (default 0.1) or `add-k` (default 1)."""
    order: int = Field(default=4, ge=1, le=16)
    """Maximum n-gram order."""
    effective_order: bool = False
    """Omit orders longer than the answer; `sentence` always does."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
        value = "" if self.smoothing in ("none", "exp") else f"[{self.smoothing_amount:g}]"
        return (
            f"bleu|tokeniser:{self.tokeniser}|case:{'lower' if self.lowercase else 'mixed'}"
            f"|smoothing:{self.smoothing}{value}|order:{self.order}"
            f"|effective_order:{'yes' if self.effective_order else 'no'}"
            "|references:all|scale:100|version:1"
        )

    @property
    def smoothing_amount(self) -> float:
        """The smoothing amount."""
        usual = SMOOTHING_VALUE[self.smoothing]
        return usual if self.smoothing_value is None else self.smoothing_value

    def tokens(self, text: str) -> list[str]:
        """The text's tokens."""
        return TOKENISERS[self.tokeniser]((text.lower() if self.lowercase else text).rstrip())

    def counts(self, candidate: str, references: Sequence[str]) -> tuple[int, ...] | Reason:
        """(tokens, reference tokens, matches of order 1 … N, n-grams of order 1 … N).

        The reference length is the one closest to the answer's, the shorter of two.
        """
        if missing := missing_reference("BLEU", references):
            return missing
        tokens, expected = self.tokens(candidate), [self.tokens(text) for text in references]
        nearest = min(map(len, expected), key=lambda length: (abs(length - len(tokens)), length))
        orders = range(1, self.order + 1)
        matches = [_clipped_matches(tokens, expected, n) for n in orders]
        return (len(tokens), nearest, *matches, *(max(0, len(tokens) - n + 1) for n in orders))

    def from_counts(self, counts: Sequence[float]) -> float | Reason:
        """BLEU of counts or of their sums; Reason `empty_reference` if the reference is empty."""
        length, reference = counts[:2]
        matches, totals = list(counts[2 : 2 + self.order]), list(counts[2 + self.order :])
        if not reference and not any(matches):
            return Reason("empty_reference", "The nearest reference has no token to match.")
        if not any(matches):
            return 0.0
        logs = self.log_precisions(matches, totals)
        if len(logs) < self.order and not self.effective_order or None in logs:
            return 0.0
        brevity = 1.0 if length >= reference else exp(1 - reference / length)
        return brevity * exp(sum(value for value in logs if value is not None) / len(logs))

    def log_precisions(
        self, matches: Sequence[float], totals: Sequence[float]
    ) -> list[float | None]:
        """log(100 · precision) of each order that the answer has; None stands for log 0."""
        logs: list[float | None] = []
        halved = 1
        for n, (hit, total) in enumerate(zip(matches, totals, strict=True)):
            if self.smoothing == "add-k" and n > 0:
                hit, total = hit + self.smoothing_amount, total + self.smoothing_amount
            if not total:
                break
            if hit:
                logs.append(log(100 * hit / total))
            elif self.smoothing == "exp":
                halved *= 2
                logs.append(log(100 / (halved * total)))
            else:
                floored = self.smoothing == "floor"
                logs.append(log(100 * self.smoothing_amount / total) if floored else None)
        return logs

    def sentence(self, candidate: str, references: Sequence[str]) -> float | Reason:
        """BLEU of one answer, with effective order.

        >>> Bleu().sentence("yes", ["yes"]), Bleu().sentence("", ["yes"])
        (100.00000000000004, 0.0)
        """
        counts, bleu = self.counts(candidate, references), self.with_effective_order()
        return counts if isinstance(counts, Reason) else bleu.from_counts(counts)

    def with_effective_order(self) -> "Bleu":
        """A copy with effective order."""
        return self if self.effective_order else self.model_copy(update={"effective_order": True})


def _clipped_matches(tokens: list[str], references: Sequence[list[str]], n: int) -> int:
    """Clipped n-gram matches: each counts at most as often as in one reference."""
    counts, limits = Counter(ngrams(tokens, n)), Counter(ngrams(references[0], n))
    for others in references[1:]:
        limits |= Counter(ngrams(others, n))
    return sum(min(count, limits[gram]) for gram, count in counts.items() if gram in limits)


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


def distinct_ngrams(texts: Sequence[str], n: int = 2) -> float | Reason:
    """distinct-n: number of distinct n-grams of lower-case words over all n-grams, 0 to 1.

    >>> distinct_ngrams(["a b c", "a b d"])
    0.75
    """
    runs = [run for text in texts for run in ngrams(tokenise_lowercase(text), n)]
    if not runs:
        return Reason("short_candidate", f"No text has {n} words, so there is no run to count.")
    return len(set(runs)) / len(runs)


def self_bleu(texts: Sequence[str], how: Bleu | None = None) -> float | Reason:
    """Mean sentence BLEU of each text with all others as references.

    Each n-gram's highest and second highest count over the texts suffice to leave one text out, so
    the time is linear in the number of texts.

    >>> round(self_bleu(["the cat sat on it", "the cat sat on it", "a dog ran off now"]), 1)
    66.7
    """
    if len(texts) < 2:
        return Reason("too_few_candidates", f"Self-BLEU needs at least 2 texts; got {len(texts)}.")
    bleu = (how or Bleu()).with_effective_order()
    tokens = [bleu.tokens(text) for text in texts]
    orders = range(1, bleu.order + 1)
    bags = [[Counter(ngrams(words, n)) for n in orders] for words in tokens]
    first, second = _highest_counts([gram for bag in bags for gram in bag])
    lengths = sorted(map(len, tokens))
    total = 0.0
    for words, bag in zip(tokens, bags, strict=True):
        matches = [_clipped_by_others(gram, first, second) for gram in bag]
        totals = [gram.total() for gram in bag]
        nearest = _closest_other_length(lengths, len(words))
        score = bleu.from_counts((len(words), nearest, *matches, *totals))
        if isinstance(score, Reason):
            return score
        total += score
    return total / len(texts)


def _highest_counts(bags: Sequence[Counter]) -> tuple[Counter, Counter]:
    """For every n-gram the highest count in one text, and the highest in any other text."""
    first, second = Counter(), Counter()
    for bag in bags:
        for gram, count in bag.items():
            if count > first[gram]:
                first[gram], second[gram] = count, first[gram]
            elif count > second[gram]:
                second[gram] = count
    return first, second


def _clipped_by_others(bag: Counter, first: Counter, second: Counter) -> int:
    # If this text has the highest count itself, the others have at most the second.
    return sum(
        min(count, second[gram] if count == first[gram] else first[gram])
        for gram, count in bag.items()
    )


def _closest_other_length(lengths: Sequence[int], length: int) -> int:
    """Length of the other text closest in length, the shorter of two; `lengths` are sorted."""
    index = bisect_left(lengths, length)
    others = [*lengths[max(0, index - 1) : index], *lengths[index + 1 : index + 2]]
    return min(others, key=lambda other: (abs(other - length), other))
