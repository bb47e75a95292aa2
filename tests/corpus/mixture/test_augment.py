"""Augmented records hold what their parents hold, and are the same whenever they are made."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import Config
from groundup.corpus.mixture.augment import (
    Deriver,
    FillInTheMiddle,
    FillInTheMiddleConfig,
    _move_middle,
    make_derived,
)
from groundup.documents import Record, SourceMap, from_batch, to_batch
from tests.corpus.dedup.shards import words

MARKS = ("<P>", "<S>", "<M>")
HOSTILE = ["", "\0" * 99, "#\n" * 100_000, "a" * 1_000_000, "# a\n" * 50_000 + "x", "(" * 5_000]


def plain(text: str, name: str = "a", **metadata) -> Record:
    return Record(name, "s", name, "text", text, SourceMap.identity(text), (), metadata)


@given(st.text("abc\n"), st.integers(0, 99), st.integers(0, 99), st.booleans())
def test_a_moved_middle_can_be_put_back(text, one, other, is_spm):
    low, high = sorted(min(n, len(text)) for n in (one, other))
    made = _move_middle(text, low, high, MARKS, is_spm)
    if is_spm:
        suffix, rest = made.removeprefix("<P><S>").split("<M>")
        assert rest + suffix == text
    else:
        prefix, rest = made.removeprefix("<P>").split("<S>")
        suffix, middle = rest.split("<M>")
        assert prefix + middle + suffix == text


def test_half_the_records_have_a_middle_moved_in_either_order():
    step = FillInTheMiddle(FillInTheMiddleConfig(min_characters=3))
    assert isinstance(step, Deriver)
    records = [plain(words(n, 30), f"{n}") for n in range(400)]
    made = [one for record in records for one in step(record)]
    assert 160 < len(made) < 240 and made == [one for record in records for one in step(record)]
    orders = [one.metadata["fim"] for one in made]
    assert 0.35 < orders.count("spm") / len(orders) < 0.65
    assert all(one.metadata["synthetic"] == "fim" and one.metadata["parent"] for one in made)
    always = FillInTheMiddle(FillInTheMiddleConfig(rate=1))
    assert always(plain("x <|fim_middle|> " * 20)) == [] and always(plain("short")) == []


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts(text):
    for one in FillInTheMiddle(FillInTheMiddleConfig(rate=1))(plain(text)):
        assert one.metadata["parent"] == "a"


class Twice:
    """Doubles a text."""

    config = Config()

    def __call__(self, record):
        return [make_derived(record, record.text * 2, "twice", n) for n in range(2)]


def test_a_derived_record_keeps_the_licence_and_names_its_parent():
    assert isinstance(Twice(), Deriver)
    found = Twice()(plain("né!", licence="MIT"))
    assert [one.metadata for one in found] == [
        {"licence": "MIT", "synthetic": "twice", "parent": "a"}
    ] * 2
    assert len({one.id for one in found}) == 2
    assert found[0].map.byte_range(0, 6) == found[0].map.byte_range(2, 3) == (0, 4)
    assert list(from_batch(to_batch(found))) == found
    assert make_derived(plain(""), "", "twice").map.text == ""
