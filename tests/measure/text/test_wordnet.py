"""The table gives WordNet's synonyms; that it equals NLTK's reader: test_agreement.py."""

from groundup.measure.text import wordnet
from groundup.measure.text.wordnet import bases, senses, synonyms


def test_inflected_forms_lead_to_their_bases():
    assert bases("geese", "noun") == ["goose"] and bases("churches", "noun") == ["church"]
    assert bases("better", "adj") == ["better", "good", "well"]
    assert bases("running", "verb") == ["run"] and bases("quickly", "adv") == ["quickly"]
    assert bases("xyzzies", "noun") == [] and bases("", "noun") == []


def test_synonyms_are_shared_both_ways():
    assert "automobile" in synonyms("car") and "car" in synonyms("automobile")
    assert not senses("cars").isdisjoint(senses("autos"))
    assert senses("car").isdisjoint(senses("banana"))
    assert synonyms("\ud800") == {"\ud800"}


def test_the_notice_travels_with_the_table():
    notice = wordnet.TABLE.with_suffix(".txt").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in notice
    assert "Permission to use, copy, modify and distribute" in notice
