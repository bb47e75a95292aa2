"""Open an index and find passages in it.

A path may be a folder that `groundup index` keeps up to date (the pointer in its ledger tells the
snapshot) or one snapshot itself. What was opened stays the same while the index moves on.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from groundup.core import Artifact, ArtifactError, Hit, Pointer
from groundup.documents import Document

from .index import Place, read_places
from .lexical import LexicalIndex, idf
from .terms import Term


@dataclass
class OpenIndex:
    """A snapshot, opened for questions."""

    artifact: Artifact
    lexical: LexicalIndex
    places: dict[str, Place]
    """By document id."""
    cache: dict[str, Document] = field(default_factory=dict, repr=False)

    def search(self, question: str, limit: int = 10) -> list[Hit]:
        """The best passages for a question, best first."""
        return self.lexical.search(question, limit)

    def document(self, id: str) -> Document:
        """A document of the snapshot, as it was when it was indexed."""
        if id not in self.cache:
            place = self.places[id]
            with open(self.artifact.file("documents.jsonl"), "rb") as file:
                file.seek(place.start)
                self.cache[id] = Document.from_json(file.read(place.length))
        return self.cache[id]

    def weight(self, term: Term) -> float:
        """How much a term tells, nats: the idf of its exact name, or of its rarest stem."""
        size = len(self.lexical)
        if term.name is not None and (having := self.lexical.frequency("names", term.name)):
            return idf(size, having)
        having = min((self.having(stem) for stem in term.stems), default=0)
        return idf(size, min(size, having))

    def having(self, stem: str) -> int:
        """Number of passages with a stem in their text or the titles above it, at least."""
        return max(self.lexical.frequency(field, stem) for field in ("body", "headings"))

    @cached_property
    def sha256(self) -> dict[str, str]:
        """Hash of every indexed file, by path."""
        return {place.path: place.sha256 for place in self.places.values()}


def open_index(path: Path) -> OpenIndex:
    """Open the current snapshot of an index.

    Raises ArtifactError, in one line, if there is none or it is damaged.
    """
    artifact = current(Path(path))
    places = read_places(artifact.file("documents.json"))
    lexical = LexicalIndex(artifact.path / "lexical")
    return OpenIndex(artifact, lexical, {place.id: place for place in places})


def current(path: Path) -> Artifact:
    """The snapshot that a path stands for: the artifact itself, or the pointer's."""
    if (path / "manifest.json").is_file():
        return Artifact.open(path, kind="index")
    name = Pointer(path / "ledger" / "current.jsonl").value if path.is_dir() else None
    if not isinstance(name, str) or "/" in name or name.startswith("."):
        raise ArtifactError(
            f"{path} holds no index; make one with: groundup index FOLDER --out {path}"
        )
    return Artifact.open(path / "snapshots" / name, kind="index")
