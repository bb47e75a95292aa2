"""Withdrawal: remove a document, a source or a licence, and list the artifacts made from it.

A corpus is never edited. A withdrawal writes a new one without the records, their derivations and
the copies of their text, records it in the old corpus's ledger, and follows the lineage to every
artifact that descends from the old corpus: tokens, models, adapters, reports. Those must be rebuilt
or deleted; nothing is deleted here.

Removed are the records selected, those derived from them, and copies of their text. A document that
was dropped as a duplicate is in the corpus under another name, which the log of removals states;
that record is removed too. A dropped document whose text is spread over several records cannot be
traced, and then the withdrawal is refused with what to do.
"""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    Artifact,
    Config,
    ConfigError,
    DataError,
    Draft,
    Ledger,
    atomic_replace,
    find_artifacts,
    find_nearby_artifacts,
    produce,
    reachable,
    record,
    user_name,
    write_json,
    write_text,
)
from groundup.documents import Removal, find_licences, removal_schema, removals_to_batch

from ..engine.job import LICENCE_KEYS
from ..engine.shards import COMPRESSION
from ..prepare.stage import PIPELINE_TOML
from ..prepare.write import (
    count_document,
    histograms,
    licence_counts,
    split_sizes,
)
from ..split import COUNTERS_FILE, SPLITS
from .reading import (
    WITHDRAW_STAGE,
    WITHDRAWN_REASON,
    RecordInfo,
    format_count,
    is_in_file,
    matches_name,
    read_counters,
    read_record_infos,
    read_removals,
    record_shards,
)

WITHDRAWALS_LEDGER = Path("ledger") / "withdrawn.jsonl"
RECORD_ID = re.compile(r"\b[0-9a-f]{32}\b")
COPY_REASON = re.compile(r"(?i)duplicate|cop(y|ies)\b|same|seen before|joined to")
"""Reasons of records that were dropped because their text is in another record."""
SEVERAL_COPIES_REASON = re.compile(r"(?i)seen before|repositor")
"""Those of them where it is in several records, of which details name at most one."""
EARLIER_CORPUS = "of an earlier corpus"
LICENCE_SEPARATOR = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()/,]+", re.IGNORECASE)
"""Separators of licences in SPDX expressions and in informal ones such as `MIT/Apache-2.0`."""
SELECTION_KINDS = ("documents", "licences", "sources")
DROPPED_COLUMNS = ("id", "source", "path", "what", "reason", "details")


class WithdrawConfig(Config):
    """What to remove; a record is removed if any of these selects it."""

    documents: tuple[str, ...] = ()
    """Ids (6 hex digits or more) or paths; a file's path selects all its records."""
    licences: tuple[str, ...] = ()
    """SPDX expressions with `*` as wildcard, matched against every part of a record's expression:
    `GPL-*` selects `MIT OR GPL-3.0-only` too."""
    sources: tuple[str, ...] = ()
    """Names of sources."""
    reason: str = ""
    """Reason, for the ledger."""


class WithdrawalClosure(NamedTuple):
    """The records that a withdrawal removes."""

    kept: dict[str, RecordInfo]
    """Records of the corpus, by id."""
    dropped: frozenset[str]
    """Ids of selected records that were dropped before; only the log mentions them."""
    unmatched: tuple[str, ...] = ()
    """Patterns that select no record, such as `licences GPL-*`: possibly a typing error."""

    def contains_text(self, one: Removal) -> bool:
        """Whether a row of the log contains text of a removed record or its copy."""
        ids = (one.id, *RECORD_ID.findall(one.details))
        return any(id in self.kept or id in self.dropped for id in ids)


def withdrawal_closure(corpus: Artifact, config: WithdrawConfig) -> WithdrawalClosure:
    """Find the records to remove; DataError if there is none or a copy cannot be found."""
    infos = {one.id: one for _, one in read_record_infos(corpus)}
    removed, dropped_before, used_patterns = set[str](), set[str](), set[str]()
    for id, info in infos.items():
        for part in (info, *_joined_messages(info)):
            if patterns_met := set(_matching_patterns(part, config)):
                removed.add(id)
                used_patterns |= patterns_met
    if config.documents or config.sources:
        selected = []
        for one in _read_dropped(corpus):
            patterns_met = set(_matching_patterns(one, config.model_copy(update={"licences": ()})))
            if any(what.startswith("documents ") for what in patterns_met):
                selected.append(one)
            if patterns_met:
                dropped_before.add(one.id)
                used_patterns |= patterns_met
        if any(COPY_REASON.search(one.reason) for one in selected):
            dropped_by_id = {one.id: one for one in _read_dropped(corpus)}
            removed |= {id for one in selected for id in _find_copies(one, infos, dropped_by_id)}
    if not removed and not dropped_before:
        raise DataError(
            f"{corpus.path} has no document selected by {describe_selection(config)}; "
            "`groundup corpus report` shows ids, paths, sources and licences."
        )
    removed |= set(_derived_ids(removed | dropped_before, infos.values()))
    patterns = [f"{kind} {name}" for kind in SELECTION_KINDS for name in getattr(config, kind)]
    unmatched = tuple(one for one in patterns if one not in used_patterns)
    kept = {id: one for id, one in infos.items() if id in removed}
    return WithdrawalClosure(kept, frozenset(dropped_before), unmatched)


def _joined_messages(info: RecordInfo) -> Iterator[RecordInfo]:
    """Yield the messages that `conversations.join` merged into a record."""
    rows = info.metadata.get("messages") if "thread" in info.metadata else None
    for row in rows if isinstance(rows, list) else ():
        yield RecordInfo(row["id"], row["source"], row["path"], {"licence": row["licence"]})


def _read_dropped(corpus: Artifact) -> Iterator[Removal]:
    return (one for one in read_removals(corpus, DROPPED_COLUMNS) if one.what == "record")


def _find_copies(
    removal: Removal, infos: Mapping[str, RecordInfo], dropped_by_id: Mapping[str, Removal]
) -> Iterator[str]:
    if removal.id in infos:  # a second record of that id was dropped: the first is selected already
        return
    seen, queue = {removal.id}, [removal]
    for row in queue:  # grows: the copy kept then may have been dropped later for another
        if not COPY_REASON.search(row.reason):
            continue
        if EARLIER_CORPUS in row.reason:
            record.log(f"{row.path} was dropped for {row.details}: withdraw it there too.")
            continue
        copies = _ids_in_details(row.details, infos, dropped_by_id)
        if not copies or SEVERAL_COPIES_REASON.search(row.reason):
            details = f" ({row.details})" if row.details else ""
            raise DataError(
                f"{removal.path} was dropped as {row.reason!r}{details}, so its text is in other "
                "documents that the log does not name: find them by a phrase and list them in "
                f"`documents` instead of {removal.path}, or prepare the corpus without that file."
            )
        yield from (id for id in copies if id in infos)
        queue += [dropped_by_id[id] for id in copies if id not in infos and id not in seen]
        seen.update(copies)


def _ids_in_details(
    details: str, infos: Mapping[str, RecordInfo], dropped_by_id: Mapping[str, Removal]
) -> list[str]:
    """Ids of the records that details name, by id or, as custom steps may, by `of PATH`."""
    if ids := [id for id in RECORD_ID.findall(details) if id in infos or id in dropped_by_id]:
        return ids
    path = details.removeprefix("of ") if details.startswith("of ") else ""
    rows = (*infos.items(), *dropped_by_id.items())
    return [id for id, one in rows if path and one.path == path]


def _derived_ids(removed: set[str], infos: Iterable[RecordInfo]) -> Iterator[str]:
    children: dict[str, list[str]] = {}
    for one in infos:
        if parent := one.metadata.get("parent"):
            children.setdefault(str(parent), []).append(one.id)
    queue, seen = list(removed), set(removed)
    for id in queue:
        new = [child for child in children.get(id, ()) if child not in seen]
        yield from new
        seen.update(new)
        queue += new


def describe_selection(config: WithdrawConfig) -> str:
    """A withdrawal's selection in words.

    >>> describe_selection(WithdrawConfig(documents=("a.md", "b.md"), sources=("web",)))
    'documents a.md, b.md; sources web'
    """
    named = {kind: getattr(config, kind) for kind in SELECTION_KINDS}
    return "; ".join(f"{what} {', '.join(names)}" for what, names in named.items() if names)


def _matching_patterns(one: Any, config: WithdrawConfig) -> Iterator[str]:
    if one.source in config.sources:
        yield f"sources {one.source}"
    for name in config.documents:
        if matches_name(name, one) or is_in_file(name, one):
            yield f"documents {name}"
    if config.licences:
        licences = [part for key in LICENCE_KEYS for part in _licence_parts(one.metadata.get(key))]
        for name in config.licences:
            if any(fnmatchcase(own, name.lower()) for own in licences):
                yield f"licences {name}"


def _licence_parts(stated: Any) -> list[str]:
    """An SPDX expression and every licence and exception in it, in lower case."""
    parts = [
        part
        for one in find_licences(stated)
        for part in (str(one), *LICENCE_SEPARATOR.split(str(one)))
    ]
    return list(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))


class AffectedArtifact(NamedTuple):
    """An artifact that was made from withdrawn records."""

    kind: str
    path: str
    id: str


class WithdrawalResult(NamedTuple):
    """The result of a withdrawal."""

    corpus: str
    """Path of the corpus without the records."""
    records: tuple[str, ...]
    """Ids of the removed records."""
    touched: tuple[AffectedArtifact, ...]
    """Artifacts that still contain them, including the old corpus: rebuild or delete them."""
    unmatched: tuple[str, ...] = ()
    """Patterns that select no document, such as `licences GPL-*`."""

    def __str__(self) -> str:
        """The number of removed records, and one line per artifact that still contains them."""
        said = f"{format_count(len(self.records), 'document')} withdrawn"
        lines = [f"{said}; without {'it' if len(self.records) == 1 else 'them'}: {self.corpus}"]
        lines += [f"No document is selected by {one}." for one in self.unmatched]
        if self.touched:
            lines.append("These contain them; make them again or remove them:")
        lines += [f"  {one.kind:<10} {one.id[:12]}  {one.path}" for one in self.touched]
        return "\n".join(lines)


def withdraw(
    config: WithdrawConfig, corpus: Artifact, out: Path, *, among: Path | None = None
) -> WithdrawalResult:
    """Write a corpus without some documents and list every artifact that was made from them.

    among  folder whose artifacts are searched; by default those near the corpus

    Raises ConfigError without a selection, DataError if it selects nothing.
    """
    if not (config.documents or config.licences or config.sources):
        raise ConfigError("Give the documents, licences or sources to withdraw.")
    counts, results = read_counters(corpus), list[WithdrawalClosure]()
    artifacts = list(find_artifacts(among) if among else find_nearby_artifacts(corpus.path))
    produce(
        out, kind="corpus", stage=WITHDRAW_STAGE, version=3, config=config,
        parents={"corpus": corpus},
        write=lambda draft: results.append(_write_corpus_without(draft, config, corpus)),
    )  # fmt: skip
    closure = (
        results[0] if results else withdrawal_closure(corpus, config)
    )  # the new corpus existed already
    removed = sorted(closure.kept)
    ledger = Ledger(corpus.path / WITHDRAWALS_LEDGER)
    entry = {"who": user_name(), "what": config.to_dict(), "records": len(removed)}
    if all(old.content.get("what") != entry["what"] for old in ledger.read()):
        ledger.append(entry | {"of": sum(one["documents"] for one in counts["splits"].values())})
    known = {one.id: one for one in artifacts} | {corpus.id: corpus}
    affected = tuple(
        AffectedArtifact(one.kind, str(one.path), one.id)
        for one in known.values()
        if corpus.id in reachable([one.id], known)
        and Path(one.path).resolve() != Path(out).resolve()
    )
    return WithdrawalResult(str(out), tuple(removed), affected, closure.unmatched)


def _write_corpus_without(
    draft: Draft, config: WithdrawConfig, corpus: Artifact
) -> WithdrawalClosure:
    closure, counts_before = withdrawal_closure(corpus, config), read_counters(corpus)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name in record_shards(corpus):
        _write_shard(corpus.file(name), draft.file(name), closure, counts)
    total = sum(counts.values(), Counter[str]())
    split = split_sizes(total)
    if not split["train"]["documents"]:
        raise DataError("Nothing would remain to train on; remove the corpus instead.")
    remaining = sum(one["documents"] for one in split.values())
    record.log(f"Removed {format_count(len(closure.kept), 'document')}; {remaining:,} remain.")
    earlier = sum(one["name"].startswith(WITHDRAWN_REASON) for one in counts_before["steps"])
    step = f"{WITHDRAWN_REASON} {earlier + 1}" if earlier else WITHDRAWN_REASON
    _write_removals(draft, corpus, closure, step)
    origin = {
        "pipeline": counts_before.get("pipeline")
        if corpus.stage == WITHDRAW_STAGE
        else corpus.config,
        "withdrawn_from": [*counts_before.get("withdrawn_from", ()), corpus.id],
    }
    write_json(
        draft.file(COUNTERS_FILE), _updated_counters(counts_before, closure, counts, step) | origin
    )
    if PIPELINE_TOML in corpus.files:
        written = corpus.file(PIPELINE_TOML).read_text(encoding="utf-8")
        write_text(draft.file(PIPELINE_TOML), written)
    removed = sorted(closure.kept)
    write_json(draft.file("withdrawn.json"), removed)
    draft.numbers |= {
        "documents": {name: one["documents"] for name, one in split.items()},
        "bytes": {name: one["bytes"] for name, one in split.items()},
        "withdrawn": len(removed),
    }
    return closure


@contextmanager
def _parquet_writer(path: Path, columns: Any) -> Iterator[Any]:
    import pyarrow.parquet as parquet

    with (
        atomic_replace(path) as temporary,
        parquet.ParquetWriter(temporary, columns, compression=COMPRESSION) as writer,
    ):
        yield writer


def _write_shard(
    source: Path, target: Path, closure: WithdrawalClosure, counts: dict[str, Counter[str]]
) -> None:
    import pyarrow as arrow
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    ids = arrow.array(list(closure.kept), arrow.string())
    removed_ids = compute.SetLookupOptions(value_set=ids)
    split, rows = target.parent.name, 0
    with parquet.ParquetFile(source) as file, _parquet_writer(target, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            is_gone = compute.call_function("is_in", [table["id"]], removed_ids)
            table = table.filter(compute.call_function("invert", [is_gone]))
            rows += len(table)
            _count_table(table, split, counts)
            if len(table):
                writer.write_table(table)
    if not rows:
        target.unlink()


def _count_table(table: Any, split: str, counts: dict[str, Counter[str]]) -> None:
    import pyarrow.compute as compute

    measures = ("utf8_length", "binary_length")
    sizes = (compute.call_function(measure, [table["text"]]) for measure in measures)
    columns = (table["source"], *sizes, table["metadata"])
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    for source, characters, size, stated in rows:
        metadata, own = json.loads(stated), counts[source]
        is_derived = bool(metadata.get("synthetic"))
        count_document(split, (characters, size), metadata, own, is_derived=is_derived)


def _write_removals(draft: Draft, corpus: Artifact, closure: WithdrawalClosure, step: str) -> None:
    """Copy the log of removals without the texts of removed records, and add those records."""
    import pyarrow.parquet as parquet

    for name in sorted(corpus.files):
        if name.startswith("removed/"):
            with (
                parquet.ParquetFile(corpus.file(name)) as file,
                _parquet_writer(draft.file(name), removal_schema()) as writer,
            ):
                for batch in file.iter_batches():
                    rows = [Removal(**row) for row in batch.to_pylist()]
                    for at, one in enumerate(rows):
                        if closure.contains_text(one):  # step, reason, position and copy remain
                            details = one.details if RECORD_ID.search(one.details) else ""
                            rows[at] = one._replace(text="", put="", details=details)
                    writer.write_batch(removals_to_batch(rows))
    rows = [
        Removal(*one[:3], step, "record", WITHDRAWN_REASON, None, "", 0, 0, 0, 0, "", "")
        for one in closure.kept.values()
    ]  # fmt: skip
    name = f"removed/99-{step.replace(' ', '-')}.parquet"
    with _parquet_writer(draft.file(name), removal_schema()) as writer:
        writer.write_batch(removals_to_batch(rows))


def _updated_counters(
    before: Mapping[str, Any],
    closure: WithdrawalClosure,
    counts: Mapping[str, Counter[str]],
    step: str,
) -> dict[str, Any]:
    total = sum(counts.values(), Counter[str]())
    by_source = Counter(one.source for one in closure.kept.values())
    sources = {
        name: source
        | {
            "splits": split_sizes(own := counts.get(name, {})),
            "licences": licence_counts(own),
            "steps": [*source["steps"], _funnel_step(step, by_source[name], own)],
        }
        for name, source in before["sources"].items()
    }
    return {
        **before,
        "steps": [*before["steps"], _funnel_step(step, len(closure.kept), total)],
        "sources": sources,
        "splits": split_sizes(total),
        "licences": licence_counts(total),
        "reasons": Counter(before["reasons"]) + Counter({WITHDRAWN_REASON: len(closure.kept)}),
        "histograms": histograms(total),
        WITHDRAWN_REASON: len(closure.kept) + before.get(WITHDRAWN_REASON, 0),
    }


def _funnel_step(name: str, removed: int, counts: Mapping[str, int]) -> dict[str, Any]:
    remaining = {unit: sum(counts.get(f"split|{split}|{unit}", 0) for split in SPLITS)
            for unit in ("documents", "characters")}  # fmt: skip
    return {
        "name": name, "in": removed + remaining["documents"], "out": remaining["documents"],
        "characters": remaining["characters"],
        "taken": {"record": {WITHDRAWN_REASON: removed}} if removed else {},
    }  # fmt: skip
