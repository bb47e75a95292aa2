"""Explains what each step did to one record, down to the bytes of its file.

$ groundup corpus why corpus guide/install.html
guide/install.html  of manuals, 3f2a…
  02 web.lines      removed   menu               bytes 120-164      Home > Guide > Install
  05 dedup.minhash  dropped   near-duplicate     0.94, manuals/guide/setup.html (91c0…) is kept

The path of a file with many records lists them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from groundup.core import Artifact
from groundup.documents import Removal

from .leaving import ID
from .reading import Kept, counted, is_inside, is_named, kept, names_of, only, records, removals

SHOWN_CHARACTERS = 60
LISTED = 20


class Story(NamedTuple):
    """The history of one record."""

    id: str
    source: str
    path: str
    split: str
    """Its split; empty if it was dropped."""
    removed: tuple[Removal, ...]
    """What was removed, in the order of steps."""
    metadata: dict[str, object]
    """Metadata of a kept record."""
    text: str
    """Text in the corpus; empty if it was dropped."""
    names: dict[str, str] = {}
    """`SOURCE/PATH` of other records that reasons mention, by id."""

    def __str__(self) -> str:
        """The record, one line per removal, and the outcome."""
        lines = [f"{self.path}  of {self.source}, {self.id}"]
        width = max((len(one.step) for one in self.removed), default=0)
        for one in self.removed:
            what = "dropped" if one.what == "record" else one.what
            explanation = told(one, self.names)
            lines.append(f"  {one.step:<{width}}  {what:<8}  {one.reason:<24}  {explanation}")
        if self.split:
            lines.append(f"  kept, in {self.split}: {counted(len(self.text), 'character')}")
        return "\n".join(lines)


class Inside(NamedTuple):
    """One of a file's records and its outcome."""

    id: str
    path: str
    end: str
    """`kept, in SPLIT`, or `dropped: REASON`."""


class File(NamedTuple):
    """A file of many records."""

    path: str
    source: str
    kept: int
    dropped: dict[str, int]
    """Number of dropped records by reason."""
    records: tuple[Inside, ...]
    """The first records."""

    def __str__(self) -> str:
        """The numbers kept and dropped with reasons, and the first records."""
        gone = sum(self.dropped.values())
        every = counted(self.kept + gone, "record")
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        lines = [f"{self.path}  of {self.source}: {every}, {self.kept:,} kept, {gone:,} dropped"]
        lines[0] += f" ({why})" * bool(why)
        lines += [f"  {one.path}  {one.id[:12]}  {one.end}" for one in self.records]
        more = self.kept + gone - len(self.records)
        return "\n".join(lines + [f"  … and {more:,} more"] * bool(more))


class Stories(tuple[Story | File, ...]):
    """The records and files that a name refers to."""

    def __str__(self) -> str:
        """The histories, separated by blank lines."""
        return "\n\n".join(map(str, self))


def why(corpus: Artifact, name: str) -> Stories:
    """Explain what became of a record: which step removed what of it, and why.

    name  its id or at least six digits of it, or its path with or without its source's name; or
          the path of a file, for a list of its records

    Raises DataError if the corpus has no such record.
    """
    removed = [one for one in removals(corpus) if is_named(name, one)]
    present = kept(corpus, name)
    files = inside(corpus, name)
    only([*removed, *present, *files], name, corpus)
    names = names_of(corpus, {id for one in removed for id in ID.findall(one.details)})
    ids = dict.fromkeys([one.id for one in removed] + [one.record.id for one in present])
    return Stories([*(story(id, removed, present, names) for id in ids), *files])


def inside(corpus: Artifact, name: str) -> list[File]:
    """The files of that path, one per source; derived records are not counted."""
    kept, dropped = Counter[str](), dict[str, Counter[str]]()
    first: dict[str, list[Inside]] = {}

    def add(source: str, one: Inside) -> None:
        rows = first.setdefault(source, [])
        if len(rows) < LISTED:
            rows.append(one)

    for split, one in records(corpus):
        if is_inside(name, one) and not one.metadata.get("synthetic"):
            kept[one.source] += 1
            add(one.source, Inside(one.id, one.path, f"kept, in {split}"))
    for removal in removals(corpus, ("id", "source", "path", "what", "reason")):
        if removal.what == "record" and is_inside(name, removal):
            dropped.setdefault(removal.source, Counter())[removal.reason] += 1
            add(removal.source, Inside(removal.id, removal.path, f"dropped: {removal.reason}"))
    return [
        File(name.removeprefix(f"{source}/"), source, kept[source],
             dict(dropped.get(source, Counter()).most_common()), tuple(rows))
        for source, rows in first.items()
    ]  # fmt: skip


def story(
    id: str, lost: Sequence[Removal], stayed: Sequence[Kept], names: Mapping[str, str]
) -> Story:
    """The history of the record with this id."""
    own = tuple(one for one in lost if one.id == id)
    others = {
        other: names[other] for one in own for other in ID.findall(one.details) if other in names
    }
    for split, record in stayed:
        if record.id == id:
            return Story(id, record.source, record.path, split, own, record.metadata, record.text,
                         others)  # fmt: skip
    return Story(id, own[0].source, own[0].path, "", own, {}, "", others)


def told(removal: Removal, names: Mapping[str, str]) -> str:
    """Format a removal: the number that decided, details, bytes, the slice."""
    details = ID.sub(
        lambda match: f"{names[match[0]]} ({match[0][:12]})" if match[0] in names else match[0],
        removal.details,
    )
    parts = [f"{removal.value:.4g}" if removal.value is not None else "", details]
    if removal.what != "record":
        shown = " ".join(removal.text.split())
        cut = shown[: SHOWN_CHARACTERS - 1] + "…" * (len(shown) >= SHOWN_CHARACTERS)
        parts += [f"bytes {removal.byte_start}-{removal.byte_end}", cut]
        parts += [f"-> {removal.put[:SHOWN_CHARACTERS]!r}"] if removal.put else []
    return "  ".join(part for part in parts if part)
