"""`groundup show`: what an artifact is, what it holds, where it came from."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MANIFEST, Artifact, ArtifactError, Parent, artifact_places, record


class Ancestor(NamedTuple):
    """An input of an artifact, and its inputs back to those that have none."""

    name: str
    kind: str
    """Empty if it is not here."""
    id: str
    path: str
    """Where it is; where it was, relative to its child, if it is not here."""
    here: bool
    repeated: bool
    """Whether it stands in the tree already, so that its own inputs are not repeated."""
    parents: "tuple[Ancestor, ...]"

    def lines(self, indent: str = "    ") -> Iterator[str]:
        """The tree from here to the roots."""
        place = self.path if self.here else f"not here (was {self.path})"
        name = self.name if self.kind in ("", self.name) else f"{self.name}: {self.kind}"
        above = "  as above" if self.repeated else ""
        yield f"{indent}{name} {self.id[:12]}  {place}{above}"
        for parent in self.parents:
            yield from parent.lines(indent + "  ")


class Shown(NamedTuple):
    """A manifest with the lineage of its artifact; printed for people, told whole with --json."""

    kind: str
    id: str
    path: str
    stage: str
    version: int
    config: dict[str, Any]
    parents: tuple[Ancestor, ...]
    files: dict[str, dict[str, Any]]
    bytes: int
    numbers: dict[str, Any]
    seconds: float
    device: dict[str, Any]
    git: str
    rehashed: bool

    def text(self, lineage: bool) -> str:
        """Aligned rows; the whole lineage below them, or its first generation in one of them."""
        came = "" if lineage else ", ".join(f"{p.name} {p.id[:12]}" for p in self.parents)
        rows = [
            ("path", self.path),
            ("stage", f"{self.stage} version {self.version}, {record.duration(self.seconds)}"),
            ("from", came if self.parents else "no artifact"),
            ("files", f"{len(self.files)}, {record.size(self.bytes)}"
             + (", every hash equal" if self.rehashed else "")),
            *((name, figure(value)) for name, value in self.numbers.items()),
        ]  # fmt: skip
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in rows if value]
        if lineage and self.parents:
            lines += ["  came from", *(line for p in self.parents for line in p.lines())]
        return f"{self.kind} {self.id[:12]}\n" + "\n".join(lines)

    def __str__(self) -> str:
        """For people, back to the roots."""
        return self.text(lineage=True)


class ShownRun(NamedTuple):
    """Every artifact of a folder."""

    artifacts: tuple[Shown, ...]

    def __str__(self) -> str:
        """One after another; what each came from stands among them."""
        return "\n\n".join(shown.text(lineage=False) for shown in self.artifacts)


def show(path: Path, *, rehash: bool = False) -> Shown | ShownRun:
    """Show an artifact and what it came from, or every artifact of a run.

    path    an artifact, an index, or a folder of them
    rehash  compare every file's content with the manifest, however large it is
    """
    if alone := artifact_places(path):
        return one(alone[0], rehash)
    inside = sorted(path.iterdir()) if path.is_dir() else []
    places = [place for folder in inside for place in artifact_places(folder)]
    if not path.exists():
        raise ArtifactError(f"{path}: there is no such folder.")
    if not places:
        raise ArtifactError(f"{path} holds no artifact; expected a {MANIFEST} in it or below it.")
    return ShownRun(tuple(one(place, rehash) for place in places))


def one(path: Path, rehash: bool) -> Shown:
    """Read one artifact and follow its parents."""
    artifact = Artifact.open(path)
    if rehash:
        artifact.check_hashes()
    told = {artifact.id}
    parents = tuple(ancestor(parent, path, told) for parent in artifact.parents)
    return Shown(
        artifact.kind, artifact.id, str(path), artifact.stage, artifact.version, artifact.config,
        parents, artifact.files, artifact.bytes, artifact.numbers, artifact.seconds,
        artifact.device, artifact.git, rehash,
    )  # fmt: skip


def ancestor(parent: Parent, child: Path, told: set[str]) -> Ancestor:
    """Follow the recorded path of an input; what is elsewhere or another one now is not here."""
    place = (child / parent.path).resolve()
    try:
        found = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        kind, further = found["kind"], [Parent(**one) for one in found["parents"]]
        here = found["id"] == parent.id
    except (OSError, ValueError, KeyError, TypeError):
        here, kind, further = False, "", []
    if not here:
        return Ancestor(parent.name, "", parent.id, parent.path, False, False, ())
    near = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
    repeated = parent.id in told
    told.add(parent.id)
    parents = () if repeated else tuple(ancestor(each, place, told) for each in further)
    return Ancestor(parent.name, kind, parent.id, str(near), True, repeated, parents)


def figure(value: object) -> str:
    """One number as a person reads it; nested ones are left to --json."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value) if isinstance(value, str) else ""
