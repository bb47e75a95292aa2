"""Why: what became of one record, step by step, down to the bytes of its file.

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
    """What became of one record."""

    id: str
    source: str
    path: str
    split: str
    """Where it is; empty if it was dropped."""
    removed: tuple[Removal, ...]
    """What was taken, in the order of steps."""
    metadata: dict[str, object]
    """Of the record that was kept."""
    text: str
    """As it is in the corpus; empty if it was dropped."""
    names: dict[str, str] = {}
    """`SOURCE/PATH` of other records that reasons name by their ids."""

    def __str__(self) -> str:
        """The record, a line for every removal, and how it ended."""
        lines = [f"{self.path}  of {self.source}, {self.id}"]
        width = max((len(one.step) for one in self.removed), default=0)
        for one in self.removed:
            what = "dropped" if one.what == "record" else one.what
            said = told(one, self.names)
            lines.append(f"  {one.step:<{width}}  {what:<8}  {one.reason:<24}  {said}")
        if self.split:
            lines.append(f"  kept, in {self.split}: {counted(len(self.text), 'character')}")
        return "\n".join(lines)


class Inside(NamedTuple):
    """One of a file's records, and how it ended."""

    id: str
    path: str
    end: str
    """`kept, in SPLIT`, or `dropped: REASON`."""


class File(NamedTuple):
    """A file that many records come from."""

    path: str
    source: str
    kept: int
    dropped: dict[str, int]
    """How many were, by reason."""
    records: tuple[Inside, ...]
    """The first of them."""

    def __str__(self) -> str:
        """How many of its records stayed and why others did not, and the first ones."""
        gone = sum(self.dropped.values())
        every = counted(self.kept + gone, "record")
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        lines = [f"{self.path}  of {self.source}: {every}, {self.kept:,} kept, {gone:,} dropped"]
        lines[0] += f" ({why})" * bool(why)
        lines += [f"  {one.path}  {one.id[:12]}  {one.end}" for one in self.records]
        more = self.kept + gone - len(self.records)
        return "\n".join(lines + [f"  … and {more:,} more"] * bool(more))


class Stories(tuple[Story | File, ...]):
    """The records that one name means."""

    def __str__(self) -> str:
        """One after the other."""
        return "\n\n".join(map(str, self))


def why(corpus: Artifact, name: str) -> Stories:
    """Tell what became of a record: which step took what of it, and why.

    name  its id, or the first six digits or more of it, or its path in its source, before which
          the source's name may stand; or the path of a file, for a list of all its records

    Raises DataError if the corpus never saw it.
    """
    lost = [one for one in removals(corpus) if is_named(name, one)]
    stayed = kept(corpus, name)
    files = inside(corpus, name)
    only([*lost, *stayed, *files], name, corpus)
    names = names_of(corpus, {id for one in lost for id in ID.findall(one.details)})
    ids = dict.fromkeys([one.id for one in lost] + [one.record.id for one in stayed])
    return Stories([*(story(id, lost, stayed, names) for id in ids), *files])


def inside(corpus: Artifact, name: str) -> list[File]:
    """The files of that path, one a source, by their records; what was derived is none of them."""
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
    for gone in removals(corpus, ("id", "source", "path", "what", "reason")):
        if gone.what == "record" and is_inside(name, gone):
            dropped.setdefault(gone.source, Counter())[gone.reason] += 1
            add(gone.source, Inside(gone.id, gone.path, f"dropped: {gone.reason}"))
    return [
        File(name.removeprefix(f"{source}/"), source, kept[source],
             dict(dropped.get(source, Counter()).most_common()), tuple(rows))
        for source, rows in first.items()
    ]  # fmt: skip


def story(
    id: str, lost: Sequence[Removal], stayed: Sequence[Kept], names: Mapping[str, str]
) -> Story:
    """What became of the record of an id."""
    own = tuple(one for one in lost if one.id == id)
    others = {
        other: names[other] for one in own for other in ID.findall(one.details) if other in names
    }
    for split, record in stayed:
        if record.id == id:
            return Story(id, record.source, record.path, split, own, record.metadata, record.text,
                         others)  # fmt: skip
    return Story(id, own[0].source, own[0].path, "", own, {}, "", others)


def told(one: Removal, names: Mapping[str, str]) -> str:
    """What is worth a line: the number that decided, details, bytes, the slice."""
    details = ID.sub(
        lambda found: f"{names[found[0]]} ({found[0][:12]})" if found[0] in names else found[0],
        one.details,
    )
    parts = [f"{one.value:.4g}" if one.value is not None else "", details]
    if one.what != "record":
        shown = " ".join(one.text.split())
        cut = shown[: SHOWN_CHARACTERS - 1] + "…" * (len(shown) >= SHOWN_CHARACTERS)
        parts += [f"bytes {one.byte_start}-{one.byte_end}", cut]
        parts += [f"-> {one.put[:SHOWN_CHARACTERS]!r}"] if one.put else []
    return "  ".join(part for part in parts if part)
