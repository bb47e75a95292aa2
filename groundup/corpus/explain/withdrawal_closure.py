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
from groundup.documents import Removal, find_licences

from ..engine.job import LICENCE_KEYS
from .reading import RecordInfo, is_in_file, matches_name, read_record_infos, read_removals

RECORD_ID = re.compile(r"\b[0-9a-f]{32}\b")
COPY_REASON = re.compile(r"(?i)duplicate|cop(y|ies)\b|same|seen before|joined to")
"""Reasons of records that were dropped because their text is in another record."""
SEVERAL_COPIES_REASON = re.compile(r"(?i)seen before|repositor")
"""Those of them where it is in several records, of which details name at most one."""
EARLIER_CORPUS = "of an earlier corpus"
LICENCE_SEPARATOR = re.compile(r"\s+(?:AND|OR|WITH)\s+|[()/,]+", re.IGNORECASE)
"""Separators of licences in SPDX expressions and in informal ones such as `MIT/Apache-2.0`."""
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
    unmatched = tuple(one for one in _selection_patterns(config) if one not in used_patterns)
    kept = {id: one for id, one in infos.items() if id in removed}
    return WithdrawalClosure(kept, frozenset(dropped_before), unmatched)


def _joined_messages(info: RecordInfo) -> Iterator[RecordInfo]:
    """Yield the messages that `conversations.join` merged into a record."""
    rows = info.metadata.get("messages") if "thread" in info.metadata else None
    for row in rows if isinstance(rows, list) else ():
        yield RecordInfo(row["id"], row["source"], row["path"], {"licence": row["licence"]})


def _read_dropped(corpus: Artifact) -> Iterator[Removal]:
    """Yield the rows of the log about dropped records, without texts."""
    return (one for one in read_removals(corpus, DROPPED_COLUMNS) if one.what == "record")


def _find_copies(
    removal: Removal, infos: Mapping[str, RecordInfo], dropped_by_id: Mapping[str, Removal]
) -> Iterator[str]:
    """Yield ids of the corpus's records that contain the text of a dropped one."""
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
            raise DataError(_untraceable_error(removal, row))
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


def _untraceable_error(one: Removal, row: Removal) -> str:
    details = f" ({row.details})" if row.details else ""
    return (
        f"{one.path} was dropped as {row.reason!r}{details}, so its text is in other documents "
        "that the log does not name: find them by a phrase and list them in `documents` instead of "
        f"{one.path}, or prepare the corpus again without that file."
    )


def _derived_ids(removed: set[str], infos: Iterable[RecordInfo]) -> Iterator[str]:
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


def _selection_by_kind(config: WithdrawConfig) -> dict[str, tuple[str, ...]]:
    return {"documents": config.documents, "licences": config.licences, "sources": config.sources}


def describe_selection(config: WithdrawConfig) -> str:
    """A withdrawal's selection in words.

    >>> describe_selection(WithdrawConfig(documents=("a.md", "b.md"), sources=("web",)))
    'documents a.md, b.md; sources web'
    """
    named = _selection_by_kind(config)
    return "; ".join(f"{what} {', '.join(names)}" for what, names in named.items() if names)


def _selection_patterns(config: WithdrawConfig) -> list[str]:
    by_kind = _selection_by_kind(config).items()
    return [f"{what} {name}" for what, names in by_kind for name in names]


def _matching_patterns(one: Any, config: WithdrawConfig) -> Iterator[str]:
    """Yield the patterns that select a record by its id, path, file, source or licence."""
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
    """An SPDX expression and every licence and exception in it, in lower case.

    >>> _licence_parts("MIT OR (GPL-2.0-only WITH x)")
    ['mit or (gpl-2.0-only with x)', 'mit', 'gpl-2.0-only', 'x']
    """
    parts = [
        part
        for one in find_licences(stated)
        for part in (str(one), *LICENCE_SEPARATOR.split(str(one)))
    ]
    return list(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))
