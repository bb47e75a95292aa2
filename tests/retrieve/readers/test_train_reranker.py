"""A reranker is trained on pairs of the documents and of files, and measured on others."""

import json
from typing import Any

import pytest

from groundup.core import ConfigError, DataError
from groundup.retrieve.models import RerankerChoice, with_model_digest
from groundup.retrieve.readers.scoring import PairScorer
from groundup.retrieve.readers.train_reranker import RerankerConfig, train_reranker
from tests.retrieve.encoders.small import write_base, write_folder
from tests.retrieve.readers.test_train import SETTINGS, squad
from tests.train.small import without_compiler


@pytest.fixture(scope="module", autouse=True)
def uncompiled():
    with without_compiler():
        yield


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
    assert with_model_digest(RerankerChoice(path=str(made.path)), "reranker").digest
    (made.path / ".scratch").mkdir()
    (made.path / ".scratch" / "key").write_text("of a run that was killed")
    with pytest.raises(ConfigError, match="is unfinished; run again what makes this reranker"):
        with_model_digest(RerankerChoice(path=str(made.path)), "reranker")


def test_too_few_documents_are_told(tmp_path):
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "a.txt").write_text("The bell is old.")
    with pytest.raises(DataError, match="to measure on are too few"):
        train_reranker(
            RerankerConfig(**settings()), tmp_path / "none", write_base(tmp_path / "base"),
            tmp_path / "c",
        )  # fmt: skip
