"""The vocabularies: every meaning is one that the reader carries out."""

import pytest

from groundup.documents.articles.vocabularies import DOCBOOK, JATS, MALLARD

ACTS = set(
    "drop block line cell item heading section aside name fact put raw inline spaced".split()
)


@pytest.mark.parametrize("vocabulary", [DOCBOOK, JATS, MALLARD])
def test_meanings_are_known(vocabulary):
    for means in vocabulary.elements.values():
        assert means.act in ACTS
        assert means.value or means.act not in ("aside", "fact", "put")
