"""Pairs come from documents alone, and no document is on both sides."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.documents import ReadConfig, Record, read_data
from groundup.retrieve.encoders.pairs import PAIR_KINDS, PairsConfig, make_pairs, split_pairs
from tests.retrieve.encoders.small import documents

PAGE = """# Kettles

## Descaling

Pour vinegar into the kettle and let it stand for an hour. Rinse it twice with cold water.
The default of `--minutes` is 60. Never use soap, which leaves a film on the steel, and never pour
the vinegar into the sink while it is hot.
"""


def record(name: str, text: str) -> Record:
    read = next(iter(read_data(f"{name}.md", text.encode(), ReadConfig())))
    assert isinstance(read, Record)
    return read


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return documents(tmp_path_factory.mktemp("documents"))


def test_every_kind_is_made_and_no_pair_twice(made):
    pairs = make_pairs(made)
    kinds = Counter(pair.kind for pair in pairs)
    assert kinds["title"] == 10
    assert kinds["heading"] == 20
    assert kinds["cloze"] == 20
    assert kinds["docstring"] == 4
    assert len({(pair.query.casefold(), pair.passage) for pair in pairs}) == len(pairs)
    assert make_pairs(made) == pairs


def test_a_passage_says_neither_its_title_nor_its_cloze_sentence(made):
    for pair in make_pairs(made):
        if pair.kind in ("title", "heading"):
            assert pair.query.split(" > ")[-1] not in pair.passage.splitlines()
            assert "#" not in pair.passage
        if pair.kind == "cloze":
            assert pair.query not in pair.passage
    titles = {pair.query for pair in make_pairs(made) if pair.kind == "heading"}
    assert "The kettle of house 7 > Care" in titles


def test_all_pairs_of_a_passage_show_the_same_text(made):
    texts = {pair.passage for pair in make_pairs(made) if pair.kind == "cloze"}
    headings = {pair.passage for pair in make_pairs(made) if pair.kind == "heading"}
    assert headings == texts


def test_code_is_paired_with_what_its_docstring_says(made):
    pair = next(pair for pair in make_pairs(made) if pair.kind == "docstring")
    assert pair.query == "Return how the harbour holds all values."
    assert pair.query not in pair.passage
    assert "def f0(values):" in pair.passage


def test_questions_have_their_answer_in_the_passage():
    text = "# Lamp\n\n## Options\n\n" + "".join(
        f"- `--{name}`: {said}\n\n" for name, said in (
            ("colour", "Sets the colour of the lamp's light. The default is amber."),
            ("minutes", "Sets how long the lamp burns before it goes out. The default is 45."),
            ("quiet", "Turns off the click of the switch when the lamp is lit at night."),
        )
    )  # fmt: skip
    pairs = make_pairs([record("lamp", text)], PairsConfig(kinds=("question",)))
    assert pairs
    assert all(pair.kind == "question" and pair.query.endswith("?") for pair in pairs)


def test_only_wanted_kinds_are_made(made):
    config = PairsConfig(kinds=("title",))
    assert {pair.kind for pair in make_pairs(made, config)} == {"title"}
    whole = {pair.passage for pair in make_pairs(made, config)}
    cut = {pair.passage for pair in make_pairs(made) if pair.kind == "title"}
    assert not whole & cut  # nothing was taken out without cloze pairs
    assert set(PAIR_KINDS) == set(PairsConfig().kinds)


def test_a_text_of_two_documents_is_of_the_first(made):
    twin = record("twin", made[0].text)
    pairs = make_pairs([made[0], twin])
    assert {pair.document for pair in pairs} == {made[0].id}
    renamed = record("renamed", made[0].text.replace("# The", "# A second", 1))
    assert "A second" in make_pairs([renamed])[0].query
    assert {pair.document for pair in make_pairs([made[0], renamed])} == {made[0].id}


@settings(max_examples=15)
@given(st.integers(0, 30), st.sampled_from([0.1, 0.3, 0.6]))
def test_held_out_documents_are_never_trained_on(made, seed, share):
    config = PairsConfig(seed=seed, held_out=share)
    train, held_out = split_pairs(made, config)
    assert not {p.document for p in train} & {p.document for p in held_out}
    assert not {p.passage for p in train} & {p.passage for p in held_out}


def test_a_document_stays_on_its_side_when_others_are_added(made):
    def held(documents):
        return {
            pair.document for pair in split_pairs(documents, PairsConfig(held_out=0.4)).held_out
        }

    some = made[:7]
    assert held(some) == held(made) & {each.id for each in some}


def test_a_copy_of_a_held_out_passage_is_not_trained_on(made):
    held_out = [record("twin", made[0].text)]
    train, measured = split_pairs(made, PairsConfig(), held_out)
    assert measured
    assert made[0].id not in {pair.document for pair in train}


def test_documents_without_pairs_are_an_error(made):
    with pytest.raises(DataError, match="Got 0 pairs to train on, from 0 documents, and 0 to"):
        split_pairs([], PairsConfig())
    with pytest.raises(
        DataError, match="to measure on, from . others; at least 2 and 1 are needed"
    ):
        split_pairs(made[:1], PairsConfig())


def test_a_passage_without_text_of_its_own_is_left_out():
    page = record("kettle", PAGE)
    pairs = make_pairs([page], PairsConfig(kinds=("heading",)))
    assert [pair.query for pair in pairs] == ["Kettles > Descaling"]
    assert pairs[0].passage.startswith("Pour vinegar")
    short = record("short", "# Tea\n\nWait three minutes.\n")
    assert make_pairs([short]) == []
