"""BM25 over passages: a Retriever in one directory, with tantivy.

Three fields are searched: stems of the text, stems of its titles and path, and exact names of code:
`os.path.join` matches in full and by its suffixes `path.join` and `join`. Texts are stemmed here,
each in its own language, so that tantivy only splits at spaces. Additions and deletions become
visible and durable with `snapshot`.
"""

import json
import math
import os
import re
import shutil
import tempfile
import weakref
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from groundup.core import (
    ArtifactError,
    CapacityError,
    Hit,
    Passage,
    digest,
    disk_error,
    disk_remedy,
    hash_file,
    import_extra,
    write_text,
)
from groundup.documents import label_lines

from .wording.language import FALLBACK, stem_words
from .wording.question import Question, code_names, parse_question

HEADING_BOOST = 2.0
NAME_BOOST = 3.0
MAX_TIES = 1_000
"""Of more passages with equal scores, the first in the order of the index are taken."""
MAX_GAPS = 4  # other words in a run of a question's words, such as its stop words
WRITER_BYTES = 128 * 2**20


class PreparedPassage(NamedTuple):
    """A passage with the words that are indexed, as made in any process."""

    id: str
    document: str
    body: str
    """Stems of the text, with spaces between them."""
    headings: str
    """Stems of titles, labels and the path."""
    names: str
    """Names of code."""
    passage: bytes
    """The passage as JSON."""

    @property
    def span(self) -> tuple[int, int]:
        """Start and end in the document's text."""
        start, _, end = self.id.rpartition(":")[2].partition("-")
        return int(start), int(end)


def _passage_record(passage: Passage) -> dict[str, Any]:
    """A passage as JSON values, without a parent that it does not have."""
    return {name: value for name, value in passage.__dict__.items() if value is not None}


def prepare_passages(
    passages: Iterable[Passage], language: str = FALLBACK
) -> list[PreparedPassage]:
    """Stem the words of passages in one language."""
    prepared = []
    for passage in passages:
        titles = " ".join((*passage.headings, *label_lines(passage.text), passage.path))
        names = " ".join(code_names(f"{'.'.join(passage.headings)} {titles} {passage.text}"))
        body, head = (" ".join(stem_words(text, language)) for text in (passage.text, titles))
        line = json.dumps(_passage_record(passage), ensure_ascii=False).encode()
        prepared.append(PreparedPassage(passage.id, passage.document, body, head, names, line))
    return prepared


class LexicalIndex:
    """An index of passages in one directory, ranked by BM25 (tantivy: k1=1.2, b=0.75)."""

    def __init__(self, directory: Path) -> None:
        """Open the index in `directory`, or create an empty one.

        Raises MissingExtra without tantivy, and ArtifactError for a damaged index.
        """
        engine = import_extra("tantivy", "retrieve")
        self.engine, self.directory = engine, Path(directory)
        self.writer: Any = None
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            path = self.directory if os.access(self.directory, os.W_OK) else self._readonly_copy()
            if engine.Index.exists(str(path)):  # perhaps of an earlier version, searched as it is
                self.index = engine.Index.open(str(path))
            else:
                self.index = engine.Index(_index_schema(engine), path=str(path))
            self.reload()
        except (OSError, ValueError) as error:
            raise _full_disk_error(self.directory, error) or ArtifactError(
                f"{directory} holds no readable index ({_short_message(error)}); remove it and "
                "index again."
            ) from None

    def _readonly_copy(self) -> Path:
        """A folder of links to a read-only directory, because tantivy writes a lock file."""
        copy = Path(tempfile.mkdtemp(prefix="groundup-"))
        weakref.finalize(self, shutil.rmtree, copy, ignore_errors=True)
        for path in self.directory.iterdir():
            if path.suffix != ".lock":
                (copy / path.name).symlink_to(path.resolve())
        return copy

    def reload(self) -> None:
        """Load the last snapshot."""
        self.index.reload()
        self.searcher = self.index.searcher()

    def __len__(self) -> int:
        return self.searcher.num_docs

    def _open_writer(self) -> Any:
        if not os.access(self.directory, os.W_OK):
            raise ArtifactError(f"{self.directory} is not writable; choose another --out.")
        if self.writer is None:
            try:
                self.writer = self.index.writer(heap_size=WRITER_BYTES, num_threads=1)
            except ValueError as error:
                raise _full_disk_error(self.directory, error) or ArtifactError(
                    f"Cannot write to the index {self.directory} ({_short_message(error)}); "
                    "if another run is writing there, wait for it."
                ) from None
        return self.writer

    def add(self, passages: Iterable[Passage], language: str = FALLBACK) -> None:
        """Add passages of one language; one with the id of an existing passage replaces it."""
        self.add_prepared(prepare_passages(passages, language))

    def add_prepared(self, passages: Iterable["PreparedPassage"]) -> None:
        """Add passages whose words are known; one with the id of an existing one replaces it."""
        writer, engine = self._open_writer(), self.engine
        for passage in passages:
            try:  # tantivy writes in other threads: a failure is raised at a later call
                writer.delete_documents_by_term("id", passage.id)
                writer.add_document(engine.Document(**passage._asdict()))
            except (OSError, ValueError) as error:
                raise _write_error(self.directory, error) from None

    def delete(self, documents: Iterable[str]) -> None:
        """Remove every passage of these documents."""
        for document in documents:
            self._open_writer().delete_documents_by_term("document", document)

    def search(self, query: str, limit: int = 10) -> list[Hit]:
        """The best passages, best first; ties are broken by passage id. Any text is a query."""
        return self.search_terms(parse_question(query), limit)

    def search_terms(
        self, question: Question, limit: int = 10, documents: Collection[str] | None = None,
        is_run: bool = False,
    ) -> list[Hit]:  # fmt: skip
        """As `search`; of some documents, or of what has all its words in a run, alone."""
        query = self._build_query(question)
        if query is None or limit < 1 or not len(self):
            return []
        words = [stem for term in question.terms for stem in term.stems]
        if is_run and len(words) > 1:  # a word alone is no run
            run = self.engine.Query.phrase_query(self.index.schema, "body", words, MAX_GAPS)
            query = self._with_all(query, run)
        if documents is not None:
            build, ids = self.engine.Query, sorted(documents)
            query = self._with_all(query, build.term_set_query(self.index.schema, "document", ids))
        found, size = [], limit + 1
        while size <= limit + MAX_TIES:
            found = self.searcher.search(query, limit=size, count=False).hits
            if len(found) < size or found[-1][0] < found[limit - 1][0]:
                break  # includes every passage that ties with the last requested one
            size *= 2
        hits = [Hit(self._read_passage(address), score) for score, address in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.passage.id))[:limit]

    def _build_query(self, question: Question) -> Any:
        """The question as a tantivy query: any term may match; titles and names are boosted."""
        query, fields = self.engine.Query, self.index.schema
        parts = []
        for term in question.terms:
            for stem in term.stems:
                body = query.term_query(fields, "body", stem)
                title = query.term_query(fields, "headings", stem)
                parts += [body, query.boost_query(title, HEADING_BOOST)]
            if term.name is not None:
                name = query.term_query(fields, "names", term.name)
                parts.append(query.boost_query(name, NAME_BOOST))
        should = self.engine.Occur.Should
        return query.boolean_query([(should, part) for part in parts]) if parts else None

    def _with_all(self, query: Any, other: Any) -> Any:
        """A query of passages that another one finds too, with the scores that it has alone."""
        build, must = self.engine.Query, self.engine.Occur.Must
        return build.boolean_query([(must, query), (must, build.const_score_query(other, 0.0))])

    def _read_passage(self, address: Any) -> Passage:
        record = json.loads(self.searcher.doc(address).get_first("passage"))
        lists = {name: tuple(record[name]) for name in ("headings", "parent") if name in record}
        return Passage(**record | lists)

    def passage(self, id: str) -> Passage | None:
        """The passage with an id; None if there is none."""
        query = self.engine.Query.term_query(self.index.schema, "id", id)
        found = self.searcher.search(query, limit=1, count=False).hits
        return self._read_passage(found[0][1]) if found else None

    def document_frequency(self, field: str, term: str) -> int:
        """Number of passages with a stem in `body` or `headings`, or a name in `names`."""
        return self.searcher.doc_freq(field, term)

    def prepared(self, document: str) -> list[PreparedPassage]:
        """The passages of a document with their words, in order."""
        query = self.engine.Query.term_query(self.index.schema, "document", document)
        found = self.searcher.search(query, limit=max(1, len(self)), count=False).hits
        stored = [self.searcher.doc(address) for _, address in found]
        fields = PreparedPassage._fields
        rows = ([each.get_first(name) or "" for name in fields] for each in stored)
        passages = (PreparedPassage._make(row)._replace(document=document) for row in rows)
        return sorted(passages, key=lambda each: each.span)

    def words_with_prefix(self, prefix: str, field: str = "body") -> list[tuple[str, int]]:
        """The stems (or `names`) that begin so, and in how many passages each is."""
        return self.searcher.terms_with_prefix(field, prefix)

    def snapshot(self) -> str:
        """Commit additions and deletions; return the snapshot's id.

        The id is a hash of all passages, so equal content has equal ids however it was added.
        Raises CapacityError if the disk is full.
        """
        self.commit()
        rows = ({**_passage_record(p), "headings": list(p.headings)} for p in self.passages())
        return digest(sorted(map(digest, rows)))

    def commit(self) -> None:
        """Make additions and deletions visible and durable; CapacityError if the disk is full."""
        if self.writer is not None:
            try:
                self.writer.commit()
                self.writer.wait_merging_threads()  # ends the writer and frees its lock
            except (OSError, ValueError) as error:
                raise _write_error(self.directory, error) from None
            self.writer = None
            self.reload()

    def passages(self) -> list[Passage]:
        """Every passage of the last snapshot, in no particular order."""
        everything = self.engine.Query.all_query()
        found = self.searcher.search(everything, limit=max(1, len(self)), count=False)
        return [self._read_passage(address) for _, address in found.hits]


def name_segments_by_content(directory: Path) -> None:
    """Rename the segments of a complete index by content hash: equal indexes are equal files.

    tantivy names each segment and its files at random; their content does not depend on the name.
    No index may be open in the directory.
    """
    meta, managed = directory / "meta.json", directory / ".managed.json"
    text = meta.read_text(encoding="utf-8")
    for segment in json.loads(text)["segments"]:
        old = segment["segment_id"]
        files = sorted(directory.glob(old.replace("-", "") + ".*"))
        new = UUID(digest([[path.suffix, hash_file(path)] for path in files])[:32])
        for path in files:
            path.rename(path.with_name(new.hex + path.suffix))
        text = text.replace(old, str(new))
    write_text(meta, text)
    kept = (path.name for path in directory.iterdir() if not path.name.startswith("."))
    write_text(managed, json.dumps(sorted(kept)))


def _index_schema(engine: Any) -> Any:
    build = engine.SchemaBuilder()
    build.add_text_field("id", True, tokenizer_name="raw", index_option="basic")
    build.add_text_field("document", tokenizer_name="raw", index_option="basic")
    for name, option in (("body", "position"), ("headings", "freq"), ("names", "freq")):
        build.add_text_field(name, True, tokenizer_name="whitespace", index_option=option)
    build.add_bytes_field("passage", stored=True)
    return build.build()


def inverse_document_frequency(passages: int, containing: int) -> float:
    """Inverse document frequency of a term in `containing` of `passages`, nats; at least 0.

    idf = ln(1 + (N - n + 1/2) / (n + 1/2)), as in BM25; largest for a term that occurs nowhere.
    Source: Robertson and Zaragoza 2009, "The Probabilistic Relevance Framework", eq. 3.3, plus 1.
    """
    return math.log1p((passages - containing + 0.5) / (containing + 0.5))


def _full_disk_error(directory: Path, error: Exception) -> Exception | None:
    """The error for a full disk, which tantivy reports as text; None for other errors."""
    match = re.search(r"os error (\d+)", str(error))
    number = int(match[1]) if match else getattr(error, "errno", None)
    return disk_error(directory, OSError(number, "")) if disk_remedy(number) else None


def _write_error(directory: Path, error: Exception) -> Exception:
    return _full_disk_error(directory, error) or CapacityError(
        f"Cannot write the index {directory} ({_short_message(error)}); free some space and run "
        "the same command again: what is complete stays."
    )


def _short_message(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
