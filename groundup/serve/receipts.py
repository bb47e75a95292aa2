"""Receipts: what is needed to give an answer again, byte for byte, signed by the server.

    RECEIPTS/key               signs; 32 random bytes, made by the first server
    RECEIPTS/2026-12-01.jsonl  a ledger (core/ledger.py), one a day (UTC):
        {"id": "chatcmpl-…", "model": {…}, "prompts": [[…]], "seeds": […], "answers": [[…]], …}

A thread writes what has gathered with one fsync, so no answer waits for the disk, unless too many
receipts do: none is lost. They hold prompts and answers, so the folder is its owner's alone.
"""

import asyncio
import os
import queue
import secrets
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from groundup.core import (
    ArtifactError,
    ConfigError,
    DataError,
    GroundupError,
    Ledger,
    record,
    write_text,
)

from .keys import edit_privately

if TYPE_CHECKING:
    from .openai.answering import Exchange, Served

KEY, KEY_BYTES = "key", 32
MAX_WAITING, MAX_GROUP = 1_024, 64
"""Receipts that wait for the disk before answers wait for them, and those written together."""
RETRY_SECONDS = 5.0
CIRCUMSTANCES = ("native", "dtype", "threads", "kernels", "device", "groundup")
"""Facts of an engine on which the bits of an answer may depend."""


def default_folder() -> Path:
    """Where receipts are kept: $XDG_STATE_HOME/groundup/receipts, in ~/.local/state if unset."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "groundup" / "receipts"


class Receipts:
    """The receipts of one server, which may share its folder with others."""

    def __init__(self, folder: Path) -> None:
        """Open a folder, which is made if it is missing.

        Raises ConfigError if others can read it, ArtifactError if its key is damaged.
        """
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if folder.stat().st_mode & 0o077:
                what = f"{folder} holds prompts, and others can open it; run: chmod 700 {folder}"
                raise ConfigError(f"{what} (or give another folder as --receipts).")
            with edit_privately(folder):  # of servers that begin at once, one makes the key
                if not (folder / KEY).exists():
                    write_text(folder / KEY, secrets.token_hex(KEY_BYTES))
        except OSError as error:
            what = f"Receipts cannot be kept in {folder}: {error.strerror}"
            raise ConfigError(f"{what}; give another --receipts DIR, or --no-receipts.") from None
        self.folder, self.key = folder, read_key(folder)
        self.waiting: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self.stopping = threading.Event()
        self.part = 0
        """Ledgers of a day that were damaged by others, and are left as they are."""
        self.thread = threading.Thread(target=self._write, name="receipts", daemon=True)
        self.thread.start()

    def keep(self, served: "Served", exchange: "Exchange") -> None:
        """Keep what an answer was made of, if anything of it was chosen; see `wait_for_room`."""
        engine = exchange.engine
        if engine is None or not (any(exchange.answers) or exchange.asked):
            return
        facts = {name: engine.facts[name] for name in CIRCUMSTANCES if name in engine.facts}
        self.waiting.put({
            "id": exchange.id, "created": exchange.created, "tenant": exchange.tenant,
            "name": served.name, "release": served.release,
            "settings": engine.settings.model_dump(exclude_defaults=True),
            "identity": engine.facts.get("identity", {}), "circumstances": facts,
            "prompts": exchange.prompts, "seeds": exchange.seeds,
            "sampling": exchange.sampling.model_dump(mode="json", exclude_defaults=True),
            "answers": exchange.answers, "asked": exchange.asked,
            "ended": [ended or "abort" for ended in exchange.ended],
        })  # fmt: skip

    async def wait_for_room(self) -> None:
        """Wait while the disk cannot keep up."""
        while self.waiting.qsize() > MAX_WAITING:
            await asyncio.sleep(0.01)

    def close(self) -> None:
        """Write what waits; what the disk does not take is lost now, and logged."""
        self.stopping.set()
        self.waiting.put(None)
        self.thread.join()

    def _write(self) -> None:
        is_open = True
        while is_open:
            group = [self.waiting.get()]
            while len(group) < MAX_GROUP and not self.waiting.empty():
                group.append(self.waiting.get())
            records = [each for each in group if each is not None]
            is_open = len(records) == len(group)
            if records:
                self._append(records)

    def _append(self, group: list[dict[str, Any]]) -> None:
        tries = 0
        while True:
            part = f"-{self.part}" if self.part else ""
            file = self.folder / f"{datetime.now(UTC):%Y-%m-%d}{part}.jsonl"
            try:
                Ledger(file, self.key).append_all(group)
                return
            except DataError as error:  # of one of them, which must not keep the others waiting
                if len(group) == 1:
                    record.log(f"The receipt of {group[0]['id']} is lost: {error}")
                else:
                    for each in group:
                        self._append([each])
                return
            except GroundupError as error:
                tries += 1
                self.part += isinstance(error, ArtifactError)
                record.log(f"{len(group)} receipts are not written yet: {error}")
            if self.stopping.wait(RETRY_SECONDS) and tries > 1:
                record.log(f"{len(group)} receipts are lost.")
                return


def find_receipt(folder: Path, id: str) -> dict[str, Any]:
    """The receipt of an answer, in a ledger of which no line was edited.

    Raises ConfigError if there is none, ArtifactError if the ledger that has it was damaged, or any
    if none has it.
    """
    key, files = read_key(folder), receipt_files(folder)
    files.sort(key=lambda file: not _mentions(file, id.encode()))  # the others are read in vain
    for file in files:
        found = [each.content for each in Ledger(file, key).read() if each.content["id"] == id]
        if found:
            return found[0]
    what = f"There is no receipt {id[:100]!r} in {folder}"
    raise ConfigError(f"{what}; give the id of an answer, and --receipts DIR if it is elsewhere.")


def receipt_files(folder: Path) -> list[Path]:
    """The ledgers of a folder, the newest first."""
    return sorted(folder.glob("*.jsonl"), reverse=True)


def _mentions(file: Path, id: bytes) -> bool:
    with open(file, "rb") as lines:
        return any(id in line for line in lines)


def read_key(folder: Path) -> bytes:
    """The key of a folder; ArtifactError if it is missing or damaged."""
    try:
        key = bytes.fromhex((folder / KEY).read_text(encoding="ascii"))
    except (OSError, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        what = f"{folder / KEY} is no key, so no receipt there can be checked"
        raise ArtifactError(f"{what}; restore it, or give the folder of a server as --receipts.")
    return key
