"""Withdrawal: a document, a source or a licence leaves, and who was made from it is named.

A corpus is never edited. Withdrawing writes a new one without the records, with what was derived of
them and what holds their text as their copy gone too, tells in the old one's ledger that they were
withdrawn, and follows lineage to every artifact that holds the old one among its ancestors: tokens,
models, adapters, reports. Those must be made again or removed; nothing is deleted here.
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
    artifacts_below,
    artifacts_beside,
    needed,
    produce,
    record,
    replacing,
    user_name,
    write_json,
    write_text,
)
from groundup.documents import Removal, removal_schema, removals_to_batch

from ..engine.shards import COMPRESSION
from ..prepare.write import PIPELINE, Size, count_document, histograms, licences, splits
from ..split import COUNTERS, SPLITS
from .leaving import ID, Leaving, WithdrawConfig, leaving
from .reading import WITHDRAWN, counted, counters, record_shards

WITHDRAWALS = Path("ledger") / "withdrawn.jsonl"


class Touched(NamedTuple):
    """An artifact that was made from what is withdrawn."""

    kind: str
    path: str
    id: str


class Withdrawal(NamedTuple):
    """What a withdrawal did."""

    corpus: str
    """Where the corpus without them is."""
    records: tuple[str, ...]
    """Ids of what left."""
    touched: tuple[Touched, ...]
    """What holds them still, the old corpus first of all: make it again, or remove it."""
    unmatched: tuple[str, ...] = ()
    """What was named and means no document, such as `licences GPL-*`."""

    def __str__(self) -> str:
        """What left, and a line for every artifact that holds it still."""
        said = f"{counted(len(self.records), 'document')} withdrawn"
        lines = [f"{said}; without {'it' if len(self.records) == 1 else 'them'}: {self.corpus}"]
        lines += [f"No document is meant by {one}." for one in self.unmatched]
        if self.touched:
            lines.append("These hold them; make them again or remove them:")
        lines += [f"  {one.kind:<10} {one.id[:12]}  {one.path}" for one in self.touched]
        return "\n".join(lines)


def withdraw(
    config: WithdrawConfig, corpus: Artifact, out: Path, *, among: Path | None = None
) -> Withdrawal:
    """Write a corpus without some documents and name every artifact that was made from them.

    among  folder whose artifacts are looked through; by default those near the corpus

    Raises ConfigError if nothing is named, DataError if nothing is meant by it.
    """
    if not (config.documents or config.licences or config.sources):
        raise ConfigError("Name what leaves: documents, licences or sources.")
    told, left_out = counters(corpus), list[Leaving]()
    near = list(artifacts_below(among) if among else artifacts_beside(corpus.path))
    produce(
        out, kind="corpus", stage="withdraw", version=3, config=config,
        parents={"corpus": corpus},
        write=lambda draft: left_out.append(write(draft, config, corpus)),
    )  # fmt: skip
    leaves = left_out[0] if left_out else leaving(corpus, config)  # it was there already
    gone = sorted(leaves.kept)
    left = Ledger(corpus.path / WITHDRAWALS)
    entry = {"who": user_name(), "what": config.plain(), "records": len(gone)}
    if all(old.content.get("what") != entry["what"] for old in left.read()):
        left.append(entry | {"of": sum(one["documents"] for one in told["splits"].values())})
    made = [one for one in touched(corpus, near) if Path(one.path).resolve() != Path(out).resolve()]
    return Withdrawal(str(out), tuple(gone), tuple(made), leaves.unmatched)


def touched(corpus: Artifact, near: Iterable[Artifact]) -> Iterator[Touched]:
    """Yield the artifacts that have the corpus among their ancestors, and the corpus itself."""
    known = {one.id: one for one in near} | {corpus.id: corpus}
    for one in known.values():
        if corpus.id in needed([one.id], known):
            yield Touched(one.kind, str(one.path), one.id)


def write(draft: Draft, config: WithdrawConfig, corpus: Artifact) -> Leaving:
    """Write the corpus without what leaves; who left."""
    leaves, told = leaving(corpus, config), counters(corpus)
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name in record_shards(corpus):
        write_shard(corpus.file(name), draft.file(name), leaves, counts)
    every = sum(counts.values(), Counter[str]())
    split = splits(every)
    if not split["train"]["documents"]:
        raise DataError("Nothing would be left to train on; remove the corpus instead.")
    left = sum(one["documents"] for one in split.values())
    record.say(f"Out: {counted(len(leaves.kept), 'document')}; {left:,} stay.")
    step = f"{WITHDRAWN} {past}" if (past := withdrawals(told) + 1) > 1 else WITHDRAWN
    write_log(draft, corpus, leaves, step)
    origin = {
        "pipeline": corpus.config if corpus.stage == "prepare" else told.get("pipeline"),
        "withdrawn_from": [*told.get("withdrawn_from", ()), corpus.id],
    }
    write_json(draft.file(COUNTERS), after(told, leaves, counts, step) | origin)
    if PIPELINE in corpus.files:
        write_text(draft.file(PIPELINE), corpus.file(PIPELINE).read_text(encoding="utf-8"))
    gone = sorted(leaves.kept)
    write_json(draft.file("withdrawn.json"), gone)
    draft.numbers |= {
        "documents": {name: one["documents"] for name, one in split.items()},
        "bytes": {name: one["bytes"] for name, one in split.items()},
        "withdrawn": len(gone),
    }
    return leaves


def withdrawals(told: Mapping[str, Any]) -> int:
    """How often something was withdrawn before."""
    return sum(step["name"].startswith(WITHDRAWN) for step in told["steps"])


@contextmanager
def parquet_at(path: Path, columns: Any) -> Iterator[Any]:
    """The writer of a Parquet file that appears whole."""
    import pyarrow.parquet as parquet

    with (
        replacing(path) as temporary,
        parquet.ParquetWriter(temporary, columns, compression=COMPRESSION) as writer,
    ):
        yield writer


def write_shard(
    source: Path, target: Path, leaves: Leaving, counts: dict[str, Counter[str]]
) -> None:
    """Write a shard's records but those that leave, a row group in memory; count them by source."""
    import pyarrow as arrow
    import pyarrow.compute as compute
    import pyarrow.parquet as parquet

    gone = compute.SetLookupOptions(value_set=arrow.array(list(leaves.kept), arrow.string()))
    split, rows = target.parent.name, 0
    with parquet.ParquetFile(source) as file, parquet_at(target, file.schema_arrow) as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            is_gone = compute.call_function("is_in", [table["id"]], gone)
            table = table.filter(compute.call_function("invert", [is_gone]))
            rows += len(table)
            count(table, split, counts)
            if len(table):
                writer.write_table(table)
    if not rows:
        target.unlink()


def count(table: Any, split: str, counts: dict[str, Counter[str]]) -> None:
    """Count documents, their sizes and their numbers by source, as a run's ending does."""
    import pyarrow.compute as compute

    measures = ("utf8_length", "binary_length")
    sizes = (compute.call_function(measure, [table["text"]]) for measure in measures)
    columns = (table["source"], *sizes, table["metadata"])
    rows = zip(*(column.to_pylist() for column in columns), strict=True)
    for source, characters, size, stated in rows:
        metadata, own = json.loads(stated), counts[source]
        is_derived = bool(metadata.get("synthetic"))
        count_document(split, Size(characters, size), metadata, own, is_derived=is_derived)


def write_log(draft: Draft, corpus: Artifact, leaves: Leaving, step: str) -> None:
    """Carry the log of removals over, without the texts of what leaves, and add who left."""
    import pyarrow.parquet as parquet

    for name in sorted(corpus.files):
        if name.startswith("removed/"):
            with (
                parquet.ParquetFile(corpus.file(name)) as file,
                parquet_at(draft.file(name), removal_schema()) as writer,
            ):
                for batch in file.iter_batches():
                    rows = [Removal(**row) for row in batch.to_pylist()]
                    silent = [blank(one) if leaves.concerns(one) else one for one in rows]
                    writer.write_batch(removals_to_batch(silent))
    rows = [
        Removal(*one[:3], step, "record", WITHDRAWN, None, "", 0, 0, 0, 0, "", "")
        for one in leaves.kept.values()
    ]  # fmt: skip
    name = f"removed/99-{step.replace(' ', '-')}.parquet"
    with parquet_at(draft.file(name), removal_schema()) as writer:
        writer.write_batch(removals_to_batch(rows))


def blank(one: Removal) -> Removal:
    """A row of the log that tells step, reason, place and whose copy it was, and no text."""
    details = one.details if ID.search(one.details) else ""
    return one._replace(text="", put="", details=details)


def after(
    told: Mapping[str, Any], leaves: Leaving, counts: Mapping[str, Counter[str]], step: str
) -> dict[str, Any]:
    """The counters with a last step that took what left."""
    every = sum(counts.values(), Counter[str]())
    by_source = Counter(one.source for one in leaves.kept.values())
    sources = {
        name: source
        | {"splits": splits(counts.get(name, {})), "licences": licences(counts.get(name, {}))}
        | {"steps": [*source["steps"], funnel_row(step, by_source[name], counts.get(name, {}))]}
        for name, source in told["sources"].items()
    }
    return {
        **told,
        "steps": [*told["steps"], funnel_row(step, len(leaves.kept), every)],
        "sources": sources,
        "splits": splits(every),
        "licences": licences(every),
        "reasons": Counter(told["reasons"]) + Counter({WITHDRAWN: len(leaves.kept)}),
        "histograms": histograms(every),
        WITHDRAWN: len(leaves.kept) + told.get(WITHDRAWN, 0),
    }


def funnel_row(name: str, gone: int, counts: Mapping[str, int]) -> dict[str, Any]:
    """What a withdrawal took, as a step of the funnel."""
    left = {unit: sum(counts.get(f"split|{split}|{unit}", 0) for split in SPLITS)
            for unit in ("documents", "characters")}  # fmt: skip
    return {
        "name": name, "in": gone + left["documents"], "out": left["documents"],
        "characters": left["characters"], "taken": {"record": {WITHDRAWN: gone}} if gone else {},
    }  # fmt: skip
