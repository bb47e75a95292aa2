"""ROUGE: how much of a reference an answer recalls, in runs of words or in their order.

    ROUGE-1, -2 …   shared runs of n words
    ROUGE-L         longest common subsequence of the whole texts
    ROUGE-Lsum      sentence by sentence: each reference sentence's words that lie on a longest
                    common subsequence with any sentence of the answer

L and Lsum are different measures, confused in many published tables; Lsum depends on what ends a
sentence. The usual tokeniser keeps a-z and 0-9 only, so that text in other scripts silently scores
0 elsewhere: here that is a Reason, and `tokeniser="words"` scores it.
Source: Lin 2004, W04-1013. Equal to rouge-score, see docs/agreement.md.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Literal

from groundup.core import CapacityError, Config, Reason

from .edit import Table, places, subsequence_length, subsequence_rows
from .overlap import Overlap, overlap
from .stem import stem
from .tokenisers import TOKENISERS
from .units import ngrams, no_reference, sentences

Kind = Literal["1", "2", "3", "4", "5", "6", "7", "8", "9", "L", "Lsum"]


class Rouge(Config):
    """One ROUGE measure with everything that moves it.

    >>> Rouge(kind="1").sentence("the cat sat", ["the cat sat down"])
    Overlap(precision=1.0, recall=0.75, f1=0.8571428571428571)
    >>> Rouge(kind="2").sentence("yes", ["yes"]).code
    'short_reference'
    """

    kind: Kind = "L"
    """Length of runs, L or Lsum."""
    stemmer: bool = False
    """Whether words of more than three letters are cut to their Porter stem; English only."""
    tokeniser: Literal["ascii", "words"] = "ascii"
    """`ascii`: runs of a-z and 0-9, as published; `words`: of any script."""
    sentences: Literal["lines", "rules"] = "lines"
    """What ends a sentence of Lsum: a line break, as published, or the rules of units.py."""

    @property
    def signature(self) -> str:
        """Everything that moves the number."""
        split = f"|sentences:{self.sentences}" if self.kind == "Lsum" else ""
        return (
            f"rouge{self.kind}|tokeniser:{self.tokeniser}"
            f"|stemmer:{'porter' if self.stemmer else 'no'}{split}|references:best|version:1"
        )

    def tokens(self, text: str) -> list[str]:
        """The text's tokens, stemmed if asked."""
        found = TOKENISERS[self.tokeniser](text)
        return [stem(word) if len(word) > 3 else word for word in found] if self.stemmer else found

    def parts(self, text: str) -> list[list[str]]:
        """What is compared as one: the sentences' tokens for Lsum, else those of the whole text."""
        if self.kind != "Lsum":
            return [self.tokens(text)]
        split = text.split("\n") if self.sentences == "lines" else sentences(text)
        return [self.tokens(sentence) for sentence in split]

    def sentence(self, candidate: str, references: Sequence[str]) -> Overlap | Reason:
        """Precision, recall and F1 beside the reference with the highest F1, the first of equals.

        Reason `no_reference`; `empty_reference` if none has a token; `short_reference` if none has
        a run of so many words; `too_long` for Lsum of huge sentences.
        """
        if missing := no_reference("ROUGE", references):
            return missing
        answer, known = self.parts(candidate), [self.parts(text) for text in references]
        longest = max(sum(map(len, parts)) for parts in known)
        if not longest:
            told = f"The tokeniser {self.tokeniser} finds no token in the reference"
            advice = "; text in other scripts needs the tokeniser `words`."
            return Reason("empty_reference", told + (advice if self.tokeniser == "ascii" else "."))
        if self.kind.isdigit() and longest < int(self.kind):
            return Reason(
                "short_reference",
                f"The reference has {longest} tokens; ROUGE-{self.kind} compares runs of "
                f"{self.kind}.",
            )
        try:
            found = [self.compare(answer, parts) for parts in known]
        except CapacityError as error:
            return Reason("too_long", str(error))
        return max(found, key=lambda overlap: overlap.f1)

    def compare(self, answer: list[list[str]], reference: list[list[str]]) -> Overlap:
        """Precision, recall and F1 of one answer and one reference, both in parts."""
        if self.kind.isdigit():
            return run_overlap(answer[0], reference[0], int(self.kind))
        found, asked = sum(map(len, answer)), sum(map(len, reference))
        if self.kind == "Lsum":
            return overlap(union_length(answer, reference), found, asked)
        return overlap(subsequence_length(answer[0], reference[0]), found, asked)


def run_overlap(answer: list[str], reference: list[str], n: int) -> Overlap:
    """Overlap of the runs of n tokens, each counted as often as it occurs in both."""
    found, asked = Counter(ngrams(answer, n)), Counter(ngrams(reference, n))
    shared = sum([min(count, found[run]) for run, count in asked.items() if run in found])
    return overlap(shared, found.total(), asked.total())


def union_length(answer: list[list[str]], reference: list[list[str]]) -> int:
    """Words of the reference's sentences that lie on a common subsequence with the answer's.

    No word counts more often than either text has it.
    """
    left = Counter(word for sentence in answer for word in sentence)
    right = Counter(word for sentence in reference for word in sentence)
    hits = 0
    for sentence in reference:
        for place in sorted(set().union(*(subsequence_places(sentence, s) for s in answer))):
            word = sentence[place]
            if left[word] > 0 and right[word] > 0:
                hits += 1
                left[word] -= 1
                right[word] -= 1
    return hits


def subsequence_places(a: list[str], b: list[str]) -> Iterable[int]:
    """Places in `a` of one longest common subsequence with `b`, last one first.

    Of several the one is taken that, read from the end, keeps equal words wherever it can, and
    otherwise goes on in `a` unless going on in `b` loses less.
    Raises CapacityError if the table would be too large, see edit.Table.
    """
    where, edge = places(a), (1 << len(a)) - 1
    rows: Table[int] = Table(
        len(a), b, lambda units, after: subsequence_rows(a, units, where, after)
    )
    i, j = len(a), len(b)
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            yield i
        elif zeros(rows[j - 2] if j > 1 else edge, i) > zeros(rows[j - 1], i - 1):
            j -= 1
        else:
            i -= 1


def zeros(row: int, below: int) -> int:
    """Number of zeros among the lowest bits of a row."""
    return below - (row & ((1 << below) - 1)).bit_count()
