"""`groundup show`: an artifact's manifest and lineage."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from groundup.core import MANIFEST, Artifact, ArtifactError, Parent, artifact_paths, record


class Ancestor(NamedTuple):
    """An input of an artifact, with its own inputs recursively."""

    name: str
    kind: str
    """Empty if it is missing."""
    id: str
    path: str
    """Its path; if it is missing, its recorded path relative to its child."""
    here: bool
    repeated: bool
    """Whether it occurs earlier in the tree, so that its inputs are not repeated."""
    parents: "tuple[Ancestor, ...]"

    def lines(self, indent: str = "    ") -> Iterator[str]:
        """Yield the lines of the tree from here to the roots."""
        place = self.path if self.here else f"missing (was {self.path})"
        name = self.name if self.kind in ("", self.name) else f"{self.name}: {self.kind}"
        above = "  as above" if self.repeated else ""
        yield f"{indent}{name} {self.id[:12]}  {place}{above}"
        for parent in self.parents:
            yield from parent.lines(indent + "  ")


class ShownArtifact(NamedTuple):
    """A manifest with its artifact's lineage; complete with --json."""

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
        """Aligned rows, followed by the lineage, or with the parents in one row."""
        came = "" if lineage else ", ".join(f"{p.name} {p.id[:12]}" for p in self.parents)
        rows = [
            ("path", self.path),
            (
                "stage",
                f"{self.stage} version {self.version}, {record.format_duration(self.seconds)}",
            ),
            ("from", came if self.parents else "no artifact"),
            (
                "files",
                f"{len(self.files)}, {record.format_bytes(self.bytes)}"
                + (", every hash equal" if self.rehashed else ""),
            ),
            *((name, _format_number(value)) for name, value in self.numbers.items()),
        ]
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in rows if value]
        if lineage and self.parents:
            lines += ["  came from", *(line for p in self.parents for line in p.lines())]
        return f"{self.kind} {self.id[:12]}\n" + "\n".join(lines)

    def __str__(self) -> str:
        """Text with the complete lineage."""
        return self.text(lineage=True)


class ShownRun(NamedTuple):
    """All artifacts of a run."""

    artifacts: tuple[ShownArtifact, ...]

    def __str__(self) -> str:
        """All artifacts; their parents are among them."""
        return "\n\n".join(shown.text(lineage=False) for shown in self.artifacts)


def show(path: Path, *, rehash: bool = False) -> ShownArtifact | ShownRun:
    """Show an artifact and its lineage, or every artifact of a run.

    path    an artifact, an index, or a folder of them
    rehash  verify the hash of every file
    """
    if own := artifact_paths(path):
        return _read_artifact(own[0], rehash)
    inside = sorted(path.iterdir()) if path.is_dir() else []
    places = [place for folder in inside for place in artifact_paths(folder)]
    if not path.exists():
        raise ArtifactError(
            f"{path} does not exist; expected an artifact or a folder of artifacts."
        )
    if not places:
        raise ArtifactError(
            f"{path} has no artifact; expected a {MANIFEST} in it or in its subfolders."
        )
    return ShownRun(tuple(_read_artifact(place, rehash) for place in places))


def _read_artifact(path: Path, rehash: bool) -> ShownArtifact:
    artifact = Artifact.open(path)
    if rehash:
        artifact.check_hashes()
    seen = {artifact.id}
    parents = tuple(_read_ancestor(parent, path, seen) for parent in artifact.parents)
    return ShownArtifact(
        artifact.kind, artifact.id, str(path), artifact.stage, artifact.version, artifact.config,
        parents, artifact.files, artifact.bytes, artifact.numbers, artifact.seconds,
        artifact.device, artifact.git, rehash,
    )  # fmt: skip


def _read_ancestor(parent: Parent, child: Path, seen: set[str]) -> Ancestor:
    """Follow the recorded path of an input; if moved or replaced, it counts as missing."""
    place = (child / parent.path).resolve()
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        kind, further = manifest["kind"], [Parent(**fields) for fields in manifest["parents"]]
        here = manifest["id"] == parent.id
    except (OSError, ValueError, KeyError, TypeError):
        here, kind, further = False, "", []
    if not here:
        return Ancestor(parent.name, "", parent.id, parent.path, False, False, ())
    near = place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place
    repeated = parent.id in seen
    seen.add(parent.id)
    parents = () if repeated else tuple(_read_ancestor(p, place, seen) for p in further)
    return Ancestor(parent.name, kind, parent.id, str(near), True, repeated, parents)


def _format_number(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value) if isinstance(value, str) else ""
