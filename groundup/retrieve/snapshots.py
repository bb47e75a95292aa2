"""Which snapshot of an index is current: the ledger that says so, and its repair.

    out/
      snapshots/ID/          see index.py; the newest two are kept
      ledger/current.jsonl   the last line names the current snapshot
      source.json            the absolute path of the indexed folder

Snapshots are complete in themselves, so a damaged ledger loses only its history: the next
`groundup index` renames it and starts another.
"""

import contextlib
import json
import os
import shutil
from pathlib import Path
from shlex import quote
from uuid import uuid4

from groundup.core import (
    MANIFEST,
    ArtifactError,
    GroundupError,
    Pointer,
    lock_folder,
    record,
    user_name,
    write_json,
)

from .models import STORED

POINTER_LEDGER = "ledger/current.jsonl"
KEPT_SNAPSHOTS = 2
"""Number of kept snapshots: the current one and the previous, which a reader may have open."""
REMOVED_PREFIX = ".removed-"


def update_command_of(out: Path, source: str | None = None) -> str:
    """The command that updates an index."""
    return f"groundup index {quote(source) if source else 'FOLDER'} --out {quote(str(out))}"


def current_snapshot(out: Path) -> Path:
    """The path of the current snapshot; an incomplete last line of the ledger is reported.

    A kill while the pointer moves leaves an incomplete last line. The snapshot that it would have
    named was never acknowledged, so the last complete line counts.

    Raises ArtifactError, with different messages for a missing index and a damaged ledger.
    """
    pointer, again = Pointer(out / POINTER_LEDGER), update_command_of(out, read_root(out))
    torn = pointer.ledger.torn_bytes()
    try:
        name = pointer.value
    except ArtifactError as error:
        raise ArtifactError(f"{error} Or, and nothing is lost, run again: {again}") from None
    if _is_snapshot_name(name):
        if torn:
            record.log(
                f"{out / POINTER_LEDGER} ends in {torn} bytes of a line that was never finished; "
                f"the previous snapshot {name} is used. To update the index, run: {again}"
            )
        return out / "snapshots" / name
    if not (out / POINTER_LEDGER).exists() and not any((out / "snapshots").glob(f"*/{MANIFEST}")):
        raise ArtifactError(f"{out} holds no index; make one with: {again}")
    raise ArtifactError(
        f"The ledger of the index is damaged: {out / POINTER_LEDGER} names no current snapshot; "
        f"run again, nothing is lost: {again}"
    )


def _is_snapshot_name(value: object) -> bool:
    return isinstance(value, str) and "/" not in value and not value.startswith(".")


def current_name(out: Path) -> str | None:
    """The name of the current snapshot; None if the ledger does not name one."""
    try:
        return Pointer(out / POINTER_LEDGER).value
    except ArtifactError:
        return None


def earlier_snapshots(out: Path) -> list[Path]:
    """The snapshots that were current, the newest first; what is left of them may be damaged."""
    names = [move.content["value"] for move in Pointer(out / POINTER_LEDGER).history()]
    named = dict.fromkeys(filter(_is_snapshot_name, reversed(names)))
    return [out / "snapshots" / name for name in named]


def set_current(out: Path, previous: str | None, name: str, reason: str) -> None:
    """Make a complete snapshot the current one, repair the ledger and delete old snapshots.

    Raises ArtifactError if another run moved the pointer since it was at `previous`.
    """
    pointer = Pointer(out / POINTER_LEDGER)
    try:
        torn = pointer.ledger.torn_bytes() if pointer.value == name else 0
    except ArtifactError as error:
        renamed = pointer.ledger.path.with_name("damaged.jsonl")
        os.replace(pointer.ledger.path, renamed)
        record.log(f"{error} A new ledger is started; the old one is now {renamed}.")
        torn = 0
    if previous != name:
        try:
            pointer.move(previous, name, author=user_name(), reason=reason)
        except ArtifactError as error:
            if pointer.value == previous:
                raise
            text = f"Another `groundup index` wrote {out} meanwhile; run the command again."
            raise ArtifactError(text) from error
        _prune_snapshots(out)
    elif torn:
        with pointer.ledger.lock_for_append():
            record.log(f"Cut {torn} bytes of an unfinished line off {pointer.ledger.path}.")


def _prune_snapshots(out: Path) -> None:
    """Delete all snapshots but the last two and those being written."""
    pointer, folder = Pointer(out / POINTER_LEDGER), out / "snapshots"
    with pointer.ledger.lock_for_append():  # so that the pointer does not move meanwhile
        try:
            order = {move.content["value"]: move.sequence for move in pointer.history()}
        except ArtifactError:
            return  # what the ledger does not tell for sure is not removed
        paths = [p for p in folder.iterdir() if p.is_dir() and _is_snapshot_name(p.name)]
        paths.sort(key=lambda path: (order.get(path.name, 0), path.stat().st_mtime), reverse=True)
        for path in paths[KEPT_SNAPSHOTS:]:
            with contextlib.suppress(ArtifactError), lock_folder(path):  # not being written
                _set_aside(path)
    _delete_set_aside(folder)


def remove_snapshot(snapshot: Path) -> None:
    """Remove a snapshot that its caller has locked, and its rows in a database."""
    _set_aside(snapshot)
    _delete_set_aside(snapshot.parent)


def _set_aside(snapshot: Path) -> None:
    # Renamed first: a kill during deletion leaves nothing that looks like a snapshot, and threads
    # of a failed index may still write there.
    os.replace(snapshot, snapshot.with_name(f"{REMOVED_PREFIX}{snapshot.name}-{uuid4().hex[:8]}"))


def _delete_set_aside(folder: Path) -> None:
    for path in folder.glob(f"{REMOVED_PREFIX}*"):
        try:
            if (path / STORED).is_file():
                from .encoders.postgres import delete_runs  # imports numpy

                delete_runs(path)
            shutil.rmtree(path, ignore_errors=True)
        except (GroundupError, ValueError) as error:
            record.log(f"{path} is kept, for its rows could not be deleted: {error}")


def write_root(out: Path, source: Path | None) -> None:
    """Record the folder that was indexed; None for a corpus, whose files may be anywhere."""
    if source is None:
        (out / "source.json").unlink(missing_ok=True)
    elif read_root(out) != str(source.resolve()):
        write_json(out / "source.json", {"root": str(source.resolve())})


def read_root(out: Path) -> str | None:
    """The indexed folder; None if it was not recorded."""
    try:
        root = json.loads((out / "source.json").read_bytes())["root"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return root if isinstance(root, str) else None
