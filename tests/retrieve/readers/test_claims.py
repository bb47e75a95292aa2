"""Made claims say what their passage says, or what it does not; scorers are trained on them."""

import json
import random
from typing import Any

import pytest

from groundup.core import DataError
from groundup.documents import read_bytes
from groundup.retrieve.readers.claims import (
    CHANGED,
    SAID,
    ClaimMaker,
    claim_of,
    document_claims,
    question_claims,
    take_apart,
)
from groundup.retrieve.readers.examples import read_articles
from groundup.retrieve.readers.scoring import PairScorer
from groundup.retrieve.readers.train_scorer import (
    CriticConfig,
    RerankerConfig,
    train_critic,
    train_reranker,
)
from tests.retrieve.encoders.small import write_base, write_folder
from tests.retrieve.readers.test_train import SETTINGS, squad
from tests.train.small import without_compiler

TEXT = (
    "In 1971, the old barn was rebuilt. The mill was sold by Ada Holm in 1980; the wheel turns. "
    "If it rains, the tour is cancelled. Ada Holm met Bert Lind in the spring."
)


@pytest.fixture(scope="module", autouse=True)
def uncompiled():
    with without_compiler():
        yield


@pytest.mark.parametrize(
    ("ways", "kind", "sentence", "wanted"),
    [
        (SAID, "moved", "In 1971, the old barn was rebuilt.", "The old barn was rebuilt in 1971."),
        (SAID, "moved", "The barn was rebuilt in 1971.", "In 1971 the barn was rebuilt."),
        (SAID, "clause", "The mill was sold in 1980; it turns.", "The mill was sold in 1980."),
        (SAID, "clause", "If it rains, the tour is off, and we stay.", None),
        (
            SAID,
            "voice",
            "The mill was sold by Ada in 1980.",
            "Ada sold the mill in 1980.",
        ),
        (CHANGED, "roles", "The mill was made by Ada in May.", "The mill made Ada in May."),
        (CHANGED, "roles", "Ada Holm met Bert Lind.", "Bert Lind met Ada Holm."),
        (CHANGED, "negation", "The barn is old.", "The barn is not old."),
        (CHANGED, "negation", "The barn isn't old.", "The barn is old."),
        (CHANGED, "condition", "If it rains, the tour is off.", "The tour is off."),
        (CHANGED, "condition", "It holds up to 40 cars.", "It holds exactly 40 cars."),
        (CHANGED, "word", "It opens before noon.", "It opens after noon."),
        (CHANGED, "number", "It has no figures.", None),
    ],
)
def test_a_sentence_is_said_otherwise_or_made_false(ways, kind, sentence, wanted):
    assert ways[kind](sentence, take_apart(TEXT, ""), random.Random(0)) == wanted


def test_what_is_false_is_of_the_same_document():
    text, drawn = take_apart(TEXT, ""), random.Random(1)
    sentence = "The barn of Bert Lind was rebuilt in 1971."
    changed = {kind: CHANGED[kind](sentence, text, drawn) for kind in ("number", "name", "subject")}
    assert changed["name"] == "The barn of Ada Holm was rebuilt in 1971."
    assert changed["subject"] in (
        "The mill was rebuilt in 1971.", "The old barn was rebuilt in 1971.",
    )  # fmt: skip
    number = changed["number"] or ""
    assert number != sentence and number[:-6] == sentence[:-6]


def test_claims_of_documents_are_there_or_not():
    claims = document_claims([read_bytes(f"# The farm\n\n{TEXT}\n".encode(), "farm.md")] * 9, 1)
    kinds = {(each.kind, each.is_right) for each in claims}
    assert {("verbatim", True), ("unrelated", False), ("negation", False)} <= kinds
    for each in claims:
        if each.kind == "verbatim" and each.is_right:
            assert each.first in each.second
        elif not each.is_right:
            assert each.first.lower() not in each.second.lower()


def test_questions_become_claims(tmp_path):
    (tmp_path / "q.json").write_text(json.dumps(squad()))
    claims = question_claims(read_articles(tmp_path / "q.json"), 0)
    said = {each.first for each in claims if each.kind == "answer"}
    assert said == {"When was the bell cast? 1611.", "Ada Holm built the tower."}
    assert {"verbatim", "other answer"} <= {each.kind for each in claims}
    wrong = [each for each in claims if each.kind == "other answer" and each.first in said]
    assert wrong and not any("1611" in each.first and "1611" in each.second for each in wrong)
    assert claim_of("What is the bell?", "old") == "The bell is old."


def test_made_facts_are_said_in_other_words():
    claims = list(ClaimMaker(5).claims(300))
    assert list(ClaimMaker(5).claims(300)) == claims
    assert 60 < sum(each.is_right for each in claims) < 200
    for each in claims:
        assert "{" not in each.first + each.second and each.first.endswith(".")
    said = [each.first.rstrip(".") in each.second for each in claims if each.is_right]
    assert sum(said) < len(said) / 2


def settings(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in SETTINGS.items() if k != "facts"} | {"epochs": 0.2} | changes


def test_a_reranker_is_trained_and_measured(tmp_path):
    folder, base = write_folder(tmp_path / "docs"), write_base(tmp_path / "base")
    (tmp_path / "q.json").write_text(json.dumps(squad()))
    made = train_reranker(
        RerankerConfig(**settings()), folder, base, tmp_path / "a", questions=[tmp_path / "q.json"]
    )
    numbers = made.numbers["held_out"]
    assert set(numbers) == {"auroc", "kinds", "bm25", "reranked"}
    assert numbers["reranked"]["recall@10"] <= 1 and "cloze, right" in numbers["kinds"]
    assert len(PairScorer.open(made.path).score([("a", "b")])) == 1
    values = json.loads((made.path / "config.json").read_text())
    assert values["architectures"] == ["BertForSequenceClassification"]


def test_a_critic_is_trained_from_a_scorer_and_measured(tmp_path):
    folder, base = write_folder(tmp_path / "docs"), write_base(tmp_path / "base")
    config = CriticConfig(**settings(facts=60))
    first = train_critic(config, folder, base, tmp_path / "a")
    again = train_critic(config, folder, first.path, tmp_path / "b")
    assert again.id != first.id and 0 <= again.numbers["held_out"]["auroc"] <= 1
    assert {"fact, right", "other fact, wrong"} <= set(again.numbers["held_out"]["kinds"])
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("The bell is old.")
    with pytest.raises(DataError, match="to measure on are too few"):
        train_critic(CriticConfig(**settings(facts=0)), tmp_path / "none", base, tmp_path / "c")
