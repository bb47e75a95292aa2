"""Pattern files: lists of words and regular expressions that are data, in TOML.

In a string, `{NAME}` is replaced by the string NAME of the file's table `fragments`, which may use
those above it; names are capitals, so repetitions such as `{1,40}` are not affected.
"""

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_FRAGMENT = re.compile(r"\{([A-Z][A-Z_]+)\}")


def read_patterns(path: Path) -> dict[str, Any]:
    """The tables of a pattern file, its fragments replaced."""
    tables = tomllib.loads(path.read_text(encoding="utf-8"))
    fragments: dict[str, str] = {}
    for name, text in tables.get("fragments", {}).items():
        fragments[name] = expand(text, fragments)
    return expand(tables, fragments)


def join_lines(expression: str) -> str:
    """A long expression without its line breaks, which are layout."""
    return expression.replace("\n", "")


def expand(value: Any, fragments: Mapping[str, str]) -> Any:
    """Replace the fragments in all strings of a value; a fragment without a definition stays.

    >>> expand({"lines": ["{NICK} left"]}, {"NICK": "[a-z]{1,9}"})
    {'lines': ['[a-z]{1,9} left']}
    """
    if isinstance(value, str):
        return _FRAGMENT.sub(lambda found: fragments.get(found[1], found[0]), value)
    if isinstance(value, list):
        return [expand(item, fragments) for item in value]
    if isinstance(value, dict):
        return {key: expand(item, fragments) for key, item in value.items()}
    return value
