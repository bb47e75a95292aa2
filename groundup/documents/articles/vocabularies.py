"""The meanings of JATS and DocBook elements, read from vocabularies.toml."""

import tomllib
from pathlib import Path

from .xml import ElementMeaning, XmlVocabulary

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def _vocabulary(name: str) -> XmlVocabulary:
    table = _TABLES[name]
    elements = {
        element: ElementMeaning(row["action"], row.get("value", ""), row.get("span", ""))
        for row in table["meanings"]
        for element in row["elements"].split()
    }
    return XmlVocabulary(elements, table["given_name"], table["surname"])


JATS = _vocabulary("jats")
DOCBOOK = _vocabulary("docbook")
