"""Tables of LaTeX commands, read from commands.toml, which explains them.

A command that no table names is dropped and its arguments in braces are kept, as `detex` does.
"""

import tomllib
from pathlib import Path

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _inverted(table: str) -> dict[str, str]:
    """Command to value of a table that lists the commands of each value."""
    return {name: value for value, names in _TABLES[table].items() for name in names.split()}


def _names(table: str) -> frozenset[str]:
    return frozenset(_TABLES[table].split())


ARGUMENTS = _inverted("arguments")
ENVIRONMENT_ARGUMENTS = _inverted("environment_arguments")
FLOATS = _inverted("floats")
HEADINGS = {name: int(level) for name, level in _inverted("headings").items()}
BREAKING = {name: int(strength) for name, strength in _inverted("breaking").items()}
DEFINITIONS, AFFILIATIONS, NOTES, REFERENCES, NOT_CITATIONS, TABLES, DROPPED, MATHS = map(
    _names,
    "definitions affiliations notes references not_citations tables dropped maths".split(),
)
VERBATIM: list[str] = _TABLES["verbatim"].split()
ACCENTS: dict[str, str] = _TABLES["accents"]
SIGNS: dict[str, str] = _TABLES["signs"]
SYMBOLS: dict[str, str] = _TABLES["symbols"]
LIGATURES: dict[str, str] = _TABLES["ligatures"]
