"""An index of a folder: snapshot artifacts and a pointer to the current one.

    out/
      snapshots/ID/        artifacts of kind index, one per state of the folder
        documents.jsonl      the documents, including the maps to their bytes
        documents.json       path, hash and position in documents.jsonl of each
        rejected.json        files that could not be read, with the reason
        lexical/             BM25 over the passages
      ledger/current.jsonl the current snapshot; see search.py

Files are compared by content hash. A changed folder gets a new snapshot, a folder in an earlier
state gets that state's snapshot again, and the pointer moves by compare-and-swap after the snapshot
is complete, so a question never reads an incomplete index.
"""

import hashlib
import json
import os
import re
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple, TypeVar

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    Config,
    DataError,
    Draft,
    digest,
    disk_error,
    produce,
    record,
    write_json,
)
from groundup.documents import Record, Rejected

from .chunk import ChunkConfig, chunk_document
from .language import language_of
from .lexical import LexicalIndex, name_segments_by_content
from .reading import NAVIGATION, ReadConfig, file_bytes, plan_folder, read_data
from .search import DocumentEntry, current_name, read_entries, set_current, write_root

VERSION = 2
READABLE_KINDS = "text, HTML, PDF, EPUB, docx, odt, notebooks, mails or code"


class IndexConfig(Config):
    """How documents are indexed."""

    chunk: ChunkConfig = ChunkConfig()
    """Sizes of passages."""
    read: ReadConfig = ReadConfig()
    """Which files are read."""
    source_digest: str = ""
    """Hash of every document's path and content; set by the stage."""


class SnapshotChanges(NamedTuple):
    """Numbers of files that differ from the previous snapshot."""

    added: int
    changed: int
    deleted: int
    unchanged: int


@dataclass
class SpooledDocuments:
    """Documents that were read, spooled to an unnamed file to bound memory."""

    spool: IO[bytes]
    entries: list[DocumentEntry] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)

    def documents(self) -> Iterator[Record]:
        """Yield the documents from the spool."""
        self.spool.seek(0)
        for line in self.spool:
            yield Record.from_json(line)


def index(source: Path, out: Path, config: IndexConfig | None = None) -> Artifact:
    """Index every file of a folder that has text; return the current snapshot.

    HTML, PDF, EPUB, docx, odt, notebooks, LaTeX, mails, and any file of plain text: Markdown, CSV,
    YAML, logs, code of any language. Run again to update the index; nothing is written if no file
    changed. What is left out is counted by reason and listed in rejected.json. Two snapshots are
    kept.

    source  folder of documents, including its subfolders

    Raises DataError without a document, and ArtifactError if `out` contains something else or
    another run updated the index meanwhile.
    """
    source, out = Path(source), Path(out)
    _check_out_folder(out)
    config = config or IndexConfig()
    plan = list(_skip_index_files(plan_folder(source, config.read), source, out))
    fingerprints = {path: reject.reason if reject else _hash(source, path, config.read)
                    for path, reject in plan}  # fmt: skip
    config = _with_source_digest(config, sorted(fingerprints.items()))
    parents = _parent_artifacts(source)
    ids = [parent.id for parent in parents.values()]
    snapshot_id = digest([VERSION, config.to_dict(), *ids])[:16]
    snapshot_path = out / "snapshots" / snapshot_id
    before = current_name(out)
    if (snapshot_path / MANIFEST).is_file():
        snapshot = Artifact.open(snapshot_path, kind="index")
    else:
        with _report_full_disk(out), _open_spool(out) as file:
            documents = _read_documents(source, plan, fingerprints, config.read)
            reading = _spool_documents(documents, file)
            if not reading.entries:
                raise DataError(_no_documents_error(source, reading.rejected))
            snapshot = _write_snapshot(config, reading, parents, snapshot_path)
    changes = _describe_changes(_compare_snapshots(out, before, snapshot_path))
    with _report_full_disk(out):
        write_root(out, source)
        set_current(out, before, snapshot_id, changes)
    if not (snapshot_path / MANIFEST).is_file():  # removed by another run before the move
        return index(source, out, config)
    numbers = snapshot.numbers
    record.log(f"Documents: {numbers['documents']} ({changes}), passages: {numbers['passages']}.")
    for line in left_out(read_rejected(snapshot.path)):
        record.log(line)
    return snapshot


def index_or_explain(
    source: Path, out: Path, config: IndexConfig | None = None, *, why: str = ""
) -> Artifact | str:
    """Index every file of a folder that has text; again: only what changed is new.

    HTML, PDF, EPUB, docx, odt, notebooks, LaTeX, mails, and any file of plain text: Markdown, CSV,
    YAML, logs, code of any language. What is left out is counted by reason and listed in the
    snapshot's rejected.json; `--why` says it of one file. Nothing is written if no file changed;
    two snapshots are kept.

    source  folder of documents, including its subfolders
    out     directory of the index
    why     path of a file below the folder: say how it is read or why not, and index nothing
    """
    if why:
        return explain_reading(Path(source), why, config)
    return index(source, out, config)


def explain_reading(source: Path, path: str, config: IndexConfig | None = None) -> str:
    """How a file of a folder is read, or why it is left out; DataError if there is no such file."""
    config = config or IndexConfig()
    name = os.path.relpath(source / path if not Path(path).exists() else path, source)
    plan = dict(plan_folder(source, config.read))
    folders = [str(parent) for parent in PurePosixPath(name).parents]
    hidden = next((plan[folder] for folder in folders if plan.get(folder)), None)
    if name not in plan and hidden is None:
        raise DataError(f"{source} has no file {name}; paths are relative to the folder.")
    data = hidden or plan[name] or file_bytes(source, name, config.read.max_bytes)
    if isinstance(data, Rejected):
        return f"{name} is left out, {data.reason}: {data.details}"
    lines = []
    for item in read_data(name, data, config.read):
        if isinstance(item, Rejected):
            lines.append(f"{item.path} is left out, {item.reason}: {item.details}")
            continue
        passages = chunk_document(item, config.chunk)
        skipped = sum(end - start for start, end in item.metadata.get(NAVIGATION, ()))
        lines.append(
            f"{item.path} is read as {item.kind}, {language_of(item.text)}: "
            f"{len(item.text):,} characters in {len(passages)} passage{'s' * (len(passages) != 1)}"
            + (f"; {skipped:,} characters of menus or contents are in none" if skipped else "")
        )
    return "\n".join(lines)


def _hash(source: Path, path: str, config: ReadConfig) -> str:
    """Hash of a file, or why it cannot be read."""
    data = file_bytes(source, path, config.max_bytes)
    return data.reason if isinstance(data, Rejected) else hashlib.sha256(data).hexdigest()


def _read_documents(
    source: Path,
    plan: Sequence[tuple[str, Rejected | None]],
    fingerprints: Mapping[str, str],
    config: ReadConfig,
) -> Iterator[Record | Rejected]:
    """Yield the records of the planned files; DataError if one has changed since it was hashed."""
    with record.progress("read", total=len(plan), unit="files") as bar:
        for path, reject in plan:
            bar.advance(1)
            data = reject or file_bytes(source, path, config.max_bytes)
            if isinstance(data, Rejected):
                yield data
                continue
            if hashlib.sha256(data).hexdigest() != fingerprints[path]:
                raise DataError(
                    f"{source / path} changed while it was being indexed; run the command again."
                )
            yield from read_data(path, data, config)


@contextmanager
def _report_full_disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(out, error) from error


def _check_out_folder(out: Path) -> None:
    """Raise ArtifactError if a folder contains anything but an index, complete or not."""
    found = sorted(path.name for path in out.iterdir()) if out.is_dir() else []
    if found and not {"ledger", "snapshots"} & set(found):
        raise ArtifactError(
            f"{out} is not empty and holds no index ({found[0]} is in it); choose another --out."
        )


def _parent_artifacts(source: Path) -> dict[str, Artifact]:
    """The documents artifact of a folder, as the index's parent; empty for other folders.

    Raises ArtifactError for an artifact of another kind.
    """
    manifest, kind = source / MANIFEST, "index" if current_name(source) else ""
    if manifest.is_file():  # a common file name: only ours has a kind before a stage
        match = re.search(rb'"kind": "(\w+)",\s+"stage"', manifest.read_bytes())
        kind = match[1].decode() if match else ""
    if kind not in ("", "documents"):
        raise ArtifactError(
            f"{source} is an artifact of the kind {kind}; expected a folder of {READABLE_KINDS}."
        )
    return {"documents": Artifact.open(source, kind="documents")} if kind else {}


def index_documents(
    config: IndexConfig, documents: Iterable[Record], parents: Mapping[str, Artifact], out: Path
) -> Artifact:
    """Index any documents as one artifact at `out`, a stage for recipes.

    Raises DataError if there are none.
    """
    out = Path(out)
    with _report_full_disk(out), _open_spool(out.parent) as file:
        reading = _spool_documents(documents, file)
        if not reading.entries:
            raise DataError("There is no document to index; give at least one.")
        fingerprints = sorted((place.path, place.id, place.sha256) for place in reading.entries)
        return _write_snapshot(_with_source_digest(config, fingerprints), reading, parents, out)


def _write_snapshot(
    config: IndexConfig, reading: SpooledDocuments, parents: Mapping[str, Artifact], out: Path
) -> Artifact:
    return produce(
        out, kind="index", stage="index", version=VERSION, config=config, parents=parents,
        write=lambda draft: _write_index(draft, config, reading),
    )  # fmt: skip


def _write_index(draft: Draft, config: IndexConfig, reading: SpooledDocuments) -> None:
    reading.spool.seek(0)
    with open(draft.file("documents.jsonl"), "wb") as file:
        while block := reading.spool.read(2**20):
            file.write(block)
    write_json(draft.file("documents.json"), [list(place) for place in reading.entries])
    write_json(draft.file("rejected.json"), [list(item) for item in reading.rejected])
    passages = _write_lexical(draft.file("lexical"), config, reading)
    counts = {"documents": len(reading.entries), "rejected": len(reading.rejected)}
    draft.numbers |= counts | {"passages": passages}


def _write_lexical(directory: Path, config: IndexConfig, reading: SpooledDocuments) -> int:
    lexical = LexicalIndex(directory)
    with record.progress("index", total=len(reading.entries), unit="documents") as bar:
        for document, entry in zip(reading.documents(), reading.entries, strict=True):
            lexical.add(chunk_document(document, config.chunk), entry.language)
            bar.advance(1)
    lexical.snapshot()
    passages = len(lexical)
    del lexical
    name_segments_by_content(directory)
    return passages


def _spool_documents(documents: Iterable[Record | Rejected], spool: IO[bytes]) -> SpooledDocuments:
    """Spool documents and record their positions; DataError for a repeated id."""
    reading, start, seen = SpooledDocuments(spool), 0, set()
    for item in documents:
        if isinstance(item, Rejected):
            reading.rejected.append(item)
            continue
        if item.id in seen:
            raise DataError(f"The document {item.path} (id {item.id}) comes twice; give it once.")
        seen.add(item.id)
        line = item.to_json().encode("utf-8", "surrogatepass") + b"\n"
        spool.write(line)
        language = language_of(item.text)
        place = (item.path, item.id, item.sha256, start, len(line))
        entry = DocumentEntry(*place, language, item.metadata.get("file", ""))
        reading.entries.append(entry)
        start += len(line)
    return reading


def _open_spool(folder: Path) -> IO[bytes]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tempfile.TemporaryFile(dir=folder)
    except OSError as error:
        raise disk_error(folder, error) from None


Item = TypeVar("Item", bound=tuple)


def _skip_index_files(items: Iterable[Item], source: Path, out: Path) -> Iterator[Item]:
    """Skip the files of the index itself if it is inside the folder; items start with a path."""
    inner = os.path.relpath(out.resolve(), source.resolve()).replace(os.sep, "/") + "/"
    return (item for item in items if not item[0].startswith(inner))


def _with_source_digest(
    config: IndexConfig | None, fingerprints: Sequence[Sequence[str]]
) -> IndexConfig:
    return (config or IndexConfig()).model_copy(update={"source_digest": digest(fingerprints)})


def _no_documents_error(source: Path, rejected: list[Rejected]) -> str:
    found = f"{len(rejected)} files that cannot be used" if rejected else "no files"
    first = f" (first: {rejected[0].path}: {rejected[0].reason})" if rejected else ""
    return f"{source} holds {found}{first}; expected {READABLE_KINDS}. The index stays as it was."


def read_rejected(snapshot: Path) -> list[Rejected]:
    """What a snapshot left out, with reasons."""
    rows = json.loads((snapshot / "rejected.json").read_bytes())
    return [Rejected(*row) for row in rows]


def left_out(rejected: Iterable[Rejected]) -> list[str]:
    """What was left out, a line for each reason: number, endings and an example."""
    by_reason: dict[str, list[Rejected]] = {}
    for item in rejected:
        by_reason.setdefault(item.reason, []).append(item)
    lines = []
    for reason, items in sorted(by_reason.items(), key=lambda pair: -len(pair[1])):
        endings = Counter(PurePosixPath(item.path).suffix or "no ending" for item in items)
        shown = ", ".join(f"{count} {ending}" for ending, count in endings.most_common(5))
        lines.append(f"Left out, {reason}: {len(items)} ({shown}), such as {items[0].path}")
    return lines


def _compare_snapshots(out: Path, before: str | None, now: Path) -> SnapshotChanges:
    old: dict[str, str] = {}
    table = out / "snapshots" / str(before) / "documents.json"
    if before is not None and table.is_file():
        old = {place.path: place.sha256 for place in read_entries(table)}
    new = {place.path: place.sha256 for place in read_entries(now / "documents.json")}
    same = sum(old.get(path) == sha256 for path, sha256 in new.items())
    added = len(new.keys() - old.keys())
    return SnapshotChanges(added, len(new) - added - same, len(old.keys() - new.keys()), same)


def _describe_changes(changes: SnapshotChanges) -> str:
    return ", ".join(f"{number} {name}" for name, number in changes._asdict().items() if number)
