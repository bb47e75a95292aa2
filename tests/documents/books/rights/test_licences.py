"""Names of licences in several languages and whole texts lead to one identifier."""

import re

import pytest

from groundup.documents.books.rights.licences import ELEMENTS, LICENCES, TEXTS


@pytest.mark.parametrize(
    "element, words",
    [
        ("BY", ["Attribution", "Paternité", "Namensnennung", "Atribución", "表示"]),
        ("NC", ["NonCommercial", "Non-Commercial", "pas d'utilisation commerciale", "非営利"]),
        ("ND", ["NoDerivatives", "keine Bearbeitung", "改変禁止"]),
        ("SA", ["ShareAlike", "share-alike", "compartir igual", "継承"]),
    ],
)
def test_an_element_is_known_by_its_names(element, words):
    for word in words:
        assert re.fullmatch(ELEMENTS[element], word, re.IGNORECASE), word


def test_every_pattern_compiles_and_none_matches_nothing():
    for pattern, _ in (*LICENCES, *TEXTS):
        assert not re.compile(pattern, re.IGNORECASE | re.DOTALL).search("")


def test_names_lead_to_one_identifier():
    found = {
        text: [name for pattern, name in LICENCES if re.search(pattern, text, re.IGNORECASE)]
        for text in ("the Apache License, Version 2.0", "the MIT License", "GNU GPL version 3")
    }
    assert list(found.values()) == [["Apache-2.0"], ["MIT"], ["GPL"]]
