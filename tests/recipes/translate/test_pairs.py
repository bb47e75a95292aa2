"""Pages pair by their elements, sentences by their number, and no seen source is held out."""

import pytest

from groundup.core import DataError
from groundup.recipes.translate.pairs import (
    PairsConfig,
    SentencePair,
    _blocks_of,
    _fault,
    _find_pairs,
    _split_of,
    _split_pairs,
    make_pairs,
    read_pairs,
    sentences,
)
from tests.recipes.translate.manual import write_manual

PAGE = """<page><info><desc>How to &amp; why.</desc><credit><p>A Person</p></credit></info>
<title>Windows</title><p>Press <key>Tab</key>
  twice. Then wait.</p><media src="a.png"/><screen>ls -l</screen><p/><p>Done</p></page>"""


def test_the_elements_of_a_page_have_their_text():
    found = [(block.tag, block.text) for block in _blocks_of(PAGE)]
    assert found == [
        ("desc", "How to & why."), ("title", "Windows"), ("p", "Press Tab twice. Then wait."),
        ("p", "Done"),
    ]  # fmt: skip


def test_what_every_page_has_around_its_text_is_left_out():
    page = """<body><nav><p>Home</p></nav><noscript><h1>Enable scripts</h1></noscript>
    <h1>Sort</h1><p>Sort rows.</p><aside><p>News</p></aside><footer><p>Title is: Sort</p></footer>
    </body>"""
    assert [block.text for block in _blocks_of(page)] == ["Sort", "Sort rows."]


@pytest.mark.parametrize("broken", ["", "<p", "<p>a", "</p></p>x", "<p>a<p>b</q>", "&#xffffff;<p>"])
def test_broken_pages_are_read_as_far_as_they_go(broken):
    assert all(block.text for block in _blocks_of(broken))


def test_entities_are_not_expanded_without_end():
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaaaaaa"><!ENTITY b "&a;&a;">]><p>&b; end</p>'
    assert len(_blocks_of(bomb)[-1].text) < 80


def test_sentences_pair_where_both_sides_have_as_many():
    two, deux = _blocks_of("<p>Open it. Close it.</p>"), _blocks_of("<p>Ouvrez. Fermez.</p>")
    assert list(sentences(two, deux)) == [("Open it.", "Ouvrez."), ("Close it.", "Fermez.")]
    one = _blocks_of("<p>Ouvrez, fermez.</p>")
    assert list(sentences(two, one)) == [("Open it. Close it.", "Ouvrez, fermez.")]


def test_poor_pairs_have_a_reason():
    config = PairsConfig(longest=40, ratio=2.0)
    assert _fault("A window", "Ein Fenster", config) == ""
    assert _fault("8.1", "8.2", config) == "without words"
    assert _fault("x" * 41, "y" * 41, config) == "too long"
    assert _fault("x" * 40, "y" * 40, config) == ""
    assert _fault("a long sentence of words", "kurz und", config) == "of unlike length"
    assert _fault("short one", "ko", config) == ""


def test_pages_that_do_not_fit_are_counted(tmp_path):
    source, target = write_manual(tmp_path, pages=12)
    (target / "help" / "topic-00.page").unlink()
    (target / "help" / "topic-01.page").write_text("<page><p>Ander</p></page>")
    (target / "help" / "topic-02.page").write_bytes(b"\xff\xfe\x00<p>")
    (source / "help" / "notes.txt").write_text("no page")
    found = _find_pairs(source, target, PairsConfig())
    assert found.counts["pages in one language"] == 1
    assert found.counts["pages with other elements"] == 2
    assert found.counts["pages"] == 9
    assert found.pairs[0].page == "help/topic-03.page"
    with pytest.raises(DataError, match="is no folder"):
        _find_pairs(source, tmp_path / "none", PairsConfig())
    with pytest.raises(DataError, match="share no page"):
        _find_pairs(source, tmp_path / "en" / "help", PairsConfig())


def test_pages_are_held_out_whole_and_no_seen_source_is(tmp_path):
    source, target = write_manual(tmp_path)
    made = make_pairs(PairsConfig(), source, target, tmp_path / "pairs")
    parts = {name: read_pairs(made, name) for name in ("train", "validation", "test")}
    assert min(map(len, parts.values())) > 10
    pages = [{pair.page for pair in part} for part in parts.values()]
    assert not pages[0] & pages[1] and not pages[0] & pages[2] and not pages[1] & pages[2]
    again = make_pairs(PairsConfig(), source, target, tmp_path / "pairs")
    assert again.id == made.id
    name = next(f"p{i}" for i in range(99) if _split_of(f"p{i}", 20) == "test")
    held = SentencePair(name, "Open it.", "Öffnen.")
    other = SentencePair(next(f"p{i}" for i in range(99) if _split_of(f"p{i}", 20) == "train"),
                         "Open it.", "Aufmachen.")  # fmt: skip
    assert _split_pairs([held], 20)["test"] == [held]
    assert _split_pairs([held, other], 20)["test"] == []


def test_too_few_pages_say_which_split_is_empty(tmp_path):
    source, target = write_manual(tmp_path, pages=1)
    with pytest.raises(DataError, match="empty; give more pages"):
        make_pairs(PairsConfig(), source, target, tmp_path / "pairs")
