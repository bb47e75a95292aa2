"""An index of a folder: snapshot artifacts and a pointer to the current one.

    out/
      snapshots/ID/        artifacts of kind index, one per state of the folder
        documents.jsonl      the documents, including the maps to their bytes
        documents.json       path, hash and position in documents.jsonl of each
        files.json           hash of every file that was read or refused
        rejected.json        files that could not be read, with the reason
        lexical/             BM25 over the passages
        vectors.*            if an encoder is given: encoders/vectors.py
      ledger/current.jsonl the current snapshot; see snapshots.py

Files are compared by content hash. A changed folder gets a new snapshot, a folder in an earlier
state gets that state's snapshot again, and the pointer moves by compare-and-swap after the snapshot
is complete, so a question never reads an incomplete index.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from groundup.core import (
    MANIFEST,
    Artifact,
    ArtifactError,
    ConfigError,
    DataError,
    Draft,
    Hit,
    Passage,
    digest,
    disk_error,
    lock_folder,
    produce,
    read_manifest,
    record,
    write_json,
)
from groundup.documents import (
    NAVIGATION,
    Record,
    Rejected,
    artifact_kind,
    file_bytes,
    file_of,
    left_out_lines,
    plan_folder,
    read_data,
    read_folder,
)

from .chunks.chunk import chunk_document, count_characters
from .chunks.passage_text import PassageText
from .chunks.reading import (
    CHANGED,
    IndexConfig,
    Prepared,
    earlier_snapshot,
    hash_source,
    read_corpus,
    read_files,
)
from .lexical import LexicalIndex, name_segments_by_content
from .models import MIN_RECALL, TextEncoderConfig, check_encoder, with_digest, with_model_digest
from .search import DocumentEntry, read_entries, read_rejected
from .snapshots import current_name, read_root, remove_snapshot, set_current, write_root
from .wording.language import language_of

VERSION = 17
CURVE = "tune.html"
"""Page of `--tune` in the folder of an index."""
KEPT_SETTINGS = {
    "chunk": ("sizes of passages", "--set chunk.max_characters=1200, or --tune"),
    "encoder": ("encoder", "--encoder DIR, none: --set encoder.path="),
    "reader": ("reader", "--reader DIR, none: --set reader.path="),
    "reranker": ("reranker", "--reranker DIR, none: --set reranker.path="),
}
"""What an index keeps from run to run until it is given again: its name, and how."""
READABLE_KINDS = "text, HTML, PDF, EPUB, office files, notebooks, mails or code"


def index(source: Path, out: Path, config: IndexConfig | None = None) -> Artifact:
    """Index every file of a folder that has text, as `index_or_explain`; the current snapshot.

    Raises DataError without a document, and ArtifactError if `out` contains something else or
    another run updated the index meanwhile.
    """
    source, out = Path(source), Path(out)
    _check_out_folder(out)
    config = config or IndexConfig()
    parents = _parent_artifacts(source)
    files: dict[str, Rejected | str] = {}
    if "corpus" not in parents:
        inner = os.path.relpath(out.resolve(), source.resolve()).replace(os.sep, "/") + "/"
        plan = (e for e in plan_folder(source, config.read) if not f"{e[0]}/".startswith(inner))
        files = {path: reject or hash_source(source, path, config.read) for path, reject in plan}
    fingerprints = [(path, f if isinstance(f, str) else f.reason) for path, f in files.items()]
    values = {
        "encoder": with_digest(config.encoder),
        "reader": with_model_digest(config.reader, "extractive reader"),
        "reranker": with_model_digest(config.reranker, "reranker"),
        "source_digest": digest(sorted(fingerprints)),
    }
    config = config.model_copy(update=values)
    snapshot_id = digest([VERSION, config.to_dict(), *(each.id for each in parents.values())])[:16]
    snapshot_path = out / "snapshots" / snapshot_id
    before = current_name(out)
    snapshot = _open_complete(snapshot_path, config.encoder.store)
    if snapshot is None:
        snapshot = _make_snapshot(config, files, parents, source, snapshot_path, before)
        if CHANGED in {each.reason for each in read_rejected(snapshot_path)}:
            snapshot_id = uuid4().hex[:16]  # it is not of the files that gave it its name
            snapshot_path = snapshot_path.rename(snapshot_path.with_name(snapshot_id))
            snapshot = Artifact.open(snapshot_path, kind="index")
    changes = _describe_changes(out, before, snapshot_path)
    with _report_full_disk(out):
        if before and (other := read_root(out)) not in (None, str(source.resolve())):
            record.log(f"{out} was an index of {other}; it is one of {source} now.")
        set_current(out, before, snapshot_id, changes)
        write_root(out, None if "corpus" in parents else source)
    if not (snapshot_path / MANIFEST).is_file():  # removed by another run before the move
        return index(source, out, config)
    _log_numbers(snapshot, changes)
    return snapshot


def _log_numbers(snapshot: Artifact, changes: str) -> None:
    numbers = snapshot.numbers
    record.log(f"Documents: {numbers['documents']} ({changes}), passages: {numbers['passages']}.")
    indexed, text = (numbers.get(f"{name}_characters", 1) for name in ("indexed", "text"))
    if indexed > text:
        times = f"{indexed / text:.2f} times the {text:,} characters of the text"
        record.log(f"Overlap: the passages have {indexed:,} characters, {times}.")
    if "recall" in numbers:
        kept = "" if numbers["recall"] >= MIN_RECALL else "; too few, so all are compared"
        share = f"{numbers['recall']:.3f} of the nearest ten{kept}"
        record.log(f"Vectors: {numbers['runs']:,}; their search finds {share}.")
    for line in left_out_lines(read_rejected(snapshot.path)):
        record.log(line)


def _make_snapshot(
    config: IndexConfig,
    files: Mapping[str, Rejected | str],
    parents: Mapping[str, Artifact],
    source: Path,
    out: Path,
    before: str | None,
) -> Artifact:
    """Read what is new, or the corpus, into a new snapshot; a failed one is removed."""
    corpus, total = parents.get("corpus"), len(files)
    check_encoder(config.encoder)  # before everything is read
    try:
        with _report_full_disk(out.parent.parent), ExitStack() as stack:
            if corpus:
                made = read_corpus(corpus, config)
                total = sum(corpus.numbers["documents"].values())
            else:
                earlier = earlier_snapshot(out.parent / before, VERSION, config) if before else None
                if earlier:
                    stack.enter_context(earlier.file)
                made = stack.enter_context(read_files(source, files, config, earlier))

            def write(draft: Draft) -> None:
                _write_index(draft, made, files, source, total)
                if config.encoder.path:
                    _encode_runs(draft, config.encoder, before)

            return produce(
                out, kind="index", stage="index", version=VERSION, config=config, parents=parents,
                write=write,
            )  # fmt: skip
    except Exception:
        _remove_unfinished(out)
        raise


def index_or_explain(
    source: Path, out: Path, config: IndexConfig | None = None, *, encoder: Path | None = None,
    reader: Path | None = None, reranker: Path | None = None, why: str | None = None,
    tune: bool = False, strategies: list[str] | None = None,
    questions: list[Path] | None = None, test: Artifact | None = None,
) -> Artifact | str:  # fmt: skip
    """Index every file of a folder that has text; again: only what changed is new, and models and
    sizes stay as they were unless others are given.

    HTML, PDF, EPUB, office files, notebooks, LaTeX, mails, and any file of plain text: Markdown,
    CSV, YAML, logs, code of any language. What is left out is counted by reason and listed in the
    snapshot's rejected.json; `--why` says it of one file. Nothing is written if no file changed.

    source   folder of documents, including its subfolders
    out      directory of the index
    encoder  directory of a text encoder, as Sentence Transformers or groundup wrote it: questions
             in other words than the documents' are answered too, or shown the nearest place
    reader   directory of an extractive reader, as `groundup reader` wrote it or of BERT fine-tuned
             on SQuAD 2.0: it refuses what only speaks of the same thing
    reranker  directory of a cross-encoder, as `groundup reranker` wrote it or of ms-marco's format:
             it orders the passages that words find
    why      a file of the folder or the corpus, or FILE#MEMBER: say how it is read or why not, and
             index nothing
    tune     compare sizes of passages on the questions of --test or --questions, and index with
             the best
    strategies  a way to split that --tune compares, such as fixed; may be given again
    questions  file of your questions for --tune, as `calibrate` takes them; may be given again
    test     a test set (`groundup testset make`) whose validation part --tune asks; what is sealed
             is not read
    """
    if (strategies or questions or test) and not tune:
        name = "strategies" if strategies else "questions" if questions else "test"
        raise ConfigError(f"--{name} is for --tune; give that too.")
    if tune and bool(questions) == bool(test):
        raise ConfigError(
            "--tune asks the validation part of a test set (--test, which `groundup testset make` "
            "writes) or questions of yours (--questions mine.jsonl); give one of both."
        )
    if why == "":
        raise ConfigError("--why names no file; give the path of one, such as: --why notes.md")
    if why is not None:
        return explain_reading(Path(source), why, config)
    config = config or IndexConfig()
    for name, path in (("encoder", encoder), ("reader", reader), ("reranker", reranker)):
        if path is not None:
            model = getattr(config, name).model_copy(update={"path": str(path)})
            config = config.model_copy(update={name: model})
    config = _with_earlier_settings(config, Path(out))
    if tune:
        config = _tune(Path(source), Path(out), config, strategies or (), questions or (), test)
    return index(source, out, config)


def _with_earlier_settings(config: IndexConfig, out: Path) -> IndexConfig:
    """The settings that are not given, as the current snapshot has them, which is told.

    Of a damaged index they are those of the newest snapshot that says them.
    """
    manifests = (out / "snapshots").glob(f"*/{MANIFEST}")
    written = sorted(manifests, key=lambda file: file.stat().st_mtime)
    current = out / "snapshots" / str(current_name(out))
    earlier = None
    for place in (current, *(file.parent for file in reversed(written))):
        with suppress(ArtifactError):
            earlier = read_manifest(place).config if earlier is None else earlier
    if earlier is None:
        if written:
            record.log("No snapshot says its settings; give encoder, reader and sizes again.")
        return config
    kept = dict[str, Any]()
    for field in KEPT_SETTINGS:
        now = getattr(config, field)
        given = {key: getattr(now, key) for key in now.model_fields_set}
        values = {key: value for key, value in earlier.get(field, {}).items() if key != "digest"}
        if given.get("path", values.get("path")) != values.get("path"):
            continue  # another model, or none
        with suppress(ConfigError, ValueError):  # of another version
            found = type(now).model_validate(values | given)
            kept |= {field: found} if found != now else {}
    for field in sorted(kept):
        was = getattr(kept[field], "path", "") or "of before"
        record.log(f"Keeps the {KEPT_SETTINGS[field][0]} {was}; other: {KEPT_SETTINGS[field][1]}")
    return config.model_copy(update=kept)


def _tune(
    source: Path, out: Path, config: IndexConfig, strategies: Sequence[str],
    questions: Sequence[Path], test: Artifact | None,
) -> IndexConfig:  # fmt: skip
    from .calibration.calibrate import read_questions  # imports numpy
    from .chunks.tune import Questions, place_questions, size_grid, tune, validation_questions

    _check_out_folder(out)
    corpus = _parent_artifacts(source).get("corpus")
    if corpus:
        documents = (Record.from_json(each.line) for each in read_corpus(corpus, config))
    else:
        documents = (e for e in read_folder(source, config.read) if isinstance(e, Record))
    embed = None
    if config.encoder.path and "semantic" in (config.chunk.strategy, *strategies):
        from .encoders.vectors import open_encoder  # imports numpy

        embed = open_encoder(with_digest(config.encoder)).embed
    asked = [each for path in questions for each in read_questions(Path(path))]
    asks = validation_questions(test) if test else Questions(partial(place_questions, asked))
    grid = size_grid(config.chunk, strategies)
    best = tune(documents, grid, out / CURVE, asks, config.chunk, embed)
    if test:
        from groundup.measure import record_choice

        record_choice(test, "index --tune", f"{best.strategy}, {best.max_characters} characters")
        record.log(f"Recorded in {test.path}; its sealed part was not read.")
    return config.model_copy(update={"chunk": best})


def explain_reading(source: Path, path: str, config: IndexConfig | None = None) -> str:
    """How a file of a folder is read, or why it is left out; DataError if there is no such file.

    Of a corpus: a document by its path in the source, with or without the source's name.
    """
    config = config or IndexConfig()
    if corpus := _parent_artifacts(source).get("corpus"):
        return "\n".join(_explain_histories(corpus, path, config))
    name = os.path.relpath(source / path if not Path(path).exists() else path, source)
    plan = dict(plan_folder(source, config.read))
    member, name = name, file_of(name, plan.__contains__)
    folders = [str(parent) for parent in PurePosixPath(name).parents]
    hidden = next((plan[folder] for folder in folders if plan.get(folder)), None)
    if name not in plan and hidden is None:
        raise DataError(f"{source} has no file {name}; paths are relative to the folder.")
    data = hidden or plan[name] or file_bytes(source, name, config.read.max_bytes)
    if isinstance(data, Rejected):
        return _describe_reading(data._replace(path=name), config)
    lines = [
        _describe_reading(item, config) for item in read_data(name, data, config.read)
        if member in (name, item.path) or member.startswith(f"{item.path}/")
    ]  # fmt: skip
    if not lines:
        raise DataError(f"{name} has no {member}; `--why {name}` lists what is in it.")
    return "\n".join(lines)


def _describe_reading(document: Record | Rejected, config: IndexConfig) -> str:
    if isinstance(document, Rejected):
        left_out = f"{document.path} is left out, {document.reason}: {document.details}"
        return left_out.removesuffix(": ")
    passages = chunk_document(document, config.chunk)
    skipped = sum(end - start for start, end in document.metadata.get(NAVIGATION, ()))
    return (
        f"{document.path} is read as {document.kind}, {language_of(document.text)}: "
        f"{len(document.text):,} characters in {len(passages)} passage{'s' * (len(passages) != 1)}"
        + (f"; {skipped:,} characters of menus or the like are in none" if skipped else "")
    )


def _explain_histories(corpus: Artifact, name: str, config: IndexConfig) -> Iterator[str]:
    """Yield how documents of a corpus are read or why they were dropped; a file of many as one."""
    from groundup.corpus import RecordHistory, read_split, why

    for history in why(corpus, name):
        if not isinstance(history, RecordHistory):
            yield str(history)
        elif history.split:
            records = read_split(corpus, history.split)
            yield _describe_reading(next(r for r in records if r.id == history.id), config)
        else:
            yield f"{history.path} is left out, {history.drop_reason()}"


def _open_complete(snapshot: Path, store: str) -> Artifact | None:
    """Open a snapshot if it is complete; a damaged one is removed, to be made again."""
    if not (snapshot / MANIFEST).is_file():
        if snapshot.is_dir() and not (snapshot / ".scratch").exists():  # it lost its manifest
            record.log(f"{snapshot} has no {MANIFEST}; it is made again.")
            _remove_unfinished(snapshot)
        return None
    is_complete = True
    if store:
        from .encoders.postgres import has_all_runs  # imports numpy

        is_complete = has_all_runs(snapshot)
    try:
        if not is_complete:
            raise ArtifactError(f"{snapshot} lacks vectors in its database; index again.")
        return Artifact.open(snapshot, kind="index")
    except ArtifactError as error:
        record.log(f"{error} This is done now.")
        with lock_folder(snapshot):
            remove_snapshot(snapshot)
        return None


def _remove_unfinished(snapshot: Path) -> None:
    """Remove what a failed run wrote, which a full disk needs back, unless another run writes."""
    with suppress(ArtifactError, OSError), lock_folder(snapshot):
        if not (snapshot / MANIFEST).exists():
            remove_snapshot(snapshot)


@contextmanager
def _report_full_disk(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise disk_error(out, error) from error


def _check_out_folder(out: Path) -> None:
    found = sorted({path.name for path in out.iterdir()} - {CURVE}) if out.is_dir() else []
    if found and not {"ledger", "snapshots"} & set(found):
        raise ArtifactError(
            f"{out} is not empty and holds no index ({found[0]} is in it); choose another --out."
        )


def _parent_artifacts(source: Path) -> dict[str, Artifact]:
    """The documents or corpus that a folder is, as the index's parent; empty for other folders.

    Raises ArtifactError for an artifact of another kind.
    """
    kind = artifact_kind(source)
    if kind not in ("", "documents", "corpus"):
        raise ArtifactError(
            f"{source} is a {kind} artifact; expected a folder of {READABLE_KINDS}, or a corpus."
        )
    return {kind: Artifact.open(source, kind=kind)} if kind else {}


def _write_index(
    draft: Draft,
    documents: Iterable[Prepared],
    files: Mapping[str, Rejected | str],
    source: Path,
    total: int,
) -> None:
    """Write documents and passages as they come; DataError without one."""
    entries, rejected, characters = list[DocumentEntry](), list[Rejected](), Counter[str]()
    lexical, start, last = LexicalIndex(draft.file("lexical")), 0, ""
    with (
        open(draft.file("documents.jsonl"), "wb") as file,
        record.progress("index", total=total, unit="files") as bar,
    ):
        for item in documents:
            is_rejected = isinstance(item, Rejected)
            whole = item.path if is_rejected else item.entry.file or item.entry.path
            name = whole.partition("#")[0]  # without the page of a PDF
            bar.advance(name != last)
            last = name
            if is_rejected:
                rejected.append(item)
                continue
            file.write(item.line)
            lexical.add_prepared(item.passages)
            characters.update(count_characters(each.span for each in item.passages))
            entries.append(item.entry._replace(start=start))
            start += len(item.line)
    if not entries:
        raise _no_documents(source, rejected)
    lexical.commit()
    draft.numbers |= {"documents": len(entries), "left_out": len(rejected), **characters}
    draft.numbers["passages"] = len(lexical)
    del lexical
    name_segments_by_content(draft.file("lexical"))
    write_json(draft.file("documents.json"), [list(place) for place in entries])
    read = sorted(files.keys() - {each.path for each in rejected if each.reason == CHANGED})
    write_json(draft.file("files.json"), {p: files[p] for p in read if isinstance(files[p], str)})
    write_json(draft.file("rejected.json"), [list(item) for item in rejected])


def _encode_runs(draft: Draft, config: TextEncoderConfig, before: str | None) -> None:
    """Write the vectors of a snapshot's runs of sentences, document by document."""
    from .encoders.vectors import open_vectors, runs_of, write_vectors  # imports numpy

    by_document = defaultdict[str, list[Passage]](list)
    passages = LexicalIndex(draft.file("lexical")).passages()
    for passage in sorted(passages, key=lambda passage: passage.start):
        by_document[passage.document].append(passage)
    runs = []
    with open(draft.file("documents.jsonl"), "rb") as file:
        for entry in read_entries(draft.file("documents.json")):
            file.seek(entry.start)
            document = Record.from_json(file.read(entry.length))
            texts = (
                PassageText(Hit(passage, 1.0), document, entry.language)
                for passage in by_document[entry.id]
            )
            runs += [run for text in texts for run in runs_of(text)]
    earlier = None
    with suppress(ArtifactError):  # damaged ones are made anew
        earlier = open_vectors(draft.path.parent / str(before))
    encoded = write_vectors(draft, runs, config, earlier)
    draft.numbers |= {"runs": len(runs), "encoded": encoded}


def _no_documents(source: Path, rejected: list[Rejected]) -> DataError:
    found = f"{len(rejected)} files that cannot be used" if rejected else "no files"
    first = f" (first: {rejected[0].path}: {rejected[0].reason})" if rejected else ""
    return DataError(
        f"{source} holds {found}{first}; expected {READABLE_KINDS}. An index made before stays as "
        "it was; remove its directory if nothing is to be answered from it."
    )


def _describe_changes(out: Path, before: str | None, now: Path) -> str:
    """How many documents of a snapshot are not as in the one before: "2 added, 9 unchanged"."""
    old: dict[str, str] = {}
    table = out / "snapshots" / str(before) / "documents.json"
    with suppress(ArtifactError):  # of a damaged one nothing is known
        old = {place.path: place.sha256 for place in read_entries(table)}
    new = {place.path: place.sha256 for place in read_entries(now / "documents.json")}
    same, kept = len(old.items() & new.items()), len(old.keys() & new.keys())
    counts = {"added": len(new) - kept, "changed": kept - same, "deleted": len(old) - kept,
              "unchanged": same}  # fmt: skip
    return ", ".join(f"{number} {name}" for name, number in counts.items() if number)
