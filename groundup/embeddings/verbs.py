"""What the command line asks of vectors; each verb takes an artifact or a .txt or .bin file."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import ConfigError, page, write_text
from groundup.model import load as load_model
from groundup.tokenizer import load_tokenizer

from .contextual import Pooling, cosines, occurrences
from .files import load_vectors, write_word2vec
from .picture import STYLE, Projection, project, scatter
from .similarity import (
    Analogies,
    Correlation,
    answer_analogies,
    correlation,
    kind_of,
    read_analogies,
    read_ratings,
)
from .vectors import AnalogyMethod, Neighbour, Vectors

SHOWN_CHARACTERS = 56


class Found(NamedTuple):
    """Words with their scores."""

    asked: str
    neighbours: list[Neighbour]

    def __str__(self) -> str:
        """A line a word."""
        width = max((len(one.word) for one in self.neighbours), default=0)
        return "\n".join(
            [self.asked, *(f"  {one.word:<{width}}  {one.score:6.3f}" for one in self.neighbours)]
        )


class Tested(NamedTuple):
    """Results by the file's name."""

    results: dict[str, Correlation | Analogies]

    def __str__(self) -> str:
        """One file after another."""
        lines: list[str] = []
        for name, result in self.results.items():
            if isinstance(result, Correlation):
                lines.append(f"{name}: {result}")
            else:
                lines += [f"{name}:", *(f"  {line}" for line in str(result).splitlines())]
        return "\n".join(lines)


class Written(NamedTuple):
    """A file and what it holds."""

    path: str
    words: int
    width: int

    def __str__(self) -> str:
        """In one line."""
        return f"{self.path}: {self.words:,} words, {self.width} numbers each"


class Contexts(NamedTuple):
    """A word's places and the cosines of its vectors there."""

    word: str
    texts: list[str]
    """The text of each place."""
    cosines: list[list[float]]

    def __str__(self) -> str:
        """The places by number, and their cosines below each other."""
        rows = [f"{place + 1:>3}  {text}" for place, text in enumerate(self.texts)]
        head = "     " + "".join(f"{place + 1:>7}" for place in range(len(self.texts)))
        table = [
            f"{place + 1:>3}  " + "".join(f"{value:7.3f}" for value in row)
            for place, row in enumerate(self.cosines)
        ]
        return "\n".join([*rows, head, *table])


def neighbours(vectors: Path, word: str, *, count: int = 10) -> Found:
    """Show the words whose vectors lie nearest to a word's.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    word     the word
    count    how many to show
    """
    return Found(word, load_vectors(vectors).neighbours(word, count))


def analogy(
    vectors: Path, a: str, b: str, c: str, *, method: AnalogyMethod = "add", count: int = 10
) -> Found:
    """Show the words that are to C as B is to A: `man king woman`.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    a        the first word, as man
    b        what is to it as the answer is to C, as king
    c        the word that the answer belongs to, as woman
    method   add: the cosine with b - a + c; multiply: by Levy and Goldberg's quotient
    count    how many to show
    """
    found = load_vectors(vectors).analogy(a, b, c, method=method, count=count)
    return Found(f"{a} is to {b} as {c} is to", found)


def similarity(vectors: Path, tests: list[Path], *, method: AnalogyMethod = "add") -> Tested:
    """Hold vectors against people: rated pairs of words, or analogies.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    tests    files such as wordsim353.tsv, simlex999.txt, questions-words.txt
    method   how analogies are answered
    """
    if not tests:
        raise ConfigError("Give a test file, such as gensim's wordsim353.tsv.")
    known, results = load_vectors(vectors), {}
    for path in tests:
        if kind_of(path) == "analogies":
            results[path.name] = answer_analogies(known, read_analogies(path), method)
        else:
            results[path.name] = correlation(known, read_ratings(path))
    return Tested(results)


def plot(
    vectors: Path,
    out: Path,
    *,
    word: Sequence[str] = (),
    near: Sequence[str] = (),
    count: int = 20,
    by: Projection = "pca",
) -> Written:
    """Draw words in two dimensions as a page.

    vectors  a vectors artifact, or a .txt or .bin file in word2vec's format
    out      the page, a .html file
    word     a word to draw; repeat the flag for more
    near     draw a word's neighbours, in a colour of their own; repeat the flag for more
    count    how many neighbours; without words, how many frequent words times ten
    by       pca keeps large distances, tsne keeps neighbours
    """
    if out.suffix != ".html":
        raise ConfigError(f"{out} must end in .html: the picture is a page.")
    known = load_vectors(vectors)
    words, groups = chosen_words(known, word, near, count)
    rows = [known.id(one) for one in words]
    points = project(known.units[rows], by)
    title = {"pca": "Principal components", "tsne": "t-SNE"}[by]
    sheet = page.Page("Words by their vectors", f"{len(words)} words of {vectors}.", style=STYLE)
    sheet.section("Picture", LEADS[by], scatter(title, words, points, groups))
    write_text(out, sheet.render())
    return Written(str(out), len(words), known.width)


LEADS = {
    "pca": "The two directions along which these vectors differ most; what lies far apart here "
    "does lie far apart.",
    "tsne": "Words that are near each other stay near; how far groups lie apart means nothing.",
}


def chosen_words(
    vectors: Vectors, words: Sequence[str], near: Sequence[str], count: int
) -> tuple[list[str], list[int]]:
    """Words to draw and the group of each, every word once."""
    group = dict.fromkeys(words, 0)
    for number, centre in enumerate(near):
        for one in [centre, *(found.word for found in vectors.neighbours(centre, count))]:
            group.setdefault(one, number + bool(words))
    return list(group) or vectors.words[: 10 * count], list(group.values())


def context(
    model: Path, word: str, texts: list[str], *, layer: int = -1, pooling: Pooling = "mean"
) -> Contexts:
    """Compare a word's vectors in different sentences, as a model of language sees them.

    model    a model artifact, or a directory of Transformers with its tokenizer
    word     the word
    texts    sentences that hold it
    layer    0 is the embedding, -1 the output
    pooling  of the word's tokens
    """
    found = occurrences(
        load_model(model), load_tokenizer(model), texts, word, layer=layer, pooling=pooling
    )  # fmt: skip
    shown = [texts[one.text][:SHOWN_CHARACTERS] for one in found]
    return Contexts(word, shown, cosines(np.stack([one.vector for one in found])).tolist())


def export(vectors: Path, out: Path) -> Written:
    """Write vectors as a file that gensim and word2vec.c open.

    vectors  a vectors artifact, or a file in the other form
    out      FILE.bin for binary, FILE.txt for text
    """
    if out.suffix not in (".bin", ".txt"):
        raise ConfigError(f"{out} must end in .bin (binary) or .txt (text).")
    known = load_vectors(vectors)
    write_word2vec(known, out, "binary" if out.suffix == ".bin" else "text")
    return Written(str(out), len(known), known.width)
