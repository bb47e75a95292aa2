"""Who leaves when something is withdrawn: what is meant, what was made of it, what holds its text.

A document that was dropped as a duplicate stands in the corpus under another name. The log of
removals tells which; that record leaves too. A dropped document whose text was spread over others,
or over a repository, cannot be followed, and then withdrawal is refused with what to do.
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
    """Ids (6 hex digits or more) or paths; the path of a file means all records in it."""
    licences: tuple[str, ...] = ()
    """SPDX expressions, `*` stands for anything: `GPL-*`. Any part of a record's expression
    counts: `GPL-*` means `MIT OR GPL-3.0-only` too."""
    sources: tuple[str, ...] = ()
    """Names of sources."""
    reason: str = ""
    """Why, for the ledger."""


class Leaving(NamedTuple):
    """Who leaves."""

    kept: dict[str, Held]
    """Records of the corpus, by id."""
    dropped: frozenset[str]
    """Ids of records that were dropped before; of them the log alone tells."""
    unmatched: tuple[str, ...] = ()
    """What was named and means no record at all, such as `licences GPL-*`: a typing error?"""

    def concerns(self, one: Removal) -> bool:
        """Whether a row of the log holds text of what leaves: its own, or that of its copy."""
        ids = (one.id, *ID.findall(one.details))
        return any(id in self.kept or id in self.dropped for id in ids)


def leaving(corpus: Artifact, config: WithdrawConfig) -> Leaving:
    """Find who leaves; DataError if nobody is meant or a copy cannot be found."""
    held = {one.id: one for _, one in records(corpus)}
    gone, gone_before, used = set[str](), set[str](), set[str]()
    for id, kept_one in held.items():
        for part in (kept_one, *messages_of(kept_one)):
            if meant := set(meant_by(part, config)):
                gone.add(id)
                used |= meant
    if config.documents or config.sources:
        named = []
        for one in dropped(corpus):
            meant = set(meant_by(one, config.model_copy(update={"licences": ()})))
            if any(what.startswith("documents ") for what in meant):
                named.append(one)
            if meant:
                gone_before.add(one.id)
                used |= meant
        if any(COPY.search(one.reason) for one in named):
            lost = {one.id: one for one in dropped(corpus)}
            gone |= {id for one in named for id in holders_of(one, held, lost)}
    if not gone and not gone_before:
        raise DataError(
            f"{corpus.path} holds no document that is meant by {meaning(config)}; name ids, paths, "
            "sources or licences as `groundup corpus report` shows them."
        )
    gone |= set(made_of(gone | gone_before, held.values()))
    unmatched = tuple(one for one in patterns(config) if one not in used)
    kept = {id: one for id, one in held.items() if id in gone}
    return Leaving(kept, frozenset(gone_before), unmatched)


def messages_of(one: Held) -> Iterator[Held]:
    """Yield the messages that `conversations.join` made a record of; its text is theirs."""
    rows = one.metadata.get("messages") if "thread" in one.metadata else None
    for row in rows if isinstance(rows, list) else ():
        yield Held(row["id"], row["source"], row["path"], {"licence": row["licence"]})


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


def named_by(config: WithdrawConfig) -> dict[str, tuple[str, ...]]:
    """What is named, by its kind."""
    return {"documents": config.documents, "licences": config.licences, "sources": config.sources}


def meaning(config: WithdrawConfig) -> str:
    """What a withdrawal names, in words.

    >>> meaning(WithdrawConfig(documents=("a.md", "b.md"), sources=("web",)))
    'documents a.md, b.md; sources web'
    """
    named = named_by(config)
    return "; ".join(f"{what} {', '.join(names)}" for what, names in named.items() if names)


def patterns(config: WithdrawConfig) -> list[str]:
    """Everything that is named, one by one.

    >>> patterns(WithdrawConfig(documents=("a.md",), licences=("GPL-*", "MIT")))
    ['documents a.md', 'licences GPL-*', 'licences MIT']
    """
    return [f"{what} {name}" for what, names in named_by(config).items() for name in names]


def meant_by(one: Any, config: WithdrawConfig) -> Iterator[str]:
    """Yield which of the patterns mean a record by itself: its id, path, file, source, licence."""
    if one.source in config.sources:
        yield f"sources {one.source}"
    for name in config.documents:
        if is_named(name, one) or is_inside(name, one):
            yield f"documents {name}"
    if config.licences:
        stated = [part for key in LICENCES for part in licence_parts(one.metadata.get(key))]
        for name in config.licences:
            if any(fnmatchcase(own, name.lower()) for own in stated):
                yield f"licences {name}"


def licence_parts(stated: Any) -> list[str]:
    """An SPDX expression and every licence and exception in it, in lower case.

    >>> licence_parts("MIT OR (GPL-2.0-only WITH x)")
    ['mit or (gpl-2.0-only with x)', 'mit', 'gpl-2.0-only', 'x']
    """
    parts = [part for one in licences_in(stated) for part in (str(one), *PARTS.split(str(one)))]
    return list(dict.fromkeys(part.strip().lower() for part in parts if part.strip()))
