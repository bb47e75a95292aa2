"""Withdrawal: remove a document, a source or a licence, and list the artifacts made from it.

A corpus is never edited. A withdrawal writes a new one without the records, their derivations and
the copies of their text, records it in the old corpus's ledger, and follows the lineage to every
artifact that descends from the old corpus: tokens, models, adapters, reports. Those must be rebuilt
or deleted; nothing is deleted here.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import (
    Artifact,
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
from groundup.documents import Removal, removal_schema, removals_to_batch

from ..engine.shards import COMPRESSION
from ..prepare.stage import PIPELINE_TOML
from ..prepare.write import (
    count_document,
    histograms,
    licence_counts,
    split_sizes,
)
from ..split import COUNTERS_FILE, SPLITS
from .reading import WITHDRAW_STAGE, WITHDRAWN_REASON, format_count, read_counters, record_shards
from .withdrawal_closure import RECORD_ID, WithdrawalClosure, WithdrawConfig, withdrawal_closure

WITHDRAWALS_LEDGER = Path("ledger") / "withdrawn.jsonl"


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
    made = [
        one
        for one in _affected_artifacts(corpus, artifacts)
        if Path(one.path).resolve() != Path(out).resolve()
    ]
    return WithdrawalResult(str(out), tuple(removed), tuple(made), closure.unmatched)


def _affected_artifacts(
    corpus: Artifact, artifacts: Iterable[Artifact]
) -> Iterator[AffectedArtifact]:
    known = {one.id: one for one in artifacts} | {corpus.id: corpus}
    for one in known.values():
        if corpus.id in reachable([one.id], known):
            yield AffectedArtifact(one.kind, str(one.path), one.id)


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
    """The writer of a Parquet file that appears only when complete."""
    import pyarrow.parquet as parquet

    with (
        atomic_replace(path) as temporary,
        parquet.ParquetWriter(temporary, columns, compression=COMPRESSION) as writer,
    ):
        yield writer


def _write_shard(
    source: Path, target: Path, closure: WithdrawalClosure, counts: dict[str, Counter[str]]
) -> None:
    """Write a shard without the removed records, by row group; count the rest by source."""
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
    """Count documents, sizes and measurements by source, as a run's sink does."""
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
    """The counters with the withdrawal as the last step."""
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
    """A withdrawal as a step of the funnel."""
    remaining = {unit: sum(counts.get(f"split|{split}|{unit}", 0) for split in SPLITS)
            for unit in ("documents", "characters")}  # fmt: skip
    return {
        "name": name, "in": removed + remaining["documents"], "out": remaining["documents"],
        "characters": remaining["characters"],
        "taken": {"record": {WITHDRAWN_REASON: removed}} if removed else {},
    }  # fmt: skip
