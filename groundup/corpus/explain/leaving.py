"""Who leaves when something is withdrawn: what is meant, what was made of it, what holds its text.

A document that was dropped as a duplicate stands in the corpus under another name. The log of
removals tells which; that record leaves too. A dropped document whose text was spread over others,
or over a repository, cannot be followed, and then withdrawal is refused with what to do.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from groundup.core import Artifact, Config, DataError, record
from groundup.documents import Removal

from ..split import SPLITS
from .reading import is_named, removals

LICENCES = ("licence", "license", "spdx")
ID = re.compile(r"\b[0-9a-f]{32}\b")
COPY = re.compile(r"(?i)duplicate|cop(y|ies)\b|same|seen before")
"""Reasons of what was dropped because its text stands elsewhere."""
SEVERAL = re.compile(r"(?i)seen before|repositor")
"""Those of them where it stands in several records, and details name one at most."""
EARLIER = "of an earlier corpus"
PARTS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()/,]+", re.IGNORECASE)
"""What stands between licences in SPDX, and in what people write for it: `MIT/Apache-2.0`."""
DROPPED = ("id", "source", "path", "what", "reason", "details")


class WithdrawConfig(Config):
    """What leaves; a record goes if any of these means it."""

    documents: tuple[str, ...] = ()
    """Ids (6 hex digits or more) or paths."""
    licences: tuple[str, ...] = ()
    """SPDX expressions, `*` stands for anything: `GPL-*`. Any part of a record's expression
    counts: `GPL-*` means `MIT OR GPL-3.0-only` too."""
    sources: tuple[str, ...] = ()
    """Names of sources."""
    reason: str = ""
    """Why, for the ledger."""


class Held(NamedTuple):
    """What decides whether a record of the corpus leaves."""

    id: str
    source: str
    path: str
    metadata: Mapping[str, Any]


class Leaving(NamedTuple):
    """Who leaves."""

    kept: dict[str, Held]
    """Records of the corpus, by id."""
    dropped: frozenset[str]
    """Ids of records that were dropped before; of them the log alone tells."""

    def concerns(self, one: Removal) -> bool:
        """Whether a row of the log holds text of what leaves: its own, or that of its copy."""
        ids = (one.id, *ID.findall(one.details))
        return any(id in self.kept or id in self.dropped for id in ids)


def leaving(corpus: Artifact, config: WithdrawConfig) -> Leaving:
    """Find who leaves; DataError if nobody is meant or a copy cannot be found."""
    held = {one.id: one for one in records(corpus)}
    gone = {id for id, one in held.items() if is_meant(one, config)}
    gone_before = set[str]()
    if config.documents or config.sources:
        named = []
        for one in dropped(corpus):
            if any(is_named(name, one.id, one.path) for name in config.documents):
                named.append(one)
            if one in named[-1:] or one.source in config.sources:
                gone_before.add(one.id)
        if any(COPY.search(one.reason) for one in named):
            lost = {one.id: one for one in dropped(corpus)}
            gone |= {id for one in named for id in holders_of(one, held, lost)}
    if not gone and not gone_before:
        raise DataError(f"{corpus.path} holds no document that is meant by {config.plain()}.")
    gone |= set(made_of(gone | gone_before, held.values()))
    return Leaving({id: one for id, one in held.items() if id in gone}, frozenset(gone_before))


def dropped(corpus: Artifact) -> Iterator[Removal]:
    """Yield the rows of the log about whole records, without texts."""
    return (one for one in removals(corpus, DROPPED) if one.what == "record")


def holders_of(
    one: Removal, held: Mapping[str, Held], lost: Mapping[str, Removal]
) -> Iterator[str]:
    """Yield ids of records of the corpus that hold the text of a dropped one."""
    if one.id in held:  # a second record of that id was dropped: the first is meant already
        return
    seen, rows = {one.id}, [one]
    for row in rows:  # grows: who was kept then may have been dropped later, for another
        if not COPY.search(row.reason):
            continue
        if EARLIER in row.reason:
            record.say(f"{row.path} was dropped for {row.details}: withdraw it there too.")
            continue
        named = named_in(row.details, held, lost)
        if not named or SEVERAL.search(row.reason):
            raise DataError(untold(one, row))
        yield from (id for id in named if id in held)
        rows += [lost[id] for id in named if id not in held and id not in seen]
        seen.update(named)


def named_in(details: str, held: Mapping[str, Held], lost: Mapping[str, Removal]) -> list[str]:
    """Ids of the records that details name, by id or, as steps of one's own may, `of PATH`."""
    if ids := [id for id in ID.findall(details) if id in held or id in lost]:
        return ids
    path = details.removeprefix("of ") if details.startswith("of ") else ""
    return [id for table in (held, lost) for id, one in table.items() if path and one.path == path]


def untold(one: Removal, row: Removal) -> str:
    """The sentence for a text whose whereabouts the log does not tell."""
    told = f" ({row.details})" if row.details else ""
    return (
        f"{one.path} was dropped as {row.reason!r}{told}, so its text stands in other documents "
        "and the log does not tell in which alone: find them by a phrase of it, and name them in "
        f"`documents` in place of {one.path}, or prepare the corpus again without that file."
    )


def made_of(gone: set[str], held: Iterable[Held]) -> Iterator[str]:
    """Yield ids of what was derived of what leaves, and of that in turn."""
    children: dict[str, list[str]] = {}
    for one in held:
        if parent := one.metadata.get("parent"):
            children.setdefault(str(parent), []).append(one.id)
    rows, seen = list(gone), set(gone)
    for id in rows:
        new = [child for child in children.get(id, ()) if child not in seen]
        yield from new
        seen.update(new)
        rows += new


def records(corpus: Artifact) -> Iterator[Held]:
    """Yield what is known of every record, without its text."""
    import pyarrow.parquet as parquet

    for name in record_shards(corpus):
        with parquet.ParquetFile(corpus.file(name)) as file:
            for batch in file.iter_batches(columns=["id", "source", "path", "metadata"]):
                for row in batch.to_pylist():
                    yield Held(**(row | {"metadata": json.loads(row["metadata"])}))


def record_shards(corpus: Artifact) -> list[str]:
    """Names of the files that hold records."""
    return [name for name in sorted(corpus.files) if name.partition("/")[0] in SPLITS]


def is_meant(one: Held, config: WithdrawConfig) -> bool:
    """Whether a record is meant by itself."""
    if one.source in config.sources:
        return True
    if any(is_named(name, one.id, one.path) for name in config.documents):
        return True
    stated = [part for key in LICENCES for part in licence_parts(one.metadata.get(key))]
    return any(fnmatchcase(own, name.lower()) for own in stated for name in config.licences)


def licence_parts(stated: Any) -> list[str]:
    """An SPDX expression and every licence and exception in it, in lower case.

    >>> licence_parts("MIT OR (GPL-2.0-only WITH x)")
    ['mit or (gpl-2.0-only with x)', 'mit', 'gpl-2.0-only', 'x']
    """
    whole = [stated] if isinstance(stated, str) else stated if isinstance(stated, list) else []
    parts = [part for one in whole for part in (str(one), *PARTS.split(str(one)))]
    return list(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))
