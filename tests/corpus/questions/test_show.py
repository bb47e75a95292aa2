"""A test set is shown with what must be known before it is used."""

import pytest

from groundup.core import DataError, Judgement, Message, Sample
from groundup.corpus import CorpusConfig, corpus
from groundup.corpus.questions.show import show_testset
from groundup.measure import TestSetCard, apply_review, make_testset
from groundup.measure.judgement import record_vote


def test_the_card_its_findings_and_its_samples_are_shown(tmp_path):
    names = ("q0", "q1", "q2", "q3")
    asked = [
        Sample(
            name, (Message("user", f"What is the port of {name}?"),), (f"{name} has none",), name
        )
        for name in names
    ]
    testset = make_testset(TestSetCard(name="ports", source="by hand"), asked, {}, tmp_path / "t")
    text = str(show_testset(testset, samples=1))
    for part in (
        "ports", "4 in 4 groups, 0 test-set accesses", "by hand", "English 4", "warning few_groups",
        "user: What is the port of q0?", "answer: q0 has none", "note unreviewed",
    ):  # fmt: skip
        assert part in text
    for name in ("q0", "q1"):
        record_vote(testset.path, Judgement("ana", "", name, "label", "accept"))
    assert "reviewed by ana 2 of 4 samples" in str(show_testset(testset))
    text = str(show_testset(apply_review(testset, tmp_path / "t2")))
    assert "0.0 % [0.0, 65.8] of 2 read were wrong" in text and "ana 2 of 4" in text


def test_grounding_and_contamination_are_shown_when_asked_for(tmp_path):
    root = tmp_path / "pages"
    root.mkdir()
    for number in range(12):
        (root / f"{number}.md").write_text(f"Text {number} has words {number} of its own.\n")
    made = corpus(CorpusConfig(), root, tmp_path / "corpus")
    about = {"document": "1.md", "quote": "nothing", "start": 0, "end": 7}
    testset = make_testset(
        TestSetCard(name="t"),
        [Sample("1", (Message("user", "What?"),), ("x",), "1.md", about)],
        {},
        tmp_path / "t",
    )
    shown = show_testset(testset, against=made, documents=root)
    assert "source_changed" in [finding.code for finding in shown.findings]
    assert shown.contamination and "no sample occurs in them" in str(shown)
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    (wrong / "other.md").write_text("Nothing of it.")
    with pytest.raises(DataError, match="None of the 1 documents .* such as 1.md"):
        show_testset(testset, documents=wrong)
    with pytest.raises(DataError, match="neither a corpus nor examples"):
        show_testset(testset, against=testset)
