"""Verbs on vectors; each takes an artifact or a .txt or .bin file."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, page, write_text
from groundup.model import load as load_model
from groundup.tokenizer import load_tokenizer

from .contextual import Pooling, cosines, occurrences
from .files import load_vectors, write_word2vec
from .plotting import STYLE, Projection, project, scatter_plot
from .similarity import (
    Analogies,
    Correlation,
    answer_analogies,
    detect_test_kind,
    rating_correlation,
    read_analogies,
    read_ratings,
)
from .vectors import AnalogyMethod, Neighbour, Vectors

SHOWN_CHARACTERS = 56


class QueryResult(NamedTuple):
    """Words with scores, the answer to a query."""

    asked: str
    neighbours: list[Neighbour]

    def __str__(self) -> str:
        """One line per word."""
        width = max((len(each.word) for each in self.neighbours), default=0)
        lines = [f"  {each.word:<{width}}  {each.score:6.3f}" for each in self.neighbours]
        return "\n".join([self.asked, *lines])


class SimilarityResults(NamedTuple):
    """Results by test file."""

    results: dict[str, Correlation | Analogies]

    def __str__(self) -> str:
        """The results of each file."""
        lines: list[str] = []
        for name, result in self.results.items():
            if isinstance(result, Correlation):
                lines.append(f"{name}: {result}")
            else:
                lines += [f"{name}:", *(f"  {line}" for line in str(result).splitlines())]
        return "\n".join(lines)


class WrittenVectors(NamedTuple):
    """A written file and its size."""

    path: str
    words: int
    width: int

    def __str__(self) -> str:
        """One line."""
        return f"{self.path}: {self.words:,} words, {self.width} numbers each"


class ContextComparison(NamedTuple):
    """A word's occurrences and the cosines of its vectors."""

    word: str
    texts: list[str]
    """The text of each occurrence."""
    cosines: list[list[float]]

    def __str__(self) -> str:
        """The numbered occurrences and the table of their cosines."""
        rows = [f"{i + 1:>3}  {text}" for i, text in enumerate(self.texts)]
        head = "     " + "".join(f"{i + 1:>7}" for i in range(len(self.texts)))
        table = [
            f"{i + 1:>3}  " + "".join(f"{value:7.3f}" for value in row)
            for i, row in enumerate(self.cosines)
        ]
        return "\n".join([*rows, head, *table])


def neighbours(vectors: Path, word: str, *, count: int = 10) -> QueryResult:
    """Show the words with the nearest vectors.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    word     the word
    count    how many to show
    """
    return QueryResult(word, load_vectors(vectors).neighbours(word, count))


def analogy(
    vectors: Path, a: str, b: str, c: str, *, method: AnalogyMethod = "add", count: int = 10
) -> QueryResult:
    """Show the words that are to C as B is to A: `man king woman`.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    a        the first word, as man
    b        the word that relates to A as the answer to C, as king
    c        the third word, as woman
    method   add: cosine with b - a + c (3CosAdd); multiply: Levy and Goldberg's 3CosMul
    count    how many to show
    """
    answers = load_vectors(vectors).analogy(a, b, c, method=method, count=count)
    return QueryResult(f"{a} is to {b} as {c} is to", answers)


def rate_similarity(
    vectors: Path, tests: list[Path], *, method: AnalogyMethod = "add"
) -> SimilarityResults:
    """Evaluate vectors on human ratings of word pairs, or on analogies.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    tests    files such as wordsim353.tsv, simlex999.txt, questions-words.txt
    method   how analogies are answered
    """
    if not tests:
        raise ConfigError("Give a test file, such as gensim's wordsim353.tsv.")
    loaded, results = load_vectors(vectors), {}
    for path in tests:
        if detect_test_kind(path) == "analogies":
            results[path.name] = answer_analogies(loaded, read_analogies(path), method)
        else:
            results[path.name] = rating_correlation(loaded, read_ratings(path))
    return SimilarityResults(results)


def plot(
    vectors: Path, out: Path, *, word: Sequence[str] = (), near: Sequence[str] = (),
    count: int = 20, by: Projection = "pca",
) -> WrittenVectors:  # fmt: skip
    """Plot words in two dimensions as an HTML page.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    out      the page, a .html file
    word     a word to plot; repeat the flag for more
    near     plot a word's neighbours, in their own colour; repeat the flag for more
    count    number of neighbours; without words, ten times as many frequent words
    by       pca preserves large distances, tsne preserves neighbourhoods
    """
    if out.suffix != ".html":
        raise ConfigError(f"{out} must end in .html.")
    loaded = load_vectors(vectors)
    words, groups = _select_words(loaded, word, near, count)
    rows = [loaded.row_of(each) for each in words]
    points = project(loaded.unit_vectors[rows], by)
    title = {"pca": "Principal components", "tsne": "t-SNE"}[by]
    sheet = page.HtmlPage(
        "Words by their vectors", f"{len(words)} words of {vectors}.", style=STYLE
    )
    sheet.section("Plot", LEADS[by], scatter_plot(title, words, points, groups))
    write_text(out, sheet.render())
    return WrittenVectors(str(out), len(words), loaded.width)


LEADS = {
    "pca": "The two directions of largest variance; large distances are preserved.",
    "tsne": "Neighbourhoods are preserved; distances between groups are meaningless.",
}


def _select_words(
    vectors: Vectors, words: Sequence[str], near: Sequence[str], count: int
) -> tuple[list[str], list[int]]:
    group = dict.fromkeys(words, 0)
    for number, centre in enumerate(near):
        for word in [centre, *(each.word for each in vectors.neighbours(centre, count))]:
            group.setdefault(word, number + bool(words))
    return list(group) or vectors.words[: 10 * count], list(group.values())


def context(
    model: Path, word: str, texts: list[str], *, layer: int = -1, pooling: Pooling = "mean"
) -> ContextComparison:
    """Compare a word's contextual vectors in different sentences.

    model    a model artifact, or a Hugging Face directory with its tokenizer
    word     the word
    texts    sentences that contain it
    layer    0 is the embedding, -1 the output
    pooling  of the word's tokens
    """
    results = occurrences(
        load_model(model), load_tokenizer(model), texts, word, layer=layer, pooling=pooling
    )  # fmt: skip
    shown = [texts[each.text][:SHOWN_CHARACTERS] for each in results]
    return ContextComparison(
        word, shown, cosines(np.stack([each.vector for each in results])).tolist()
    )


def export(vectors: Path, out: Path) -> WrittenVectors:
    """Write vectors as a file that gensim and word2vec.c can read.

    vectors  a vectors artifact, or a file in the other format
    out      FILE.bin for binary, FILE.txt for text
    """
    if out.suffix not in (".bin", ".txt"):
        raise ConfigError(f"{out} must end in .bin (binary) or .txt (text).")
    loaded = load_vectors(vectors)
    write_word2vec(loaded, out, "binary" if out.suffix == ".bin" else "text")
    return WrittenVectors(str(out), len(loaded), loaded.width)
