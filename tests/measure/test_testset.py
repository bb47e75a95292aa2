"""A test set is sealed, comes back as it was, and remembers who looked."""

import json

import pytest

from groundup.core import Artifact, DataError, Judgement, Message, Sample, record
from groundup.measure.judgement import record_vote as vote
from groundup.measure.testset import (
    TestSetCard,
    apply_review,
    log_findings,
    make_testset,
    read_accesses,
    read_card,
    read_choices,
    read_samples,
    read_validation,
    record_access,
    record_choice,
    scored_candidates,
)
from groundup.measure.testset import (
    testset_findings as find_problems,  # pytest would collect the name
)
from tests.checking import unchecked

CARD = TestSetCard(name="questions", source="modules kept out by file", reviewed_by="ana, all")


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
    assert read_accesses(made) == [] and scored_candidates(made) == []
    for subject in ("m1", "m2", "m1"):
        record_access(made, "ana", subject)
    assert Artifact.open(made.path).id == made.id
    assert [(one.who, one.subject) for one in read_accesses(made)] == [
        ("ana", "m1"), ("ana", "m2"), ("ana", "m1"),
    ]  # fmt: skip
    assert scored_candidates(made) == ["m1", "m2"]
    assert make_testset(CARD, samples(), {}, tmp_path / "t").id == made.id
    assert len(read_accesses(made)) == 3


def test_other_samples_are_another_test_set(tmp_path):
    one = make_testset(CARD, samples(), {}, tmp_path / "a")
    two = make_testset(CARD, samples()[:2], {}, tmp_path / "b")
    assert one.id != two.id and one.key != two.key


def test_a_validation_part_is_about_other_documents_and_is_not_sealed(tmp_path):
    others = [Sample("4", (Message("user", "Why?"),), ("so",), "n.md")]
    made = make_testset(CARD, samples(), {}, tmp_path / "t", validation=others)
    assert list(read_validation(made)) == others and list(read_samples(made)) == samples()
    assert read_card(made)["validation"] == 1 and read_card(made)["samples"] == 3
    record_choice(made, "ana", "600 characters")
    assert [each.content["chosen"] for each in read_choices(made)] == ["600 characters"]
    assert scored_candidates(made) == [] and Artifact.open(made.path).id == made.id
    without = make_testset(CARD, samples(), {}, tmp_path / "u")
    assert list(read_validation(without)) == [] and without.key != made.key
    with pytest.raises(DataError, match=r"part of questions is about 'm\.py', as the sealed one"):
        make_testset(CARD, samples(), {}, tmp_path / "v", validation=[Sample("5", (), (), "m.py")])
    with pytest.raises(DataError, match="'1' twice"):
        make_testset(CARD, samples(), {}, tmp_path / "v", validation=[Sample("1", (), (), "n.md")])


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


def questions(number=10) -> list[Sample]:
    return [
        Sample(
            f"q{n}", (Message("user", f"How tall is tower {n}?"),), (f"{n + 20} metres",), f"d{n}",
            {"quote": f"{n + 20} metres", "start": 3, "end": 12, "document": f"d{n}"},
        )
        for n in range(number)
    ]  # fmt: skip


@pytest.fixture
def testset(tmp_path):
    return make_testset(TestSetCard(name="towers"), questions(), {}, tmp_path / "t")


def judge(testset, who, subject, value, form="label"):
    value = value if isinstance(value, str) else json.dumps(value)
    vote(testset.path, Judgement(who, "", subject, form, value))  # pyright: ignore


def test_damaged_lines_are_told_by_number(testset):
    path = testset.path / "samples.jsonl"
    lines = path.read_text().splitlines()
    for damaged in ("{", "[]", "7", '{"id": "x"}', lines[0].replace('"role"', '"roll"')):
        path.write_text("\n".join([lines[0], damaged, *lines[2:]]) + "\n")
        with pytest.raises(DataError, match="line 2 is no sample"):
            list(read_samples(testset))


def test_a_review_makes_another_test_set_without_the_dropped_with_the_modified(testset, tmp_path):
    judge(testset, "ana", "q0", "accept")
    judge(testset, "ana", "q1", "drop")
    judge(testset, "ana", "q2", {"question": "How tall is the second tower?"}, "edit")
    judge(testset, "ben", "q3", {"references": ["24 m", "24 metres"]}, "edit")
    made = apply_review(testset, tmp_path / "t2")
    kept = {sample.id: sample for sample in read_samples(made)}
    assert list(kept) == ["q0", *(f"q{n}" for n in range(2, 10))]
    assert kept["q0"] == questions()[0] and kept["q9"] == questions()[9]
    assert kept["q2"].conversation == (Message("user", "How tall is the second tower?"),)
    assert kept["q2"].metadata["quote"] == "22 metres" and kept["q2"].metadata["modified"] == [
        "question"
    ]
    assert kept["q3"].references == ("24 m", "24 metres") and "start" not in kept["q3"].metadata
    assert [parent.id for parent in made.parents] == [testset.id]
    assert len(list(read_samples(testset))) == 10
    card = read_card(made)
    assert card["reviewed_by"] == "ana 3, ben 1 of 10 samples"
    review = card["review"]
    assert [review[name] for name in ("read", "accepted", "modified", "dropped", "disputed")] == [
        4, 1, 2, 1, 0,
    ]  # fmt: skip
    error = review["error_rate"]
    assert review["read_samples"] == ["q0", "q1", "q2", "q3"]
    assert review["dropped_samples"] == {"q1": ""}
    assert set(review["modified_samples"]) == {"q2", "q3"}
    assert read_card(testset)["review"] == {} and read_card(testset, True)["review"]["read"] == 4
    assert error["estimate"] == 0.75 and 0.3 < error["low"] < 0.31 and 0.95 < error["high"] < 0.96


def test_a_review_keeps_the_validation_part(tmp_path):
    others = [Sample("v", (Message("user", "Why?"),), ("so",), "n.md")]
    made = make_testset(CARD, questions(), {}, tmp_path / "t", validation=others)
    vote(made.path, Judgement("ana", "", "q1", "label", "drop"))
    assert list(read_validation(apply_review(made, tmp_path / "t2"))) == others


def test_the_last_vote_of_each_person_counts_and_most_decide(testset, tmp_path):
    judge(testset, "ana", "q0", "drop")
    judge(testset, "ana", "q0", "accept")  # changed her mind
    for who, value in (("ana", "accept"), ("ben", "drop"), ("eve", "accept")):
        judge(testset, who, "q1", value)
    for who, value in (("ana", "accept"), ("ben", "drop")):
        judge(testset, who, "q2", value)  # a tie
    judge(testset, "ana", "q3", {"question": "Old?"}, "edit")
    judge(testset, "ana", "q3", "")  # taken back as a label changes nothing of the edit
    found = {finding.code: finding.samples for finding in find_problems(testset)}
    severities = [finding.severity for finding in find_problems(testset)]
    assert severities == sorted(severities, key=["error", "warning", "note"].index)
    assert found["disputed_label"] == ("q1", "q2") and found["wrong_label"] == ("q2", "q3")
    kept = {sample.id: sample for sample in read_samples(apply_review(testset, tmp_path / "t2"))}
    assert "q1" in kept and "q2" not in kept
    assert kept["q3"].conversation[0].content == "Old?"


def test_reviews_that_cannot_be_applied_are_refused(testset, tmp_path):
    with pytest.raises(DataError, match="no votes .*groundup testset review"):
        apply_review(testset, tmp_path / "t2")
    judge(testset, "ana", "q0", {"answer": "x"}, "edit")
    with pytest.raises(
        DataError, match="Only question and references can be modified; got .'answer'"
    ):
        apply_review(testset, tmp_path / "t2")
    judge(testset, "ana", "q0", "accept")
    judge(testset, "ana", "stranger", "accept")
    with pytest.raises(DataError, match="1 votes are on samples .* 'stranger'"):
        apply_review(testset, tmp_path / "t2")
    other = make_testset(TestSetCard(name="small"), questions(1), {}, tmp_path / "s")
    judge(other, "ana", "q0", "drop")
    with pytest.raises(DataError, match="drop every sample"):
        apply_review(other, tmp_path / "t2")
    assert not (tmp_path / "t2").exists()


def test_findings_are_sealed_in_the_card_and_told_before_use(testset, tmp_path, capsys):
    sealed = [row["code"] for row in read_card(testset)["findings"]]
    assert sealed == ["few_groups", "thin"]
    assert [finding.code for finding in find_problems(testset)] == [*sealed, "unreviewed"]
    record.set_output_mode("plain")
    try:
        assert [finding.code for finding in log_findings(testset)] == sealed
    finally:
        record.set_output_mode("silent")
    told = capsys.readouterr().err.splitlines()
    assert told[1].startswith("t: warning thin: 10 samples show a difference of 39.7 points")
    assert len(told) == 2


def test_findings_of_a_test_set_that_was_sealed_without_them_are_made(testset, monkeypatch):
    card = read_card(testset)
    del card["findings"]
    monkeypatch.setattr("groundup.measure.testset.read_card", lambda _: card)
    assert [finding.code for finding in find_problems(testset)] == [
        "few_groups",
        "thin",
        "unreviewed",
    ]


def test_scores_that_speak_against_a_label_are_told(testset):
    right = [1.0] * 9 + [0.0]
    (suspect,) = [
        f for f in find_problems(testset, {"a": right, "b": right}) if f.code == "suspect_label"
    ]
    assert suspect.samples == ("q9",)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"references": "xyz"}, "'q1': references must be a tuple of texts"),
        ({"references": (5,)}, "'q1': references must be a tuple of texts"),
        ({"references": ("\ud800",)}, "'q1' cannot be written as JSON"),
        ({"metadata": {"tags": {"a"}}}, "'q1' cannot be written as JSON"),
        ({"metadata": {"score": float("nan")}}, "'q1' cannot be written as JSON"),
    ],
)
def test_a_sample_that_would_not_be_read_back_is_named(fields, told, tmp_path):
    with unchecked(), pytest.raises(DataError, match=told):
        make_testset(TestSetCard(name="x"), [Sample("q1", (), **fields)], {}, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_label_that_decides_nothing_is_refused_at_apply(testset, tmp_path):
    judge(testset, "ana", "q1", "accept")
    judge(testset, "ben", "q2", "yes")
    with pytest.raises(DataError, match="neither accept nor drop, such as 'yes' on q2"):
        apply_review(testset, tmp_path / "out")


def test_what_was_seen_of_a_test_set_counts_for_the_one_its_review_makes(testset, tmp_path):
    record_access(testset, "evaluate", "model", "prompt")
    judge(testset, "ana", "q0", "accept")
    for _ in range(2):
        made = apply_review(testset, tmp_path / "t2")
    assert scored_candidates(made) == scored_candidates(testset) == ["model prompt"]
    assert len(read_accesses(made)) == 1
    record_access(testset, "evaluate", "another")
    record_access(made, "evaluate", "third")
    apply_review(testset, tmp_path / "t2")
    assert scored_candidates(made) == ["model prompt", "third", "another"]
