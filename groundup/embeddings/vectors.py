"""Word vectors and queries on them: similarity, neighbours, analogies.

    similarity       cosine
    a : b = c : ?    3CosAdd   argmax cos(x, b - a + c)                       of unit vectors
                     3CosMul   argmax s(x, b) s(x, c) / (s(x, a) + ε),        s = (1 + cos) / 2

Words of the question are excluded from the answers. ε is gensim's 10⁻⁶; the paper has 10⁻³.
Source: Mikolov et al. 2013, https://aclanthology.org/N13-1090; Levy and Goldberg 2014,
https://aclanthology.org/W14-1618. Knows nothing of how vectors are made or stored.
"""

import difflib
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import ConfigError, DataError

AnalogyMethod = Literal["add", "multiply"]
EPSILON = 1e-6
BLOCK_BYTES = 1 << 28
"""Memory of a block of similarities."""
MAX_EDITS, MAX_COMPARED = 2, 50_000
"""Maximum edits of a suggested spelling, and maximum words compared."""


class Neighbour(NamedTuple):
    """A word and its score: a cosine, or a ratio for 3CosMul."""

    word: str
    score: float


class TopWords(NamedTuple):
    """The best words of each query, best first."""

    ids: np.ndarray
    """(queries, count) int64."""
    scores: np.ndarray
    """(queries, count) float32."""


class Vectors:
    """Words with their vectors, the most frequent first.

    >>> points = np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32)
    >>> vectors = Vectors(["cat", "kitten", "tax"], points)
    >>> [neighbour.word for neighbour in vectors.neighbours("cat", count=2)]
    ['kitten', 'tax']

    Raises DataError if words and vectors differ in number, a word occurs twice or a number is not
    finite.
    """

    def __init__(
        self, words: Sequence[str], matrix: np.ndarray, counts: np.ndarray | None = None
    ) -> None:
        if matrix.ndim != 2 or len(words) != len(matrix):
            raise DataError(f"{len(words)} words need as many vectors; got shape {matrix.shape}.")
        self.words = list(words)
        self.matrix = np.ascontiguousarray(matrix, np.float32)
        self.counts = counts
        """(V,) int64: count of each word; None if unknown."""
        self.ids = {word: row for row, word in enumerate(self.words)}
        if len(self.ids) != len(self.words):
            twice = next(w for row, w in enumerate(self.words) if self.ids[w] != row)
            raise DataError(f"The word {twice!r} has two vectors; expected one each.")
        if not np.isfinite(self.matrix).all():
            row = int(np.flatnonzero(~np.isfinite(self.matrix).all(1))[0])
            raise DataError(f"The vector of {self.words[row]!r} has a number that is not finite.")

    def __len__(self) -> int:
        return len(self.words)

    def __contains__(self, word: str) -> bool:
        return word in self.ids

    def __getitem__(self, word: str) -> np.ndarray:
        """A word's vector (width,); ConfigError for an unknown word."""
        return self.matrix[self.row_of(word)]

    @property
    def width(self) -> int:
        """Dimensions of a vector."""
        return self.matrix.shape[1]

    @cached_property
    def unit_vectors(self) -> np.ndarray:
        """The vectors normalised to length one, (V, width); zero vectors stay zero."""
        lengths = np.linalg.norm(self.matrix, axis=1, keepdims=True)
        return self.matrix / np.maximum(lengths, np.finfo(np.float32).tiny)

    @cached_property
    def casefolded(self) -> dict[str, int]:
        """Case-folded words to the row of the most frequent word of that spelling."""
        return {word.casefold(): row for word, row in reversed(self.ids.items())}

    def row_of(self, word: str) -> int:
        """A word's row; ConfigError with suggested spellings for an unknown word."""
        if word in self.ids:
            return self.ids[word]
        if word.casefold() in self.casefolded:
            what = f"There is no vector of {word!r}; did you mean"
            raise ConfigError(f"{what} {self.words[self.casefolded[word.casefold()]]!r}?")
        near = [self.words[row] for row in self.similar_spellings(word.casefold())]
        hint = f"similar words: {', '.join(near)}." if near else "no word is similar."
        raise ConfigError(f"There is no vector of {word!r} among {len(self):,} words; {hint}")

    def similar_spellings(self, word: str) -> list[int]:
        """Rows of at most three words with a similar spelling, ignoring case.

        Only words whose length and letters allow at most two edits are compared.
        """
        letters = set(word)
        lengths = range(len(word) - MAX_EDITS, len(word) + MAX_EDITS + 1)
        candidates = [
            other for other in self.casefolded
            if len(other) in lengths and len(letters.symmetric_difference(other)) <= 2 * MAX_EDITS
        ]  # fmt: skip
        frequent = sorted(candidates, key=self.casefolded.__getitem__)[:MAX_COMPARED]
        near = difflib.get_close_matches(word, frequent, n=3, cutoff=0.6)
        return [self.casefolded[other] for other in near]

    def similarity(self, a: str, b: str) -> float:
        """Cosine of two words."""
        return float(self.unit_vectors[self.row_of(a)] @ self.unit_vectors[self.row_of(b)])

    def neighbours(self, word: str, count: int = 10) -> list[Neighbour]:
        """The words with the nearest vectors, the word itself excluded."""
        row = self.row_of(word)
        return self.to_neighbours(self.nearest(self.unit_vectors[[row]], np.array([[row]]), count))

    def analogy(
        self, a: str, b: str, c: str, *, method: AnalogyMethod = "add", count: int = 10
    ) -> list[Neighbour]:
        """The words that are to c as b is to a."""
        question = np.array([[self.row_of(a), self.row_of(b), self.row_of(c)]])
        return self.to_neighbours(self.analogies(question, method=method, count=count))

    def rank(self, a: str, b: str, c: str, answer: str, method: AnalogyMethod = "add") -> int:
        """The rank of an answer among all words that are to c as b is to a; 1 is the best."""
        question = np.array([[self.row_of(a), self.row_of(b), self.row_of(c)]])
        best = self.analogies(question, method=method, count=len(self))
        return int(np.flatnonzero(best.ids[0] == self.row_of(answer))[0]) + 1

    def nearest(
        self, queries: np.ndarray, exclude: np.ndarray, count: int, limit: int = 0
    ) -> TopWords:
        """Words with the largest cosine to unit vectors.

        queries  (n, width)
        exclude  (n, k) rows to exclude
        limit    consider only this many of the most frequent words; 0: all
        """
        candidates = self.unit_vectors[: limit or None]
        cosines = (block @ candidates.T for block in self.blocks(queries))
        return _top_columns(cosines, exclude, count)

    def analogies(
        self, questions: np.ndarray, *, method: AnalogyMethod = "add", count: int = 1,
        limit: int = 0,
    ) -> TopWords:  # fmt: skip
        """Answers to many analogies at once.

        questions  (n, 3) rows of a, b, c
        limit      consider only this many of the most frequent words; 0: all
        """
        a, b, c = (self.unit_vectors[column] for column in questions.T)
        if method == "add":
            target = b - a + c
            target /= np.maximum(np.linalg.norm(target, axis=1, keepdims=True), 1e-30)
            return self.nearest(target, questions, count, limit)
        candidates = self.unit_vectors[: limit or None]

        def products() -> Iterator[np.ndarray]:
            for parts in zip(*(self.blocks(part) for part in (a, b, c)), strict=True):
                near_a, near_b, near_c = ((1 + part @ candidates.T) / 2 for part in parts)
                yield near_b * near_c / (near_a + EPSILON)

        return _top_columns(products(), questions, count)

    def blocks(self, rows: np.ndarray) -> Iterator[np.ndarray]:
        """Yield rows in blocks whose similarities to all words fit into BLOCK_BYTES."""
        size = max(1, BLOCK_BYTES // (4 * len(self)))
        return (rows[start : start + size] for start in range(0, len(rows), size))

    def to_neighbours(self, best: TopWords) -> list[Neighbour]:
        """The first query's best as words."""
        pairs = zip(best.ids[0].tolist(), best.scores[0].tolist(), strict=True)
        return [Neighbour(self.words[row], score) for row, score in pairs if np.isfinite(score)]


def _top_columns(scores: Iterator[np.ndarray], but: np.ndarray, count: int) -> TopWords:
    """The best columns of blocks of scores; columns in `exclude` get a score of -inf."""
    if count < 1:
        raise ConfigError(f"count={count} must be at least 1.")
    ids, values, done = [], [], 0
    for block in scores:
        for row, rows in zip(block, but[done : done + len(block)], strict=True):
            row[rows[rows < len(row)]] = -np.inf
        done += len(block)
        top = min(count, block.shape[1])
        columns = np.argpartition(-block, top - 1, axis=1)[:, :top]
        top_scores = np.take_along_axis(block, columns, 1)
        order = np.lexsort((columns, -top_scores), axis=1)
        ids.append(np.take_along_axis(columns, order, 1))
        values.append(np.take_along_axis(top_scores, order, 1))
    return TopWords(np.concatenate(ids), np.concatenate(values))
