"""A test set is sealed, comes back as it was, and remembers who looked."""

import pytest

from groundup.core import Artifact, DataError, Message, Sample
from groundup.measure.testset import (
    Card,
    candidates,
    look,
    looks,
    make_testset,
    read_card,
    read_samples,
)

CARD = Card(name="questions", source="modules kept out by file", reviewed_by="ana, all")


def samples() -> list[Sample]:
    ask = (Message("user", "Was ist „x“?\n"), Message("assistant", ""))
    return [
        Sample("1", ask, references=("x", "y"), group="m.py", metadata={"known": True}),
        Sample("2", ask, group="m.py"),
        Sample("3", ()),
    ]


def test_samples_come_back_as_they_were(tmp_path):
    made = make_testset(CARD, samples(), {}, tmp_path / "t")
    assert list(read_samples(Artifact.open(made.path, "testset"))) == samples()


def test_looks_change_neither_id_nor_seal(tmp_path):
    made = make_testset(CARD, samples(), {}, tmp_path / "t")
    assert looks(made) == [] and candidates(made) == []
    for subject in ("m1", "m2", "m1"):
        look(made, "ana", subject)
    assert Artifact.open(made.path).id == made.id
    assert [(one.who, one.subject) for one in looks(made)] == [
        ("ana", "m1"), ("ana", "m2"), ("ana", "m1"),
    ]  # fmt: skip
    assert candidates(made) == ["m1", "m2"]
    assert make_testset(CARD, samples(), {}, tmp_path / "t").id == made.id
    assert len(looks(made)) == 3


def test_other_samples_are_another_test_set(tmp_path):
    one = make_testset(CARD, samples(), {}, tmp_path / "a")
    two = make_testset(CARD, samples()[:2], {}, tmp_path / "b")
    assert one.id != two.id and one.key != two.key


def test_the_card_counts(tmp_path):
    card = read_card(make_testset(CARD, samples(), {}, tmp_path / "t"))
    assert (card["name"], card["reviewed_by"]) == ("questions", "ana, all")
    assert (card["samples"], card["groups"], card["without_reference"]) == (3, 2, 2)
    assert card["repeated_conversations"] == 1


def test_a_test_set_without_samples_or_with_an_id_twice_is_refused(tmp_path):
    with pytest.raises(DataError, match="no samples"):
        make_testset(CARD, [], {}, tmp_path / "t")
    with pytest.raises(DataError, match="'1' twice"):
        make_testset(CARD, samples() + samples()[:1], {}, tmp_path / "t")
