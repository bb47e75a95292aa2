"""Overlap of two texts: exact match, token F1, ROUGE, and how much a summary copies.

    ROUGE-1, -2 …   shared n-grams
    ROUGE-L         longest common subsequence of the complete texts
    ROUGE-Lsum      per sentence: words of each reference sentence that lie on a longest common
                    subsequence with any sentence of the answer
    coverage        share of a summary's words that are in a fragment copied from the source
    density         mean length of the fragment that a word of the summary belongs to
    compression     words of the source per word of the summary
    novel_ngrams    share of the summary's n-grams that do not occur in the source

L and Lsum are different metrics, confused in many published tables; Lsum depends on sentence
splitting. The usual tokeniser keeps only a-z and 0-9, so text in other scripts silently scores 0 in
other tools: here that is a Reason, and `tokeniser="words"` scores it. Copying measures neither
quality nor truth: copied sentences give coverage 1 and novelty 0, inventing gives the opposite.
Source: Lin 2004, W04-1013 (ROUGE, equal to rouge-score, see docs/benchmarks/agreement.md); Grusky
et al. 2018, arXiv:1804.11283, §4; See et al. 2017, arXiv:1704.04368 (novelty).
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

from groundup.core import CapacityError, Config, Reason

from .edit import (
    CheckpointedColumns,
    position_masks,
    prefix_length,
    subsequence_length,
    subsequence_rows,
)
from .stem import porter_stem
from .units import (
    TOKENISERS,
    Normalisation,
    extract_words,
    get_normaliser,
    missing_reference,
    ngrams,
    rule_sentences,
    tokenise_lowercase,
)


class TokenOverlap(NamedTuple):
    """Precision, recall and F1 of shared tokens."""

    precision: float
    """Share of the answer's tokens that the reference has."""
    recall: float
    """Share of the reference's tokens that the answer has."""
    f1: float
    """Harmonic mean of both."""


def precision_recall_f1(shared: float, answer: float, reference: float) -> TokenOverlap:
    """Precision, recall and F1 from numbers of shared, answer and reference tokens.

    >>> precision_recall_f1(2, 4, 2).f1
    0.6666666666666666
    """
    precision, recall = shared / max(answer, 1), shared / max(reference, 1)
    both = precision + recall
    return TokenOverlap(precision, recall, 2 * precision * recall / both if both else 0.0)


def token_f1_score(a: str, b: str, normalisation: Normalisation = "none") -> float:
    """F1 of the tokens that two texts share, each counted as often as it occurs in both; 0 to 1.

    1 if both have no tokens, 0 if only one has none.
    Source: Rajpurkar et al. 2016, arXiv:1606.05250. Departs: only `squad` removes articles.

    >>> token_f1_score("the cat sat", "the cat")
    0.8
    >>> round(token_f1_score("The cat, sat.", "a cat", "squad"), 3)
    0.667
    """
    tokenise = str.split if normalisation == "squad" else extract_words
    left, right = (tokenise(get_normaliser(normalisation)(text)) for text in (a, b))
    if not left or not right:
        return float(left == right)
    shared = (Counter(left) & Counter(right)).total()
    return 2 * shared / (len(left) + len(right))


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
        if self.stemmer:
            words = [porter_stem(word) if len(word) > 3 else word for word in words]
        return words

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
        answer = self.tokenised_parts(candidate)
        expected = [self.tokenised_parts(text) for text in references]
        longest = max(sum(map(len, parts)) for parts in expected)
        if not longest:
            problem = f"The tokeniser {self.tokeniser} finds no token in the reference"
            advice = "; text in other scripts needs the tokeniser `words`."
            ending = advice if self.tokeniser == "ascii" else "."
            return Reason("empty_reference", problem + ending)
        if self.kind.isdigit() and longest < int(self.kind):
            runs = f"ROUGE-{self.kind} compares runs of {self.kind}"
            return Reason("short_reference", f"The reference has {longest} tokens; {runs}.")
        try:
            scores = [self.compare(answer, parts) for parts in expected]
        except CapacityError as error:
            return Reason("too_long", str(error))
        return max(scores, key=lambda overlap: overlap.f1)

    def compare(self, answer: list[list[str]], reference: list[list[str]]) -> TokenOverlap:
        """Precision, recall and F1 of one answer and one reference, both as returned by
        `tokenised_parts`."""
        if self.kind.isdigit():
            left, right = (Counter(ngrams(p[0], int(self.kind))) for p in (answer, reference))
            shared = sum([min(n, left[gram]) for gram, n in right.items() if gram in left])
            return precision_recall_f1(shared, left.total(), right.total())
        length, expected = sum(map(len, answer)), sum(map(len, reference))
        if self.kind == "Lsum":
            return precision_recall_f1(_union_lcs_length(answer, reference), length, expected)
        return precision_recall_f1(subsequence_length(answer[0], reference[0]), length, expected)


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
    return below - (row & ((1 << below) - 1)).bit_count()


class CopiedFragment(NamedTuple):
    """A fragment of a summary that was copied from its source."""

    start: int
    """Word index in the summary."""
    source: int
    """Word index in the source."""
    length: int


class Extractiveness(NamedTuple):
    """Extractiveness of a summary, in lower-case words."""

    coverage: float
    density: float
    compression: float


def copied_fragments(summary: Sequence[str], source: Sequence[str]) -> list[CopiedFragment]:
    """Split a summary greedily, from the left, into the longest fragments found in its source.

    Of equally long occurrences the first is used; words missing in the source are in no fragment.

    >>> copied_fragments("a new b c d".split(), "b c a b c d".split())
    [CopiedFragment(start=0, source=2, length=1), CopiedFragment(start=2, source=3, length=3)]
    """
    positions: dict[str, list[int]] = defaultdict(list)
    for index, word in enumerate(source):
        positions[word].append(index)
    copied, start = [], 0
    while start < len(summary):
        best = CopiedFragment(start, 0, 0)
        for index in positions.get(summary[start], ()):
            # Compare word by word only if the fragment is longer than the best.
            last = index + best.length
            longer = summary[start : start + best.length + 1]
            if last < len(source) and longer == source[index : last + 1]:
                shared = prefix_length(summary[start:], source[index:])
                best = CopiedFragment(start, index, shared)
        if best.length:
            copied.append(best)
        start += max(1, best.length)
    return copied


def measure_extractiveness(summary: str, source: str) -> Extractiveness | Reason:
    """Coverage, density and compression of a summary's words in lower case.

    >>> measure_extractiveness("The cat sat. It was new.", "On the mat the cat sat.")
    Extractiveness(coverage=0.5, density=1.5, compression=1.0)
    """
    words, original = tokenise_lowercase(summary), tokenise_lowercase(source)
    if not words:
        return Reason("empty_candidate", "The summary has no word; nothing can be said of it.")
    if not original:
        return Reason("empty_source", "The source has no word that a summary could copy.")
    lengths = [fragment.length for fragment in copied_fragments(words, original)]
    return Extractiveness(
        coverage=sum(lengths) / len(words),
        density=sum(length**2 for length in lengths) / len(words),
        compression=len(original) / len(words),
    )


def novel_ngrams(summary: str, source: str, n: int = 2) -> float | Reason:
    """Share of a summary's distinct n-grams that its source lacks, 0 to 1.

    >>> novel_ngrams("the cat slept", "the cat sat")
    0.5
    """
    grams = set(ngrams(tokenise_lowercase(summary), n))
    if not grams:
        return Reason("short_candidate", f"The summary has fewer than {n} words.")
    return len(grams - set(ngrams(tokenise_lowercase(source), n))) / len(grams)
