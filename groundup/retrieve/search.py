"""Opens an index and finds passages in it.

A path is either a folder of `groundup index`, whose ledger points to the current snapshot, or a
snapshot itself. An open index does not change when the folder is indexed again.
"""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from groundup.core import MANIFEST, Artifact, ArtifactError, Hit
from groundup.documents import Document

from .index import DocumentEntry, read_entries
from .lexical import LexicalIndex, inverse_document_frequency
from .snapshots import current_snapshot, read_root, update_command_of
from .terms import QuestionTerm


@dataclass
class OpenIndex:
    """A snapshot opened for questions."""

    artifact: Artifact
    lexical: LexicalIndex
    entries: dict[str, DocumentEntry]
    """By document id."""
    root: str | None = None
    """The indexed folder, if known."""
    update_command: str = ""
    """The command that indexes it again, if known."""
    cache: dict[str, Document] = field(default_factory=dict, repr=False)

    def search(self, question: str, limit: int = 10) -> list[Hit]:
        """The best passages for a question, best first."""
        return self.lexical.search(question, limit)

    def read_document(self, id: str) -> Document:
        """A document of the snapshot, as it was when it was indexed."""
        if id not in self.cache:
            place = self.entries[id]
            try:
                with open(self.artifact.file("documents.jsonl"), "rb") as file:
                    file.seek(place.start)
                    self.cache[id] = Document.from_json(file.read(place.length))
            except FileNotFoundError:
                raise ArtifactError(
                    f"{self.artifact.path} was removed since it was opened, because the index was "
                    "updated twice; open the index again."
                ) from None
        return self.cache[id]

    def term_weight(self, term: QuestionTerm) -> float:
        """The weight of a term, nats: the idf of its exact name, or of its rarest stem."""
        size = len(self.lexical)
        if term.name is not None and (
            having := self.lexical.document_frequency("names", term.name)
        ):
            return inverse_document_frequency(size, having)
        having = min((self.stem_frequency(stem) for stem in term.stems), default=0)
        return inverse_document_frequency(size, min(size, having))

    def stem_frequency(self, stem: str) -> int:
        """Number of passages with a stem in their text or in their titles, whichever is larger."""
        return max(self.lexical.document_frequency(field, stem) for field in ("body", "headings"))

    @cached_property
    def sha256_by_path(self) -> dict[str, str]:
        """Hash of every indexed file, by path."""
        return {place.path: place.sha256 for place in self.entries.values()}


def open_index(path: Path) -> OpenIndex:
    """Open the current snapshot of an index; ArtifactError if there is none or it is damaged."""
    artifact = _open_snapshot(Path(path))
    folder = artifact.path.absolute().parent
    out = folder.parent if folder.name == "snapshots" else None
    root = read_root(out) if out else None
    again = (
        update_command_of(out if Path(path) == artifact.path else Path(path), root) if out else ""
    )
    places = read_entries(artifact.file("documents.json"))
    lexical = LexicalIndex(artifact.path / "lexical")
    return OpenIndex(artifact, lexical, {place.id: place for place in places}, root, again)


def _open_snapshot(path: Path) -> Artifact:
    """The snapshot of a path: the artifact itself, or the one that the pointer names."""
    is_snapshot = (path / MANIFEST).is_file()
    return Artifact.open(path if is_snapshot else current_snapshot(path), kind="index")
