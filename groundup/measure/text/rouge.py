"""ROUGE: overlap of an answer with a reference, by n-grams or longest common subsequence.

    ROUGE-1, -2 …   shared n-grams
    ROUGE-L         longest common subsequence of the complete texts
    ROUGE-Lsum      per sentence: words of each reference sentence that lie on a longest common
                    subsequence with any sentence of the answer

L and Lsum are different metrics, confused in many published tables; Lsum depends on sentence
splitting. The usual tokeniser keeps only a-z and 0-9, so text in other scripts silently scores 0 in
other tools: here that is a Reason, and `tokeniser="words"` scores it.
Source: Lin 2004, W04-1013. Equal to rouge-score, see docs/benchmarks/agreement.md.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from groundup.core import CapacityError, Config, Reason

from .edit import CheckpointedColumns, position_masks, subsequence_length, subsequence_rows
from .overlap import TokenOverlap, precision_recall_f1
from .stem import porter_stem
from .tokenisers import TOKENISERS
from .units import missing_reference, ngrams, rule_sentences

RougeKind = Literal["1", "2", "3", "4", "5", "6", "7", "8", "9", "L", "Lsum"]


class Rouge(Config):
    """One ROUGE metric with all settings that affect it.

    >>> Rouge(kind="1").sentence("the cat sat", ["the cat sat down"])
    TokenOverlap(precision=1.0, recall=0.75, f1=0.8571428571428571)
    >>> Rouge(kind="2").sentence("yes", ["yes"]).code
    'short_reference'
    """

    kind: RougeKind = "L"
    """n-gram order, L or Lsum."""
    stemmer: bool = False
    """Whether words of more than three letters are reduced to their Porter stem; English only."""
    tokeniser: Literal["ascii", "words"] = "ascii"
    """`ascii`: runs of a-z and 0-9, as published; `words`: of any script."""
    sentences: Literal["lines", "rules"] = "lines"
    """Sentence splitting for Lsum: at line breaks, as published, or by the rules of units.py."""

    @property
    def signature(self) -> str:
        """All settings that affect the score."""
        split = f"|sentences:{self.sentences}" if self.kind == "Lsum" else ""
        return (
            f"rouge{self.kind}|tokeniser:{self.tokeniser}"
            f"|stemmer:{'porter' if self.stemmer else 'no'}{split}|references:best|version:1"
        )

    def tokens(self, text: str) -> list[str]:
        """The text's tokens, stemmed if `stemmer` is set."""
        words = TOKENISERS[self.tokeniser](text)
        return (
            [porter_stem(word) if len(word) > 3 else word for word in words]
            if self.stemmer
            else words
        )

    def tokenised_parts(self, text: str) -> list[list[str]]:
        """Tokens per sentence for Lsum, else one list for the complete text."""
        if self.kind != "Lsum":
            return [self.tokens(text)]
        split = text.split("\n") if self.sentences == "lines" else rule_sentences(text)
        return [self.tokens(sentence) for sentence in split]

    def sentence(self, candidate: str, references: Sequence[str]) -> TokenOverlap | Reason:
        """Precision, recall and F1 against the reference with the highest F1, the first of equals.

        Reason `no_reference`; `empty_reference` if none has a token; `short_reference` if
        none has an n-gram; `too_long` for Lsum of huge sentences.
        """
        if missing := missing_reference("ROUGE", references):
            return missing
        answer, expected = (
            self.tokenised_parts(candidate),
            [self.tokenised_parts(text) for text in references],
        )
        longest = max(sum(map(len, parts)) for parts in expected)
        if not longest:
            problem = f"The tokeniser {self.tokeniser} finds no token in the reference"
            advice = "; text in other scripts needs the tokeniser `words`."
            ending = advice if self.tokeniser == "ascii" else "."
            return Reason("empty_reference", problem + ending)
        if self.kind.isdigit() and longest < int(self.kind):
            return Reason(
                "short_reference",
                f"The reference has {longest} tokens; ROUGE-{self.kind} compares runs of "
                f"{self.kind}.",
            )
        try:
            scores = [self.compare(answer, parts) for parts in expected]
        except CapacityError as error:
            return Reason("too_long", str(error))
        return max(scores, key=lambda overlap: overlap.f1)

    def compare(self, answer: list[list[str]], reference: list[list[str]]) -> TokenOverlap:
        """Precision, recall and F1 of one answer and one reference, both as returned by
        `tokenised_parts`."""
        if self.kind.isdigit():
            return _ngram_overlap(answer[0], reference[0], int(self.kind))
        length, expected = sum(map(len, answer)), sum(map(len, reference))
        if self.kind == "Lsum":
            return precision_recall_f1(_union_lcs_length(answer, reference), length, expected)
        return precision_recall_f1(subsequence_length(answer[0], reference[0]), length, expected)


def _ngram_overlap(answer: list[str], reference: list[str], n: int) -> TokenOverlap:
    """Overlap of n-grams, each counted as often as it occurs in both."""
    left, right = Counter(ngrams(answer, n)), Counter(ngrams(reference, n))
    shared = sum([min(count, left[gram]) for gram, count in right.items() if gram in left])
    return precision_recall_f1(shared, left.total(), right.total())


def _union_lcs_length(answer: list[list[str]], reference: list[list[str]]) -> int:
    """Number of reference words on a common subsequence with any of the answer's sentences.

    No word counts more often than either text has it.
    """
    left = Counter(word for sentence in answer for word in sentence)
    right = Counter(word for sentence in reference for word in sentence)
    hits = 0
    for sentence in reference:
        for index in sorted(set().union(*(_subsequence_indices(sentence, s) for s in answer))):
            word = sentence[index]
            if left[word] > 0 and right[word] > 0:
                hits += 1
                left[word] -= 1
                right[word] -= 1
    return hits


def _subsequence_indices(a: list[str], b: list[str]) -> Iterable[int]:
    """Indices in `a` of one longest common subsequence with `b`, last one first.

    Ties: from the end, equal words are always matched; otherwise `a` is skipped unless skipping in
    `b` loses less. Raises CapacityError if the table would be too large, see edit.Table.
    """
    where, edge = position_masks(a), (1 << len(a)) - 1
    rows: CheckpointedColumns[int] = CheckpointedColumns(
        len(a), b, lambda units, after: subsequence_rows(a, units, where, after)
    )
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            yield i
        elif _count_zeros(rows[j - 2] if j > 1 else edge, i) > _count_zeros(rows[j - 1], i - 1):
            j -= 1
        else:
            i -= 1


def _count_zeros(row: int, below: int) -> int:
    """Number of zeros among the lowest bits of a row."""
    return below - (row & ((1 << below) - 1)).bit_count()
