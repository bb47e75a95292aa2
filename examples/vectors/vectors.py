"""Vectors of words from English prose that Debian packages carry, tested and drawn.

    folders -> prose.txt -> vectors -> correlations, analogies, neighbours, a picture

Kept are paragraphs in which the commonest words of English are frequent, which they are not in
other languages, code and tables; a paragraph that was seen is left out, and with it navigation.
"""

import gzip
import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from groundup.core import ConfigError, DataError, atomic_replace
from groundup.documents import Record, read_folder
from groundup.embeddings import (
    VectorsConfig,
    Word2VecConfig,
    answer_analogies,
    load_vectors,
    rating_correlation,
    read_analogies,
    read_ratings,
    train_vectors,
)
from groundup.embeddings.verbs import plot

COMMONEST = set(
    "a an and are as at be but by for from had has have he her his if in into is it its not of on "
    "or our she so that the their them then there these they this to was we were when which who "
    "will with you".split()
)
MIN_SHARE, MIN_WORDS = 0.25, 8
LETTERS = re.compile(r"[^\W\d_]+")
SUFFIXES = (".html", ".htm", ".xhtml", ".txt", ".md")
FOREIGN = re.compile(r"/(?!en)[a-z]{2}[-_][A-Z]{2}/")
MARKS = re.compile(r"\[1913 Webster\]|\[PJC\]|\[WordNet 1\.5\]|[{}]|\\[^\\\n]{1,60}\\")
RATINGS = {"WordSim-353": "wordsim353.tsv", "SimLex-999": "simlex999.txt"}
SHOWN = ("king", "river", "computer", "bread", "anger")


def vectors(
    folder: Sequence[Path] = (), *, out: Path = Path("runs/vectors"), tests: Path | None = None,
    epochs: int = 5, threads: int = 0,
) -> str:  # fmt: skip
    """Train vectors on packages' English prose and test them.

    folder   a folder of unpacked packages; name several by repeating the flag
    out      where prose.txt, the vectors and the picture go
    tests    folder with wordsim353.tsv, simlex999.txt and questions-words.txt, which gensim's wheel
             has in test/test_data
    epochs   passes over the prose
    threads  0: all cores, which gives other bits each time
    """
    if not folder:
        raise ConfigError("Give --folder DIR with unpacked packages: dpkg-deb -x PACKAGE.deb DIR.")
    write_prose(folder, out / "prose.txt")
    skip_gram = Word2VecConfig(model="skip_gram", epochs=epochs)
    config = VectorsConfig(word2vec=skip_gram, threads=threads)
    made = train_vectors(config, out / "vectors", text=[out / "prose.txt"])
    known, lines = load_vectors(made.path), [f"{made.path}: {made.numbers['words']:,} words"]
    for name, file in RATINGS.items():
        if tests is not None and (tests / file).is_file():
            pairs = read_ratings(tests / file)
            lines.append(f"{name}: {rating_correlation(known, pairs)}")
    if tests is not None and (tests / "questions-words.txt").is_file():
        questions = read_analogies(tests / "questions-words.txt")
        lines.append(f"analogies: {answer_analogies(known, questions).accuracy}")
    if all(word in known for word in ("woman", "queen", "man", "king")):
        best = [each.word for each in known.analogy("woman", "queen", "man", count=5)]
        lines.append(f"queen − woman + man: {', '.join(best)}")
    shown = [word for word in SHOWN if word in known]
    for word in shown:
        lines.append(f"{word}: {', '.join(each.word for each in known.neighbours(word, 8))}")
    if shown:
        lines.append(str(plot(made.path, out / "words.html", near=shown)))
    return "\n".join(lines)


def write_prose(folders: Sequence[Path], out: Path) -> None:
    """Write the English paragraphs of folders, each once, an empty line between them."""
    seen: set[bytes] = set()
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_replace(out) as temporary, open(temporary, "w", encoding="utf-8") as file:
        for text in (text for folder in folders for text in texts(folder)):
            for paragraph in re.split(r"\n\s*\n", text):
                words = LETTERS.findall(paragraph.lower())
                mark = hashlib.blake2b(" ".join(words).encode(), digest_size=8).digest()
                if is_english(words) and mark not in seen:
                    seen.add(mark)
                    file.write(paragraph.strip() + "\n\n")
        if not seen:
            raise DataError(f"{', '.join(map(str, folders))} have no English prose.")


def texts(folder: Path) -> Iterator[str]:
    """Dictionaries of dictd, without their marks, and pages that are no translations."""
    for path in sorted(folder.rglob("*.dict.dz")):
        yield MARKS.sub("", gzip.decompress(path.read_bytes()).decode("utf-8", "replace"))
    for document in read_folder(folder, suffixes=SUFFIXES):
        if isinstance(document, Record) and not FOREIGN.search(f"/{document.path}"):
            yield document.text


def is_english(words: list[str]) -> bool:
    """Whether a paragraph of these words is English prose.

    >>> is_english("the dog that barks at night is not the one which was here".split())
    True
    >>> is_english("der hund der nachts bellt ist nicht der der am morgen hier war".split())
    False
    """
    common = sum(word in COMMONEST for word in words)
    return len(words) >= MIN_WORDS and common >= MIN_SHARE * len(words)
