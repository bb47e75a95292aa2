"""Which records a withdrawal removes: those selected, derived from them, or copies of their text.

A document that was dropped as a duplicate is in the corpus under another name, which the log of
removals states; that record is removed too. A dropped document whose text is spread over several
records cannot be traced, and then the withdrawal is refused with what to do.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from groundup.core import Artifact, Config, DataError, record
from groundup.documents import Removal, licences_in

from ..engine.job import LICENCES
from .reading import Held, is_inside, is_named, records, removals

ID = re.compile(r"\b[0-9a-f]{32}\b")
COPY = re.compile(r"(?i)duplicate|cop(y|ies)\b|same|seen before|joined to")
"""Reasons of records that were dropped because their text is in another record."""
SEVERAL = re.compile(r"(?i)seen before|repositor")
"""Those of them where it is in several records, of which details name at most one."""
EARLIER = "of an earlier corpus"
PARTS = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()/,]+", re.IGNORECASE)
"""Separators of licences in SPDX expressions and in informal ones such as `MIT/Apache-2.0`."""
DROPPED = ("id", "source", "path", "what", "reason", "details")


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


class Leaving(NamedTuple):
    """The records that a withdrawal removes."""

    kept: dict[str, Held]
    """Records of the corpus, by id."""
    dropped: frozenset[str]
    """Ids of selected records that were dropped before; only the log mentions them."""
    unmatched: tuple[str, ...] = ()
    """Patterns that select no record, such as `licences GPL-*`: possibly a typing error."""

    def concerns(self, one: Removal) -> bool:
        """Whether a row of the log contains text of a removed record or its copy."""
        ids = (one.id, *ID.findall(one.details))
        return any(id in self.kept or id in self.dropped for id in ids)


def leaving(corpus: Artifact, config: WithdrawConfig) -> Leaving:
    """Find the records to remove; DataError if there is none or a copy cannot be found."""
    infos = {one.id: one for _, one in records(corpus)}
    removed, dropped_before, used_patterns = set[str](), set[str](), set[str]()
    for id, info in infos.items():
        for part in (info, *messages_of(info)):
            if patterns_met := set(meant_by(part, config)):
                removed.add(id)
                used_patterns |= patterns_met
    if config.documents or config.sources:
        selected = []
        for one in dropped(corpus):
            patterns_met = set(meant_by(one, config.model_copy(update={"licences": ()})))
            if any(what.startswith("documents ") for what in patterns_met):
                selected.append(one)
            if patterns_met:
                dropped_before.add(one.id)
                used_patterns |= patterns_met
        if any(COPY.search(one.reason) for one in selected):
            dropped_by_id = {one.id: one for one in dropped(corpus)}
            removed |= {id for one in selected for id in holders_of(one, infos, dropped_by_id)}
    if not removed and not dropped_before:
        raise DataError(
            f"{corpus.path} has no document selected by {meaning(config)}; give ids, paths, "
            "sources or licences as `groundup corpus report` shows them."
        )
    removed |= set(made_of(removed | dropped_before, infos.values()))
    unmatched = tuple(one for one in patterns(config) if one not in used_patterns)
    kept = {id: one for id, one in infos.items() if id in removed}
    return Leaving(kept, frozenset(dropped_before), unmatched)


def messages_of(info: Held) -> Iterator[Held]:
    """Yield the messages that `conversations.join` merged into a record."""
    rows = info.metadata.get("messages") if "thread" in info.metadata else None
    for row in rows if isinstance(rows, list) else ():
        yield Held(row["id"], row["source"], row["path"], {"licence": row["licence"]})


def dropped(corpus: Artifact) -> Iterator[Removal]:
    """Yield the rows of the log about dropped records, without texts."""
    return (one for one in removals(corpus, DROPPED) if one.what == "record")


def holders_of(
    removal: Removal, infos: Mapping[str, Held], dropped_by_id: Mapping[str, Removal]
) -> Iterator[str]:
    """Yield ids of the corpus's records that contain the text of a dropped one."""
    if removal.id in infos:  # a second record of that id was dropped: the first is selected already
        return
    seen, queue = {removal.id}, [removal]
    for row in queue:  # grows: the copy kept then may have been dropped later for another
        if not COPY.search(row.reason):
            continue
        if EARLIER in row.reason:
            record.say(f"{row.path} was dropped for {row.details}: withdraw it there too.")
            continue
        copies = named_in(row.details, infos, dropped_by_id)
        if not copies or SEVERAL.search(row.reason):
            raise DataError(untold(removal, row))
        yield from (id for id in copies if id in infos)
        queue += [dropped_by_id[id] for id in copies if id not in infos and id not in seen]
        seen.update(copies)


def named_in(
    details: str, infos: Mapping[str, Held], dropped_by_id: Mapping[str, Removal]
) -> list[str]:
    """Ids of the records that details name, by id or, as custom steps may, by `of PATH`."""
    if ids := [id for id in ID.findall(details) if id in infos or id in dropped_by_id]:
        return ids
    path = details.removeprefix("of ") if details.startswith("of ") else ""
    return [
        id
        for table in (infos, dropped_by_id)
        for id, one in table.items()
        if path and one.path == path
    ]


def untold(one: Removal, row: Removal) -> str:
    """The error for a text that the log does not trace to one record."""
    details = f" ({row.details})" if row.details else ""
    return (
        f"{one.path} was dropped as {row.reason!r}{details}, so its text is in other documents "
        "that the log does not name: find them by a phrase and list them in `documents` instead of "
        f"{one.path}, or prepare the corpus again without that file."
    )


def made_of(removed: set[str], infos: Iterable[Held]) -> Iterator[str]:
    """Yield ids of the records derived from removed ones, recursively."""
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


def named_by(config: WithdrawConfig) -> dict[str, tuple[str, ...]]:
    """The selected names, by kind."""
    return {"documents": config.documents, "licences": config.licences, "sources": config.sources}


def meaning(config: WithdrawConfig) -> str:
    """A withdrawal's selection in words.

    >>> meaning(WithdrawConfig(documents=("a.md", "b.md"), sources=("web",)))
    'documents a.md, b.md; sources web'
    """
    named = named_by(config)
    return "; ".join(f"{what} {', '.join(names)}" for what, names in named.items() if names)


def patterns(config: WithdrawConfig) -> list[str]:
    """The patterns of a selection, one by one.

    >>> patterns(WithdrawConfig(documents=("a.md",), licences=("GPL-*", "MIT")))
    ['documents a.md', 'licences GPL-*', 'licences MIT']
    """
    return [f"{what} {name}" for what, names in named_by(config).items() for name in names]


def meant_by(one: Any, config: WithdrawConfig) -> Iterator[str]:
    """Yield the patterns that select a record by its id, path, file, source or licence."""
    if one.source in config.sources:
        yield f"sources {one.source}"
    for name in config.documents:
        if is_named(name, one) or is_inside(name, one):
            yield f"documents {name}"
    if config.licences:
        licences = [part for key in LICENCES for part in licence_parts(one.metadata.get(key))]
        for name in config.licences:
            if any(fnmatchcase(own, name.lower()) for own in licences):
                yield f"licences {name}"


def licence_parts(stated: Any) -> list[str]:
    """An SPDX expression and every licence and exception in it, in lower case.

    >>> licence_parts("MIT OR (GPL-2.0-only WITH x)")
    ['mit or (gpl-2.0-only with x)', 'mit', 'gpl-2.0-only', 'x']
    """
    parts = [part for one in licences_in(stated) for part in (str(one), *PARTS.split(str(one)))]
    return list(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))
