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

from .reading import (
    SplitRecord,
    find_records,
    format_count,
    is_in_file,
    matches_name,
    read_record_infos,
    read_removals,
    record_names,
    require_found,
)
from .withdraw import RECORD_ID

SHOWN_CHARACTERS = 60
MAX_LISTED_RECORDS = 20


class RecordHistory(NamedTuple):
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

    def drop_reason(self) -> str:
        """Why it was dropped, with what the step says of it; empty if it was kept."""
        drops = (one for one in self.removed if one.what == "record" and not self.split)
        said = (f"{one.reason}: {_explain_removal(one, self.names)}" for one in drops)
        return next(said, "").removesuffix(": ")

    def __str__(self) -> str:
        """The record, one line per removal, and the outcome."""
        lines = [f"{self.path}  of {self.source}, {self.id}"]
        width = max((len(one.step) for one in self.removed), default=0)
        for one in self.removed:
            what = "dropped" if one.what == "record" else one.what
            explanation = _explain_removal(one, self.names)
            lines.append(f"  {one.step:<{width}}  {what:<8}  {one.reason:<24}  {explanation}")
        if self.split:
            lines.append(f"  kept, in {self.split}: {format_count(len(self.text), 'character')}")
        return "\n".join(lines)


class FileRecord(NamedTuple):
    """One of a file's records and its outcome."""

    id: str
    path: str
    end: str
    """`kept, in SPLIT`, or `dropped: REASON`."""


class FileHistory(NamedTuple):
    """A file of many records."""

    path: str
    source: str
    kept: int
    dropped: dict[str, int]
    """Number of dropped records by reason."""
    records: tuple[FileRecord, ...]
    """The first records."""

    def __str__(self) -> str:
        """The numbers kept and dropped with reasons, and the first records."""
        gone = sum(self.dropped.values())
        every = format_count(self.kept + gone, "record")
        why = ", ".join(f"{count:,} {reason}" for reason, count in self.dropped.items())
        lines = [f"{self.path}  of {self.source}: {every}, {self.kept:,} kept, {gone:,} dropped"]
        lines[0] += f" ({why})" * bool(why)
        lines += [f"  {one.path}  {one.id[:12]}  {one.end}" for one in self.records]
        more = self.kept + gone - len(self.records)
        return "\n".join(lines + [f"  … and {more:,} more"] * bool(more))


class Histories(tuple[RecordHistory | FileHistory, ...]):
    """The records and files that a name refers to."""

    def __str__(self) -> str:
        return "\n\n".join(map(str, self))


def why(corpus: Artifact, name: str) -> Histories:
    """Explain what became of a record: which step removed what of it, and why.

    name  its id or at least six digits of it, or its path with or without its source's name; or
          the path of a file, for a list of its records

    Raises DataError if the corpus has no such record.
    """
    removed = [one for one in read_removals(corpus) if matches_name(name, one)]
    present = find_records(corpus, name)
    files = _file_histories(corpus, name)
    require_found([*removed, *present, *files], name, corpus)
    names = record_names(corpus, {id for one in removed for id in RECORD_ID.findall(one.details)})
    ids = dict.fromkeys([one.id for one in removed] + [one.record.id for one in present])
    return Histories([*(_record_history(id, removed, present, names) for id in ids), *files])


def _file_histories(corpus: Artifact, name: str) -> list[FileHistory]:
    """The files of that path, one per source; derived records are not counted."""
    kept, dropped = Counter[str](), dict[str, Counter[str]]()
    first: dict[str, list[FileRecord]] = {}

    def add(source: str, one: FileRecord) -> None:
        rows = first.setdefault(source, [])
        if len(rows) < MAX_LISTED_RECORDS:
            rows.append(one)

    for split, one in read_record_infos(corpus):
        if is_in_file(name, one) and not one.metadata.get("synthetic"):
            kept[one.source] += 1
            add(one.source, FileRecord(one.id, one.path, f"kept, in {split}"))
    for removal in read_removals(corpus, ("id", "source", "path", "what", "reason")):
        if removal.what == "record" and is_in_file(name, removal):
            dropped.setdefault(removal.source, Counter())[removal.reason] += 1
            add(removal.source, FileRecord(removal.id, removal.path, f"dropped: {removal.reason}"))
    return [
        FileHistory(name.removeprefix(f"{source}/"), source, kept[source],
             dict(dropped.get(source, Counter()).most_common()), tuple(rows))
        for source, rows in first.items()
    ]  # fmt: skip


def _record_history(
    id: str, lost: Sequence[Removal], stayed: Sequence[SplitRecord], names: Mapping[str, str]
) -> RecordHistory:
    own = tuple(one for one in lost if one.id == id)
    others = {
        other: names[other]
        for one in own
        for other in RECORD_ID.findall(one.details)
        if other in names
    }
    for split, record in stayed:
        if record.id == id:
            return RecordHistory(
                id, record.source, record.path, split, own, record.metadata, record.text, others
            )
    return RecordHistory(id, own[0].source, own[0].path, "", own, {}, "", others)


def _explain_removal(removal: Removal, names: Mapping[str, str]) -> str:
    details = RECORD_ID.sub(
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
