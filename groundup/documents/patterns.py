"""Pattern files: lists of words and regular expressions that are data, in TOML.

In a string, `{NAME}` is replaced by the string NAME of the file's table `fragments`, which may use
others; names are capitals, so repetitions such as `{1,40}` are not affected. A list of
alternatives at the top of the file is a fragment too.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FRAGMENT = re.compile(r"\{([A-Z][A-Z_]+)\}")
_MAX_DEPTH = 6
"""How deep fragments may be nested."""


def read_patterns(path: Path) -> dict[str, Any]:
    """The tables of a pattern file, its fragments replaced."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    fragments = {name: join_lines(text) for name, text in tables.get("fragments", {}).items()}
    for name, value in tables.items():
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            fragments[name.upper()] = "|".join(value)
    return expand(tables, fragments)


class Patterns:
    """The expressions of a pattern file as attributes, each compiled when it is first used."""

    def __init__(self, written: Mapping[str, str]) -> None:
        """Keep the expressions by name."""
        self.written = written

    def __getattr__(self, name: str) -> re.Pattern[str]:
        if name == "written" or name not in self.written:
            raise AttributeError(name)
        pattern = re.compile(join_lines(self.written[name]))
        setattr(self, name, pattern)  # found without this method from now on
        return pattern


def compile_patterns(path: Path) -> Patterns:
    """The expressions of a pattern file's table `patterns`."""
    return Patterns(read_patterns(path)["patterns"])


def join_lines(expression: str) -> str:
    """A long expression without its line breaks, which are layout."""
    return expression.replace("\n", "")


def expand(value: Any, fragments: Mapping[str, str]) -> Any:
    """Replace the fragments in all strings of a value; a fragment without a definition stays.

    >>> expand({"lines": ["{NICK} left"]}, {"NICK": "[a-z]{1,9}"})
    {'lines': ['[a-z]{1,9} left']}
    """
    if isinstance(value, str):
        for _ in range(_MAX_DEPTH):
            value = _FRAGMENT.sub(lambda found: fragments.get(found[1], found[0]), value)
        return value
    if isinstance(value, list):
        return [expand(item, fragments) for item in value]
    if isinstance(value, dict):
        return {key: expand(item, fragments) for key, item in value.items()}
    return value
