"""BLEU: clipped n-gram precision of the answer with a brevity penalty.

    BLEU = 100 · brevity · exp(mean over n of log precision_n)
    brevity = 1 if the answer is at least as long as the reference, else exp(1 - reference / answer)

precision_n is the share of the answer's n-grams that occur in a reference, clipped to the maximum
count in any reference. Precisions multiply, so one order without a match makes the score 0: rare
for a corpus, common for a sentence. Hence smoothing, and `sentence`, which omits orders longer than
the answer.
Source: Papineni et al. 2002, doi:10.3115/1073083.1073135; Chen and Cherry 2014 (smoothing). Equal
to sacrebleu, see docs/benchmarks/agreement.md.
"""

from collections import Counter
from collections.abc import Sequence
from math import exp, log
from typing import Literal

from pydantic import Field

from groundup.core import Config, Reason

from .tokenisers import TOKENISERS, TokeniserName
from .units import missing_reference, ngrams

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
        counts = self.counts(candidate, references)
        return (
            counts
            if isinstance(counts, Reason)
            else self.with_effective_order().from_counts(counts)
        )

    def with_effective_order(self) -> "Bleu":
        """A copy with effective order."""
        return self if self.effective_order else self.model_copy(update={"effective_order": True})


def _clipped_matches(tokens: list[str], references: Sequence[list[str]], n: int) -> int:
    """Clipped n-gram matches: each counts at most as often as in one reference."""
    counts, limits = Counter(ngrams(tokens, n)), Counter(ngrams(references[0], n))
    for others in references[1:]:
        limits |= Counter(ngrams(others, n))
    return sum(min(count, limits[gram]) for gram, count in counts.items() if gram in limits)
