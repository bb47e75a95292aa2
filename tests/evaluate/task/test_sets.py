"""Artifacts as tasks: a sealed test set is scored by what its samples have; documents in bits."""

import math
from pathlib import Path

import pytest

from groundup.align import REFUSAL_TEXT
from groundup.core import (
    Artifact,
    ArtifactError,
    Completion,
    Config,
    ConfigError,
    DataError,
    Likelihood,
    Message,
    Reason,
    Sample,
    produce,
)
from groundup.evaluate.task.aggregate import aggregate
from groundup.evaluate.task.sets import HeldOutTask, TestsetTask
from groundup.evaluate.task.task import ChatOptions, EvaluationTask
from groundup.measure import TestSetCard, make_testset, read_accesses
from groundup.tokenizer import (
    DocumentText,
    FastTokenizer,
    save_imported,
    save_tokenizer,
    write_tokens,
)
from tests.evaluate.task.lm_eval_peer import Fake
from tests.tokenizer.imported.fixtures import small

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


TEXTS = ("naïve ✓ " * 9, "short", "", "another one\n" * 3)


class Empty(Config):
    """Nothing to choose."""


def artifact(out: Path, kind: str, parents: dict, write) -> Artifact:
    return produce(
        out, kind=kind, stage=kind, version=1, config=Empty(), parents=parents, write=write
    )


@pytest.fixture
def tokens(tmp_path: Path) -> Artifact:
    tokenizer = FastTokenizer([(b"a", b"n")])
    made = artifact(
        tmp_path / "tokenizer", "tokenizer", {}, lambda d: save_tokenizer(tokenizer, d.path)
    )
    rows = [
        DocumentText("twice.md" if n in (1, 3) else f"{n}.md", text) for n, text in enumerate(TEXTS)
    ]
    splits = {"train": rows[:1], "test": rows}
    return artifact(
        tmp_path / "tokens", "tokens", {"tokenizer": made},
        lambda draft: write_tokens(draft, tokenizer, splits),
    )  # fmt: skip


def test_the_documents_come_as_they_were_each_with_its_bytes(tokens):
    task = HeldOutTask(tokens)
    items = list(task.items(None, None))
    assert isinstance(task, EvaluationTask) and task.testset == tokens
    assert [item.prompt for item in items] == [TEXTS[0], TEXTS[1], TEXTS[3]]
    assert [item.id for item in items] == ["0.md", "twice.md", "twice.md#1"]
    assert [item.group for item in items] == ["0.md", "twice.md", "twice.md"]
    assert items[0].document == {"bytes": len(TEXTS[0].encode())}
    assert len(list(task.items(None, 2))) == 2
    assert HeldOutTask(tokens, "train").testset is None


def test_nats_become_bits_per_byte(tokens):
    task = HeldOutTask(tokens)
    items = list(task.items(None, None))
    scores = [
        task.score(item, [Likelihood(-item.document["bytes"] * math.log(2) * 3, False, 9)])
        for item in items
    ]
    values = [scored.scores["bits_per_byte"] for scored in scores]
    found = aggregate(task.measures[0], values, [item.group for item in items])
    assert found.estimate == pytest.approx(3.0) and found.groups == 2
    failed = task.score(items[0], [Reason("too_long", "No.")])
    assert failed.undefined["bits_per_byte"].code == "too_long" and not failed.scores


def test_a_tokenizer_that_is_gone_or_another_is_told(tokens, tmp_path):
    (tmp_path / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(ConfigError, match="made with tokenizer .* restore it"):
        list(HeldOutTask(tokens).items(None, None))
    same = HeldOutTask(tokens, tokenizer=FastTokenizer([(b"a", b"n")]))
    assert len(list(same.items(None, None))) == 3
    with pytest.raises(ConfigError, match="restore it"):
        list(HeldOutTask(tokens, tokenizer=FastTokenizer([])).items(None, None))
    with pytest.raises(DataError, match="no split 'dev'"):
        list(HeldOutTask(tokens, "dev").items(None, None))


def test_documents_of_an_imported_tokenizer_come_without_its_frame(tmp_path):
    theirs = small("pairs")
    made = artifact(tmp_path / "model", "model", {}, lambda d: save_imported(theirs, d.path))
    rows = [DocumentText(f"{n}.md", text) for n, text in enumerate(TEXTS)]
    tokens = artifact(
        tmp_path / "tokens", "tokens", {"tokenizer": made},
        lambda draft: write_tokens(draft, theirs, {"test": rows}),
    )  # fmt: skip
    assert [item.prompt for item in HeldOutTask(tokens).items(None, None)] == [
        t for t in TEXTS if t
    ]
