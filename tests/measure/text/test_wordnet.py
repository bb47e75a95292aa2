"""The table gives WordNet's synonyms, and is what Debian's files give."""

import lzma
from pathlib import Path

import pytest

from benchmarks.measure.wordnet_table import build_table, build_word_list
from groundup.core import DataError
from groundup.documents.structure.dictionary import DICTIONARY_FILE, is_dictionary_word
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


def test_the_list_of_words_has_what_the_table_has(tmp_path):
    words = "mice went running better churches boxes xyzzy zzz Paris e x '' naïve \ud800".split()
    assert [is_dictionary_word(word) for word in words] == [
        bool(synset_ids(word)) for word in words
    ]
    assert not is_dictionary_word("") and not is_dictionary_word("mice\nmice")
    build_word_list(tmp_path / "words.txt")
    assert (tmp_path / "words.txt").read_bytes() == DICTIONARY_FILE.read_bytes()


SOURCE = Path("/usr/share/wordnet")
IRREGULAR = {"verb": "went go\n", "noun": "motors motor_car\nmice_x x\n"}


def write_source(folder: Path) -> None:
    head = "  1 This software\n  2 is free.\n"
    lines = {
        "noun": "00000001 03 n 03 car 0 Auto 0 motor_car 0 000 | x\n"
        "00000002 03 n 01 car 0 000 | y\n"
        "00000003 03 n 02 Paris 0 City_of_Light 0 000 | z\n",
        "verb": "00000001 30 v 02 go 0 travel 1 000 | x\n",
        "adj": "00000001 00 s 02 glad(p) 0 happy 0 000 | x\n",
        "adv": "00000001 02 r 01 well 0 000 | x\n",
    }
    for part, data in lines.items():
        (folder / f"data.{part}").write_text(head + data)
        (folder / f"{part}.exc").write_text(IRREGULAR.get(part, ""))


def test_a_table_made_from_files_reads_as_they_say(tmp_path, monkeypatch):
    write_source(tmp_path)
    table = tmp_path / "table.xz"
    build_table(tmp_path, table)
    monkeypatch.setattr(wordnet, "TABLE_FILE", table)
    caches = (wordnet._load_wordnet, wordnet.synset_ids, wordnet.synonyms)
    try:
        [cached.cache_clear() for cached in caches]
        assert wordnet._load_wordnet()["noun"].synsets == [("car", "Auto", "motor_car")]
        assert wordnet._load_wordnet()["adj"].synsets == [("glad", "happy")]
        assert synonyms("went") == {"went", "go", "travel"}
        assert synonyms("motors") == {"motors", "car", "Auto"}
        assert synonyms("autos") == {"autos", "car", "Auto"}
    finally:
        monkeypatch.undo()
        [cached.cache_clear() for cached in caches]
    assert table.with_suffix(".txt").read_text().endswith("This software\nis free.\n")


def test_missing_files_are_told(tmp_path):
    with pytest.raises(DataError, match="wordnet-base"):
        build_table(tmp_path, tmp_path / "table.xz")


@pytest.mark.slow
@pytest.mark.skipif(not SOURCE.is_dir(), reason="needs Debian's package wordnet-base")
def test_the_kept_table_is_what_the_package_gives(tmp_path):
    made = tmp_path / "wordnet.xz"
    build_table(SOURCE, made)
    assert lzma.decompress(made.read_bytes()) == lzma.decompress(wordnet.TABLE_FILE.read_bytes())
    assert (
        made.with_suffix(".txt").read_text() == wordnet.TABLE_FILE.with_suffix(".txt").read_text()
    )
