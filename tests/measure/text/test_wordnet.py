"""The table gives WordNet's synonyms; that it equals NLTK's reader: test_agreement.py."""

from groundup.measure.text import wordnet
from groundup.measure.text.wordnet import _base_forms, synonyms, synset_ids


def test_inflected_forms_lead_to_their_bases():
    assert _base_forms("geese", "noun") == ["goose"] and _base_forms("churches", "noun") == [
        "church"
    ]
    assert _base_forms("better", "adj") == ["better", "good", "well"]
    assert _base_forms("running", "verb") == ["run"] and _base_forms("quickly", "adv") == [
        "quickly"
    ]
    assert _base_forms("xyzzies", "noun") == [] and _base_forms("", "noun") == []


def test_synonyms_are_shared_both_ways():
    assert "automobile" in synonyms("car") and "car" in synonyms("automobile")
    assert not synset_ids("cars").isdisjoint(synset_ids("autos"))
    assert synset_ids("car").isdisjoint(synset_ids("banana"))
    assert synonyms("\ud800") == {"\ud800"}


def test_the_notice_travels_with_the_table():
    notice = wordnet.TABLE_FILE.with_suffix(".txt").read_text()
    assert "WordNet 3.0 Copyright 2006 by Princeton University" in notice
    assert "Permission to use, copy, modify and distribute" in notice
