"""The vocabularies: well formed, and every meaning is one that the reader implements."""

import pytest

from groundup.documents.articles import vocabularies
from groundup.documents.articles.vocabularies import DOCBOOK, JATS

ACTS = set(
    "drop block line cell item heading section aside name fact put raw inline spaced".split()
)


@pytest.mark.parametrize("vocabulary", [DOCBOOK, JATS])
def test_meanings_are_known(vocabulary):
    for means in vocabulary.elements.values():
        assert means.action in ACTS
        assert means.value or means.action not in ("aside", "fact", "put")


@pytest.mark.parametrize("table", vocabularies._TABLES.values(), ids=list(vocabularies._TABLES))
def test_an_element_is_listed_once(table):
    assert set(table) == {"given_name", "surname", "meanings"}
    assert all(set(row) <= {"action", "value", "span", "elements"} for row in table["meanings"])
    names = [name for row in table["meanings"] for name in row["elements"].split()]
    assert len(set(names)) == len(names)
