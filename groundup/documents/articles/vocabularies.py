"""The meanings of JATS and DocBook elements, read from vocabularies.toml."""

import tomllib
from pathlib import Path

from .xml import Means, Vocabulary

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _vocabulary(name: str) -> Vocabulary:
    table = _TABLES[name]
    elements = {
        element: Means(row["action"], row.get("value", ""), row.get("span", ""))
        for row in table["meanings"]
        for element in row["elements"].split()
    }
    return Vocabulary(elements, table["given_name"], table["surname"])


JATS = _vocabulary("jats")
DOCBOOK = _vocabulary("docbook")
