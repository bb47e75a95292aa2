"""Do vectors agree with people? Rated pairs of words, and analogies with one right answer.

    pairs       "love<TAB>sex<TAB>6.77"             WordSim-353, SimLex-999: Spearman's ρ
    analogies   ": family", "boy girl brother sister"       Google's: share right, by section

Words are compared without their case. Pairs and questions with a word that has no vector are left
out and counted, as in gensim. The files are the user's; gensim's wheel carries all three.
Source: Finkelstein et al. 2002; Hill et al. 2015, arXiv:1408.3456; Mikolov et al. 2013,
arXiv:1301.3781.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import DataError, Reason, regular
from groundup.measure import Interval, agreement

from .vectors import AnalogyMethod, Vectors

MOST_FREQUENT = 300_000
"""Answers are looked for among so many words, as gensim does."""
LOOKED_AT = 5
"""Best words among which the first is taken that is no word of the question in another case."""


class Rated(NamedTuple):
    """Two words and how alike people found them."""

    a: str
    b: str
    rating: float


class Correlation(NamedTuple):
    """How the vectors' cosines agree with people's ratings."""

    spearman: Interval | Reason
    asked: int
    unknown: int
    """Pairs left out because a word has no vector."""

    def __str__(self) -> str:
        """The correlation, and over how many of the pairs."""
        told = self.spearman if isinstance(self.spearman, Interval) else self.spearman.message
        known = self.asked - self.unknown
        return f"Spearman {told}, {known} of {self.asked} pairs ({self.unknown} lack a vector)"


class Section(NamedTuple):
    """Analogies of one kind."""

    name: str
    right: int
    asked: int
    unknown: int
    """Questions left out because a word has no vector; not among those asked."""


class Analogies(NamedTuple):
    """Analogies by section."""

    sections: tuple[Section, ...]

    @property
    def right(self) -> int:
        """Questions answered rightly."""
        return sum(section.right for section in self.sections)

    @property
    def asked(self) -> int:
        """Questions whose words all have vectors."""
        return sum(section.asked for section in self.sections)

    @property
    def accuracy(self) -> float | Reason:
        """Share of those asked that were right."""
        if not self.asked:
            return Reason("none_known", "No question's four words all have vectors.")
        return self.right / self.asked

    def __str__(self) -> str:
        """A line a section, and their sum."""
        unknown = sum(section.unknown for section in self.sections)
        rows = [*self.sections, Section("all", self.right, self.asked, unknown)]
        width = max(len(row.name) for row in rows)
        return "\n".join(
            f"{row.name:<{width}}  {row.right:>6,} of {row.asked:>6,} right"
            + (f"  {row.right / row.asked:6.1%}" if row.asked else " " * 8)
            + f"  {row.unknown:>6,} unknown"
            for row in rows
        )


def table_rows(path: Path, columns: int, mark: str | None = None) -> Iterator[list[str]]:
    """Rows of a table without comments; lines that begin with a colon as they are, in two parts.

    Raises DataError naming a file that cannot be read, or the line that is no row.
    """
    try:
        with open(regular(path), encoding="utf-8", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.startswith("#") or not line.strip():
                    continue
                row = line.rstrip("\n").split(mark, columns - 1)
                if len(row) != columns and not line.startswith(":"):
                    told = f"{path}, line {number}: expected {columns} columns; got {row}."
                    raise DataError(told)
                yield row
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from None


def read_ratings(path: Path) -> list[Rated]:
    """Rated pairs, of columns parted by tabs; DataError naming a rating that is no number."""
    found = []
    for a, b, rating in table_rows(path, 3, "\t"):
        try:
            found.append(Rated(a, b, float(rating)))
        except ValueError:
            raise DataError(f"{path}: expected a rating; got {rating!r}.") from None
    return found


def read_analogies(path: Path) -> dict[str, list[list[str]]]:
    """Analogies a b c d by section; DataError naming the line that is none."""
    sections: dict[str, list[list[str]]] = {}
    name = ""
    for row in table_rows(path, 4):
        if row[0] == ":":
            name = " ".join(row[1:])
        else:
            sections.setdefault(name, []).append(row)
    return sections


def correlation(vectors: Vectors, pairs: Sequence[Rated]) -> Correlation:
    """Spearman's correlation of cosines and ratings, with its bootstrap interval.

    >>> points = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    >>> rated = [Rated("cat", "kitten", 9.0), Rated("cat", "tax", 1.0), Rated("cat", "yak", 5.0)]
    >>> correlation(Vectors(["cat", "kitten", "tax"], points), rated).unknown
    1
    """
    known = [
        (vectors.folded[one.a.casefold()], vectors.folded[one.b.casefold()], one.rating)
        for one in pairs
        if one.a.casefold() in vectors.folded and one.b.casefold() in vectors.folded
    ]
    unknown = len(pairs) - len(known)
    if len(known) < 2:
        reason = Reason("too_few_items", f"{len(known)} of {len(pairs)} pairs have vectors.")
        return Correlation(reason, len(pairs), unknown)
    left, right, ratings = zip(*known, strict=True)
    cosines = np.einsum("nd,nd->n", vectors.units[list(left)], vectors.units[list(right)])
    found = agreement.spearman(cosines.astype(np.float64), np.array(ratings))
    return Correlation(found, len(pairs), unknown)


def answer_analogies(
    vectors: Vectors, sections: dict[str, list[list[str]]], method: AnalogyMethod = "add"
) -> Analogies:
    """Answer every analogy whose words have vectors, and count the right ones by section."""
    limit = min(MOST_FREQUENT, len(vectors))
    words = [word.casefold() for word in vectors.words[:limit]]
    folded = {word: place for word, place in vectors.folded.items() if place < limit}
    found = []
    for name, questions in sections.items():
        spelt = [[word.casefold() for word in row] for row in questions]
        known = [row for row in spelt if all(word in folded for word in row)]
        right = 0
        if known:
            asked = np.array([[folded[word] for word in row[:3]] for row in known])
            best = vectors.analogies(asked, method=method, count=LOOKED_AT, limit=limit)
            for row, ids in zip(known, best.ids.tolist(), strict=True):
                answer = next((words[id] for id in ids if words[id] not in row[:3]), "")
                right += answer == row[3]
        found.append(Section(name, right, len(known), len(questions) - len(known)))
    return Analogies(tuple(found))


TestKind = Literal["ratings", "analogies"]


def kind_of(path: Path) -> TestKind:
    """Whether a file holds analogies or rated pairs, from its first row."""
    try:
        first = next(table_rows(path, 2))
    except StopIteration:
        raise DataError(f"{path} is empty; expected rated pairs or analogies.") from None
    return "analogies" if first[0] == ":" else "ratings"
