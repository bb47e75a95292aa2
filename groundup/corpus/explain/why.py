"""Why: what became of one record, step by step, down to the bytes of its file.

$ groundup corpus why corpus guide/install.html
guide/install.html  of manuals, 3f2a…
  02 web.lines      removed   menu               bytes 120-164      Home > Guide > Install
  05 dedup.minhash  dropped   near-duplicate     0.94, of guide/setup.html
"""

from collections.abc import Sequence
from typing import NamedTuple

from groundup.core import Artifact
from groundup.documents import Removal

from .reading import Kept, is_named, kept, only, removals

SHOWN_CHARACTERS = 60


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

    def __str__(self) -> str:
        """The record, a line for every removal, and how it ended."""
        lines = [f"{self.path}  of {self.source}, {self.id}"]
        width = max((len(one.step) for one in self.removed), default=0)
        for one in self.removed:
            what = "dropped" if one.what == "record" else one.what
            lines.append(f"  {one.step:<{width}}  {what:<8}  {one.reason:<24}  {told(one)}")
        lines.append(f"  kept, in {self.split}: {len(self.text):,} characters" * bool(self.split))
        return "\n".join(filter(None, lines))


class Stories(tuple[Story, ...]):
    """The records that one name means."""

    def __str__(self) -> str:
        """One after the other."""
        return "\n\n".join(map(str, self))


def why(corpus: Artifact, name: str) -> Stories:
    """Tell what became of a record: which step took what of it, and why.

    name  its id, or the first six digits or more of it, or its path in its source

    Raises DataError if the corpus never saw it.
    """
    lost = [one for one in removals(corpus) if is_named(name, one.id, one.path)]
    stayed = kept(corpus, name)
    only([*lost, *stayed], name, corpus)
    ids = dict.fromkeys([one.id for one in lost] + [one.record.id for one in stayed])
    return Stories(story(id, lost, stayed) for id in ids)


def story(id: str, lost: Sequence[Removal], stayed: Sequence[Kept]) -> Story:
    """What became of the record of an id."""
    own = tuple(one for one in lost if one.id == id)
    for split, record in stayed:
        if record.id == id:
            return Story(id, record.source, record.path, split, own, record.metadata, record.text)
    return Story(id, own[0].source, own[0].path, "", own, {}, "")


def told(one: Removal) -> str:
    """What is worth a line: the number that decided, details, bytes, the slice."""
    parts = [f"{one.value:.4g}" if one.value is not None else "", one.details]
    if one.what != "record":
        shown = " ".join(one.text.split())
        cut = shown[: SHOWN_CHARACTERS - 1] + "…" * (len(shown) >= SHOWN_CHARACTERS)
        parts += [f"bytes {one.byte_start}-{one.byte_end}", cut]
        parts += [f"-> {one.put[:SHOWN_CHARACTERS]!r}"] if one.put else []
    return "  ".join(part for part in parts if part)
