"""Evaluation of vectors: human ratings of word pairs, and analogies with one correct answer.

    pairs       "love<TAB>sex<TAB>6.77"             WordSim-353, SimLex-999: Spearman's ρ
    analogies   ": family", "boy girl brother sister"       Google's: accuracy by section

Case is ignored. Pairs and questions with a word without a vector are skipped and counted, as in
gensim. The user provides the files; gensim's wheel has all three.
Source: Finkelstein et al. 2002; Hill et al. 2015, arXiv:1408.3456; Mikolov et al. 2013,
arXiv:1301.3781.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import DataError, Reason, require_regular_file
from groundup.measure import Interval, agreement

from .vectors import AnalogyMethod, Vectors

MAX_ANSWER_WORDS = 300_000
"""Answers are searched among this many most frequent words, as in gensim."""
NUM_CANDIDATES = 5
"""Number of candidates; the first that is not in the question, ignoring case, is the answer."""


class RatedPair(NamedTuple):
    """A pair of words with its human rating."""

    a: str
    b: str
    rating: float


class Correlation(NamedTuple):
    """Rank correlation of cosines and human ratings."""

    spearman: Interval | Reason
    asked: int
    unknown: int
    """Pairs skipped because a word has no vector."""

    def __str__(self) -> str:
        """The correlation and the number of pairs."""
        value = self.spearman if isinstance(self.spearman, Interval) else self.spearman.message
        known = self.asked - self.unknown
        return f"Spearman {value}, {known} of {self.asked} pairs ({self.unknown} lack a vector)"


class AnalogySection(NamedTuple):
    """The result on one section of analogies."""

    name: str
    right: int
    asked: int
    unknown: int
    """Questions skipped because a word has no vector; not included in `num_questions`."""


class Analogies(NamedTuple):
    """Results on analogies by section."""

    sections: tuple[AnalogySection, ...]

    @property
    def right(self) -> int:
        """Questions answered correctly."""
        return sum(section.right for section in self.sections)

    @property
    def num_questions(self) -> int:
        """Questions whose words all have vectors."""
        return sum(section.asked for section in self.sections)

    @property
    def accuracy(self) -> float | Reason:
        """Share of `num_questions` that was answered correctly."""
        if not self.num_questions:
            return Reason("none_known", "No question's four words all have vectors.")
        return self.right / self.num_questions

    def __str__(self) -> str:
        """One line per section, and the total."""
        unknown = sum(section.unknown for section in self.sections)
        rows = [*self.sections, AnalogySection("all", self.right, self.num_questions, unknown)]
        width = max(len(row.name) for row in rows)
        return "\n".join(
            f"{row.name:<{width}}  {row.right:>6,} of {row.asked:>6,} right"
            + (f"  {row.right / row.asked:6.1%}" if row.asked else " " * 8)
            + f"  {row.unknown:>6,} unknown"
            for row in rows
        )


def table_rows(path: Path, columns: int, mark: str | None = None) -> Iterator[list[str]]:
    """Yield the rows of a table without comments; lines that begin with a colon may be shorter.

    Raises DataError naming an unreadable file, or the line with a wrong number of columns.
    """
    try:
        with open(require_regular_file(path), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.startswith("#") or not line.strip():
                    continue
                row = line.rstrip("\n").split(mark, columns - 1)
                if len(row) != columns and not line.startswith(":"):
                    what = f"{path}, line {number}: expected {columns} columns"
                    raise DataError(f"{what}; got {row}.")
                yield row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def read_ratings(path: Path) -> list[RatedPair]:
    """Read rated pairs from tab-separated columns; DataError naming an invalid rating."""
    pairs = []
    for a, b, rating in table_rows(path, 3, "\t"):
        try:
            pairs.append(RatedPair(a, b, float(rating)))
        except ValueError:
            raise DataError(f"{path}: expected a rating; got {rating!r}.") from None
    return pairs


def read_analogies(path: Path) -> dict[str, list[list[str]]]:
    """Read analogies a b c d by section; DataError naming an invalid line."""
    sections: dict[str, list[list[str]]] = {}
    name = ""
    for row in table_rows(path, 4):
        if row[0] == ":":
            name = " ".join(row[1:])
        else:
            sections.setdefault(name, []).append(row)
    return sections


def rating_correlation(vectors: Vectors, pairs: Sequence[RatedPair]) -> Correlation:
    """Spearman's correlation of cosines and ratings, with a bootstrap interval.

    >>> points = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    >>> rated = [RatedPair("cat", *pair) for pair in [("kitten", 9.0), ("tax", 1.0), ("yak", 5.0)]]
    >>> rating_correlation(Vectors(["cat", "kitten", "tax"], points), rated).unknown
    1
    """
    rows = [[vectors.casefolded.get(word.casefold()) for word in (a, b)] for a, b, _ in pairs]
    known = [(*row, p.rating) for row, p in zip(rows, pairs, strict=True) if None not in row]
    unknown = len(pairs) - len(known)
    if len(known) < 2:
        reason = Reason("too_few_items", f"{len(known)} of {len(pairs)} pairs have vectors.")
        return Correlation(reason, len(pairs), unknown)
    left, right, ratings = zip(*known, strict=True)
    cosines = np.einsum(
        "nd,nd->n", vectors.unit_vectors[list(left)], vectors.unit_vectors[list(right)]
    )
    spearman = agreement.spearman(cosines.astype(np.float64), np.array(ratings))
    return Correlation(spearman, len(pairs), unknown)


def answer_analogies(
    vectors: Vectors, sections: dict[str, list[list[str]]], method: AnalogyMethod = "add"
) -> Analogies:
    """Answer every analogy whose words have vectors, and count correct answers by section."""
    limit = min(MAX_ANSWER_WORDS, len(vectors))
    words = [word.casefold() for word in vectors.words[:limit]]
    folded = {word: row for word, row in vectors.casefolded.items() if row < limit}
    results = []
    for name, questions in sections.items():
        lowered = [[word.casefold() for word in row] for row in questions]
        known = [row for row in lowered if all(word in folded for word in row)]
        right = 0
        if known:
            asked = np.array([[folded[word] for word in row[:3]] for row in known])
            best = vectors.analogies(asked, method=method, count=NUM_CANDIDATES, limit=limit)
            for row, ids in zip(known, best.ids.tolist(), strict=True):
                answer = next((words[id] for id in ids if words[id] not in row[:3]), "")
                right += answer == row[3]
        results.append(AnalogySection(name, right, len(known), len(questions) - len(known)))
    return Analogies(tuple(results))


TestKind = Literal["ratings", "analogies"]


def detect_test_kind(path: Path) -> TestKind:
    """Detect from its first row whether a file holds analogies or rated pairs."""
    try:
        first = next(table_rows(path, 2))
    except StopIteration:
        raise DataError(f"{path} is empty; expected rated pairs or analogies.") from None
    return "analogies" if first[0] == ":" else "ratings"
