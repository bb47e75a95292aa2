"""Withdrawal: a document, a source or a licence leaves, and who was made from it is named.

A corpus is never edited. Withdrawing writes a new one without the records, tells in the old one's
ledger that they were withdrawn, and follows lineage to every artifact that holds the old one among
its ancestors: tokens, models, adapters, reports. Those must be made again or removed; nothing is
deleted here.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from groundup.core import (
    Artifact,
    Config,
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
)
from groundup.documents import Record, schema, to_batch

from ..split import SPLITS, read_shard
from .reading import counters, is_named

WITHDRAWALS = Path("ledger") / "withdrawn.jsonl"
LICENCES = ("licence", "license", "spdx")


class WithdrawConfig(Config):
    """What leaves; a record goes if any of these means it."""

    documents: tuple[str, ...] = ()
    """Ids (6 hex digits or more) or paths."""
    licences: tuple[str, ...] = ()
    """SPDX expressions, `*` stands for anything: `GPL-*`."""
    sources: tuple[str, ...] = ()
    """Names of sources."""
    reason: str = ""
    """Why, for the ledger."""


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
    """What was made from the old corpus: make it again, or remove it."""

    def __str__(self) -> str:
        """What left, and a line for every artifact that holds it still."""
        lines = [f"{len(self.records):,} documents are withdrawn; without them: {self.corpus}"]
        if self.touched:
            lines.append("These were made from them; make them again or remove them:")
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
    told, gone = counters(corpus), list[str]()
    near = list(artifacts_below(among) if among else artifacts_beside(corpus.path))
    produce(
        out, kind="corpus", stage="withdraw", version=1, config=config,
        parents={"corpus": corpus}, write=lambda draft: gone.extend(write(draft, config, corpus)),
    )  # fmt: skip
    if not gone:  # it was there already
        gone = json.loads((Path(out) / "withdrawn.json").read_text(encoding="utf-8"))
    left = Ledger(corpus.path / WITHDRAWALS)
    entry = {"who": user_name(), "what": config.plain(), "records": len(gone)}
    if all(old.content.get("what") != entry["what"] for old in left.read()):
        left.append(entry | {"of": sum(one["documents"] for one in told["splits"].values())})
    made = [one for one in touched(corpus, near) if Path(one.path).resolve() != Path(out).resolve()]
    return Withdrawal(str(out), tuple(gone), tuple(made))


def touched(corpus: Artifact, near: Iterable[Artifact]) -> Iterator[Touched]:
    """Yield the artifacts that have the corpus among their ancestors, and the corpus itself."""
    known = {one.id: one for one in near} | {corpus.id: corpus}
    for one in known.values():
        if corpus.id in needed([one.id], known):
            yield Touched(one.kind, str(one.path), one.id)


def write(draft: Draft, config: WithdrawConfig, corpus: Artifact) -> list[str]:
    """Write the shards without what leaves; the ids of what left."""
    gone: list[str] = []
    documents: Counter[str] = Counter()
    sizes: Counter[str] = Counter()
    for name in record_shards(corpus):
        split = name.partition("/")[0]
        stays = []
        for one in read_shard(corpus.file(name)):
            if leaves(one, config):
                gone.append(one.id)
            else:
                stays.append(one)
                documents[split] += 1
                sizes[split] += len(one.text.encode("utf-8"))
        if stays:
            write_shard(draft.file(name), stays)
    if not gone:
        raise DataError(f"{corpus.path} holds no document that is meant by {config.plain()}.")
    if not documents["train"]:
        raise DataError("Nothing would be left to train on; remove the corpus instead.")
    record.say(f"{len(gone):,} documents leave, {sum(documents.values()):,} stay.")
    told = counters(corpus)
    for split in SPLITS:
        told["splits"][split] |= {"documents": documents[split], "bytes": sizes[split]}
    write_json(draft.file("counters.json"), told | {"withdrawn": len(gone)})
    write_json(draft.file("withdrawn.json"), gone)
    draft.numbers |= {
        "documents": {split: documents[split] for split in SPLITS},
        "bytes": {split: sizes[split] for split in SPLITS},
        "withdrawn": len(gone),
    }
    return gone


def record_shards(corpus: Artifact) -> list[str]:
    """Names of the files that hold records."""
    return [name for name in sorted(corpus.files) if name.partition("/")[0] in SPLITS]


def write_shard(path: Path, records: Sequence[Record]) -> None:
    """Write records as one shard, atomically."""
    import pyarrow.parquet as parquet

    with replacing(path) as temporary, parquet.ParquetWriter(temporary, schema()) as writer:
        writer.write_batch(to_batch(records))


def leaves(one: Record, config: WithdrawConfig) -> bool:
    """Whether a record is meant."""
    if one.source in config.sources:
        return True
    if any(is_named(name, one.id, one.path) for name in config.documents):
        return True
    stated = {str(one.metadata[key]) for key in LICENCES if one.metadata.get(key)}
    return any(fnmatchcase(own, name) for own in stated for name in config.licences)
