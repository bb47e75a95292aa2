"""Which snapshot of an index answers, which may go, and which folder the index was made of.

    out/
      snapshots/ID/          see index.py; the newest two are kept
      ledger/current.jsonl   the last line names the snapshot that answers
      source.json            the absolute path of the indexed folder

The snapshots hold all that answers, so a damaged ledger costs nothing but its history: the next
`groundup index` lays it aside and begins another. Knows nothing of what is in a snapshot.
"""

import fcntl
import json
import os
import shutil
from pathlib import Path
from shlex import quote

from groundup.core import (
    MANIFEST,
    ArtifactError,
    Pointer,
    record,
    unlinked,
    user_name,
    write_json,
)

LEDGER = "ledger/current.jsonl"
KEPT = 2
"""The snapshot that answers, and the one before: a reader may have it open."""
REMOVED = ".removed-"


def pointer_of(out: Path) -> Pointer:
    """The pointer to the current snapshot."""
    return Pointer(out / LEDGER)


def command(out: Path, source: str | None = None) -> str:
    """What to type to bring an index up to date."""
    return f"groundup index {quote(source) if source else 'FOLDER'} --out {quote(str(out))}"


def answering(out: Path) -> Path:
    """The snapshot that answers; one line tells of a torn end of the ledger.

    A kill while the pointer moves leaves a torn last line. The snapshot it would have named was
    never acknowledged, so the last whole line is the truth.

    Raises ArtifactError that tells apart a folder without an index and a damaged ledger.
    """
    pointer, again = pointer_of(out), command(out, read_root(out))
    torn = pointer.ledger.torn()
    try:
        name = pointer.value
    except ArtifactError as error:
        raise ArtifactError(f"{error} Or, and nothing is lost, run again: {again}") from None
    if is_name(name):
        if torn:
            record.say(
                f"{out / LEDGER} ends in {torn} bytes of a line that was never finished; the "
                f"answer is from the snapshot before, {name}. To bring it up to date: {again}"
            )
        return out / "snapshots" / name
    if not (out / LEDGER).exists() and not any((out / "snapshots").glob(f"*/{MANIFEST}")):
        raise ArtifactError(f"{out} holds no index; make one with: {again}")
    found = f"{torn} bytes without a whole line" if torn else "none"
    raise ArtifactError(
        f"The ledger of the index is damaged: {out / LEDGER} should hold a line that names the "
        f"current snapshot, it holds {found}; run again, nothing is lost: {again}"
    )


def is_name(value: object) -> bool:
    """Whether a pointer's value can be the name of a snapshot."""
    return isinstance(value, str) and "/" not in value and not value.startswith(".")


def last_name(out: Path) -> str | None:
    """The snapshot that answers, for the run that may make the next; None if no line tells."""
    try:
        return pointer_of(out).value
    except ArtifactError:
        return None


def move(out: Path, before: str | None, name: str, reason: str) -> None:
    """Let a complete snapshot answer, mend the ledger, and remove snapshots that are not needed.

    Raises ArtifactError if another run moved the pointer on since it was at `before`.
    """
    pointer = pointer_of(out)
    try:
        torn = pointer.ledger.torn() if pointer.value == name else 0
    except ArtifactError as error:
        aside = pointer.ledger.path.with_name("damaged.jsonl")
        os.replace(pointer.ledger.path, aside)
        record.say(f"{error} A new ledger begins; the old one now is {aside}.")
        torn = 0
    if before != name:
        pointer.move(before, name, author=user_name(), reason=reason)
        prune(out)
    elif torn:
        with pointer.ledger.writing():
            record.say(f"Cut {torn} bytes of an unfinished line off {pointer.ledger.path}.")


def prune(out: Path) -> None:
    """Remove all snapshots but those that answered last and those being written."""
    pointer, folder = pointer_of(out), out / "snapshots"
    with pointer.ledger.writing():  # so that no pointer moves meanwhile
        try:
            order = {move.content["value"]: move.sequence for move in pointer.history()}
        except ArtifactError:
            return  # what the ledger does not tell for sure is not removed
        paths = [path for path in folder.iterdir() if path.is_dir() and is_name(path.name)]
        paths.sort(key=lambda path: (order.get(path.name, 0), path.stat().st_mtime), reverse=True)
        for path in paths[KEPT:]:
            if not is_busy(path):
                # Renamed whole: a kill while removing leaves nothing that looks like a snapshot.
                os.replace(path, folder / f"{REMOVED}{path.name}")
    for path in folder.glob(f"{REMOVED}*"):
        shutil.rmtree(path, ignore_errors=True)


def is_busy(path: Path) -> bool:
    """Whether another run is writing a snapshot."""
    with open(path / ".lock", "a", opener=unlinked) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def write_root(out: Path, source: Path) -> None:
    """Note the folder that an index is made of."""
    root = str(source.resolve())
    if read_root(out) != root:
        write_json(out / "source.json", {"root": root})


def read_root(out: Path) -> str | None:
    """The indexed folder; None where that was not noted."""
    try:
        root = json.loads((out / "source.json").read_bytes())["root"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return root if isinstance(root, str) else None
