"""Regular expressions and word lists that are kept in TOML files next to the code that uses them.

In an expression a line break is layout and is removed, and `<NAME>` stands for the entry NAME of
the file's table `fragments`; a fragment may use those above it.
"""

import re
import tomllib
from pathlib import Path
from typing import Any


class Tables:
    """A TOML file of expressions and word lists."""

    def __init__(self, path: Path) -> None:
        self.data: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
        self.fragments: dict[str, str] = {}
        for name, written in self.data.get("fragments", {}).items():
            self.fragments[name] = self.expand(written)

    def expand(self, written: str) -> str:
        """Return an expression without its line breaks and with its fragments filled in."""
        joined = written.replace("\n", "")
        return re.sub("<([A-Z][A-Z_]*)>", lambda match: self.fragments[match[1]], joined)
