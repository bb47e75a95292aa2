"""What is read without ratings: packages' prose and a thesaurus, else what every Python carries.

Texts are read in lower case with one space before each word and each run of marks, as BERT's
uncased vocabularies read them: 12,790 rated texts are too few to learn Good, good and "good apart.
"""

import random
import re
from collections.abc import Iterator
from pathlib import Path

from groundup.core import Artifact, Config, DataError, Draft, digest, hash_file, produce

from ..library import manual_pages
from ..vectors.prose import PARAGRAPH
from ..vectors.recipe import gather

PIECE = re.compile(r"[^\W_]+(?:['’][^\W_]+)*|[^\w\s]+|_+")
"""A word, or a run of marks: `:)` is one."""
BESIDE = 8
"""Like words that stand behind their word in a thesaurus' text before it comes again."""


class ReadingConfig(Config):
    """What is read; hashes are filled in by the stage."""

    manual_digest: str = ""
    """Of the library's prose, where no folder is given."""
    thesaurus_digest: str = ""
    """Of the thesaurus."""


def markdown_to_text(text: str) -> str:
    """A text as the encoder reads it.

    >>> markdown_to_text("It's GREAT!! :)")
    " it's great !! :)"
    """
    return "".join(f" {piece}" for piece in PIECE.findall(text.lower()))


def make_reading(folders: list[Path], thesaurus: Path | None, out: Path) -> Artifact:
    """All texts, one a line; DataError or ConfigError if one of the sources holds none."""
    parents, config = {}, ReadingConfig()
    if folders:
        parents["prose"] = gather(folders, 1, out.parent / "prose")
    else:
        config = config.model_copy(update={"manual_digest": digest(list(manual_pages()))})
    if thesaurus is not None:
        if not thesaurus.is_file():
            raise DataError(f"There is no file {thesaurus}; expected words.txt of npm's moby.")
        config = config.model_copy(update={"thesaurus_digest": hash_file(thesaurus)})

    def write(draft: Draft) -> None:
        lines = 0
        with open(draft.file("reading.txt"), "w", encoding="utf-8") as file:
            for text in sources(parents.get("prose"), thesaurus):
                if found := markdown_to_text(text):
                    file.write(found + "\n")
                    lines += 1
        draft.numbers |= {"texts": lines}

    return produce(
        out, kind="documents", stage="encoder_reading", version=1, config=config,
        parents=parents, write=write,
    )  # fmt: skip


def sources(prose: Artifact | None, thesaurus: Path | None) -> Iterator[str]:
    """Paragraphs of the folders' prose or pages of the manual, and entries of a thesaurus."""
    if prose is None:
        yield from (text for _, text in manual_pages())
    else:
        yield from PARAGRAPH.split(prose.file("prose.txt").read_text(encoding="utf-8"))
    if thesaurus is not None:
        yield from entries(thesaurus)


def entries(thesaurus: Path) -> Iterator[str]:
    """Lines `word,like word,like word…`, the like words shuffled and the word among them.

    In the alphabet's order neighbours would be alike in spelling rather than in sense.
    """
    for line in thesaurus.read_text(encoding="utf-8").splitlines():
        word, *alike = line.split(",")
        random.Random(digest(word)).shuffle(alike)
        parts = [alike[i : i + BESIDE] for i in range(0, len(alike), BESIDE)]
        yield " ".join(piece for part in parts for piece in (word, *part))


def read_lines(reading: Artifact) -> Iterator[str]:
    """The texts as they were written."""
    with open(reading.file("reading.txt"), encoding="utf-8") as file:
        for line in file:
            yield line.rstrip("\n")
