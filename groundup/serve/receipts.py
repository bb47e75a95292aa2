"""Receipts: what is needed to give an answer again, byte for byte, signed by the server.

    {"id": "chatcmpl-…", "prompts": [[…]], "sampling": {…}, "seeds": […], "answers": [[…]], …}

They stand in ledgers (core/ledger.py), one a day. See replay.py.
"""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .openai.answering import Exchange, Served


class Receipts:
    """The receipts of one server."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep(self, served: "Served", exchange: "Exchange") -> None:
        """Keep what an answer was made of."""
