"""`groundup show`: what an artifact is, what it holds, where it came from."""

from pathlib import Path

from groundup.core import MANIFEST, Artifact, ArtifactError, Pointer, record


def show(path: Path, *, rehash: bool = False) -> str:
    """Show an artifact, or every artifact of a run.

    path    an artifact, an index, or a folder of them
    rehash  compare every file's content with the manifest, however large it is
    """
    inside = sorted(path.iterdir()) if path.is_dir() else []
    places = [place for folder in [path, *inside] for place in whole(folder)]
    if not places:
        raise ArtifactError(f"{path} holds no artifact; expected a {MANIFEST} in it or below it.")
    return "\n\n".join(one(place, rehash) for place in places)


def whole(folder: Path) -> list[Path]:
    """The folder if it is an artifact, the current snapshot if it is an index, else nothing."""
    if (folder / MANIFEST).is_file():
        return [folder]
    current = folder / "ledger" / "current.jsonl"
    name = Pointer(current).value if current.is_file() else None
    return [folder / "snapshots" / name] if isinstance(name, str) else []


def one(path: Path, rehash: bool) -> str:
    """Describe one artifact in a few aligned lines."""
    artifact = Artifact.open(path)
    if rehash:
        artifact.check_hashes()
    took = record.duration(artifact.seconds)
    rows = [
        ("path", str(path)),
        ("stage", f"{artifact.stage} version {artifact.version}, {took}"),
        ("from", ", ".join(f"{p.name} {p.id[:12]}" for p in artifact.parents) or "no artifact"),
        ("files", f"{len(artifact.files)}, {record.size(artifact.bytes)}"
         + (", every hash equal" if rehash else "")),
        *((name, figure(value)) for name, value in artifact.numbers.items()),
    ]  # fmt: skip
    width = max(len(name) for name, _ in rows)
    lines = [f"  {name:<{width}}  {value}" for name, value in rows if value]
    return f"{artifact.kind} {artifact.id[:12]}\n" + "\n".join(lines)


def figure(value: object) -> str:
    """One number as a person reads it; nested ones are left to --json."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value) if isinstance(value, str) else ""
