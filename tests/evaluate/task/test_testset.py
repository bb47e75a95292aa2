"""A sealed test set as a task: rendered, scored by what its samples have, nothing counted twice."""

from pathlib import Path

import pytest

from groundup.align import REFUSAL_TEXT
from groundup.core import Artifact, ArtifactError, Completion, ConfigError, Message, Reason, Sample
from groundup.evaluate.task.task import ChatOptions, EvaluationTask
from groundup.evaluate.task.testset import TestsetTask
from groundup.measure import TestSetCard, make_testset, read_accesses
from tests.evaluate.task.lm_eval_peer import Fake

SAMPLES = [
    Sample("a", (Message("user", "What is it?"),), ("a red cat", "the cat"), "doc1", {"kind": "x"}),
    Sample("b", (Message("user", "What is zzz?"),), (), "doc2"),
    Sample("c", (Message("system", "S"), Message("user", "Who?")), ("me",), "doc1"),
]


@pytest.fixture
def testset(tmp_path: Path) -> Artifact:
    return make_testset(TestSetCard(name="small"), SAMPLES, {}, tmp_path / "set")


def said(text: str) -> list[Completion]:
    return [Completion(text, "stop", 3)]


def test_conversations_go_through_the_template_as_they_stand(testset):
    task = TestsetTask(testset)
    items = list(task.items(Fake(), None))
    assert isinstance(task, EvaluationTask) and [item.id for item in items] == ["a", "b", "c"]
    assert items[2].prompt == "<system>S</system><user>Who?</user><assistant>"
    assert items[0].group == "doc1" and items[0].target == ["a red cat", "the cat"]
    assert len(list(task.items(Fake(), 1))) == 1
    with pytest.raises(ConfigError, match="needs a model to render"):
        next(task.items(None, None))
    plain = TestsetTask(testset, ChatOptions(False))
    assert next(plain.items(None, None)).prompt == "What is it?"


def test_each_sample_has_the_measures_that_suit_it(testset):
    task = TestsetTask(testset)
    asked, refused, _ = task.items(Fake(), None)
    found = task.score(asked, said(" The cat\n"))
    assert found.scores["exact_match"] == found.scores["token_f1"] == 1.0
    assert found.scores["rouge_l"] == 1.0 and 0.8 < found.scores["similarity"] < 1
    assert found.undefined["refused"].code == "has_reference"
    found = task.score(refused, said(f"{REFUSAL_TEXT} about zzz."))
    assert found.scores == {"refused": 1.0}
    assert {reason.code for reason in found.undefined.values()} == {"no_reference"}
    assert task.score(refused, said("It is a cat.")).scores == {"refused": 0.0}


def test_measures_are_those_that_suit_some_sample(testset, tmp_path):
    names = [measure.name for measure in TestsetTask(testset).measures]
    assert names == ["exact_match", "token_f1", "similarity", "rouge_l", "refused"]
    answered = make_testset(TestSetCard(name="answered"), SAMPLES[:1], {}, tmp_path / "one")
    assert "refused" not in [measure.name for measure in TestsetTask(answered).measures]
    for measure in TestsetTask(testset).measures:
        assert measure.signature and measure.better == "higher"


def test_an_answer_that_failed_leaves_its_reason(testset):
    task = TestsetTask(testset)
    found = task.score(next(task.items(Fake(), 1)), [Reason("timeout", "60 s")])
    assert found.scores == {} and {r.code for r in found.undefined.values()} == {"timeout"}


def test_the_version_is_the_content(testset, tmp_path):
    other = make_testset(TestSetCard(name="small"), SAMPLES[:2], {}, tmp_path / "other")
    assert TestsetTask(testset).version != TestsetTask(other).version
    assert TestsetTask(testset).signature == (
        f"testset:{testset.id[:12]}|template:turns|system:no|temperature:0|max_tokens:256"
    )


def test_asking_is_no_look_yet_and_other_kinds_are_refused(testset, tmp_path):
    list(TestsetTask(testset).items(Fake(), None))
    assert read_accesses(testset) == []  # whoever scores records the look
    wrong = Artifact.open(testset.path)
    object.__setattr__(wrong, "kind", "tokens")
    with pytest.raises(ArtifactError, match="Expected a testset artifact, got tokens"):
        TestsetTask(wrong)
