"""An encoder trained on a folder finds held-out passages; a stopped run ends with the same bits."""

import json
from typing import Any

import numpy as np
import pytest

from groundup.core import Artifact, ArtifactError, ConfigError, DataError, record
from groundup.corpus import CorpusConfig, corpus, read_split
from groundup.model import load_encoder, save_with_head
from groundup.retrieve.encoders import train as stage
from groundup.retrieve.encoders.train import EncoderConfig, open_towers, train_encoder
from groundup.retrieve.readers.scoring import PairScorer
from tests.retrieve.encoders.small import write_base, write_folder
from tests.train.small import without_compiler

SETTINGS: dict[str, Any] = {
    "batch_pairs": 8, "micro_batches": 2, "max_tokens": 48, "epochs": 1.0,
    "checkpoints": {"every_seconds": 0.0}, "precision": "float32", "dropout": 0.1,
    "query_prefix": "query: ",
}  # fmt: skip


@pytest.fixture(autouse=True, scope="module")
def uncompiled():
    with without_compiler():
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("documents"))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def whole(folder, base, tmp_path_factory) -> Artifact:
    return train_encoder(EncoderConfig(**SETTINGS), folder, base, tmp_path_factory.mktemp("whole"))


def test_the_artifact_is_a_directory_that_opens_as_an_encoder(whole, base):
    assert whole.kind == "model"
    vectors = load_encoder(whole.path).embed(["a kettle", "the bridge of house 3"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    prompts = json.loads((whole.path / "config_sentence_transformers.json").read_text())
    assert prompts["prompts"] == {"query": "query: ", "document": ""}
    limits = json.loads((whole.path / "sentence_bert_config.json").read_text())
    assert limits["max_seq_length"] == 48
    towers = open_towers(EncoderConfig(), whole.path)
    assert towers.queries.prompt == "query: "
    assert towers.passages.prompt == ""
    assert len(towers.passages.input_ids("a " * 90)) == 48
    other = open_towers(EncoderConfig(query_prefix="", passage_prefix="p: "), whole.path)
    assert (other.queries.prompt, other.passages.prompt) == ("", "p: ")


def test_the_weights_were_trained_and_the_measures_are_there(whole, base):
    scores = whole.numbers["held_out"]
    assert list(scores) == ["base", "bm25", "trained", "trained+bm25"]
    for values in scores.values():
        assert set(values) == {"recall@1", "recall@10", "ndcg@10"}
        assert all(0 <= value <= 1 for value in values.values())
    assert whole.numbers["train_pairs"] > whole.numbers["held_out_pairs"] > 0
    assert (whole.path / "model.safetensors").stat().st_size > 0
    texts = ["a kettle"]
    before = open_towers(EncoderConfig(), base).passages.embed(texts)
    assert not np.allclose(load_encoder(whole.path).embed(texts), before, atol=1e-3)


def test_a_stopped_run_resumes_to_the_same_bits(whole, folder, base, tmp_path, monkeypatch):
    out, mined = tmp_path / "out", []
    monkeypatch.setattr(
        stage, "choose_negatives",
        lambda *args: mined.append(args) or NEGATIVES(*args),
    )  # fmt: skip
    with monkeypatch.context() as patch:
        kill_after(patch, 3)
        with pytest.raises(Killed):
            train_encoder(EncoderConfig(**SETTINGS), folder, base, out)
    assert list(out.glob(".scratch/step-*"))
    resumed = train_encoder(EncoderConfig(**SETTINGS), folder, base, out)
    assert len(mined) == 1
    assert resumed.id == whole.id
    one, other = (each.file("model.safetensors").read_bytes() for each in (whole, resumed))
    assert one == other
    assert resumed.numbers["held_out"] == whole.numbers["held_out"]
    assert train_encoder(EncoderConfig(**SETTINGS), folder, base, out).id == whole.id


NEGATIVES = stage.choose_negatives


class Killed(Exception):
    """What ends a run in the middle of a step."""


def kill_after(patch, steps: int) -> None:
    """End the run when the row of a step is written, before its checkpoint is."""
    write, seen = record.MetricsFile.write, []

    def counted(self, **row):
        write(self, **row)
        seen.extend(["step"] if "loss" in row else [])
        if len(seen) == steps:
            raise Killed

    patch.setattr(record.MetricsFile, "write", counted)


def test_training_lowers_the_loss_and_finds_more(folder, base, tmp_path):
    settings = SETTINGS | {
        "epochs": 8, "optim": {"learning_rate": 3e-3, "embedding_learning_rate": 3e-3,
                                "matrix_optimizer": "adamw"},
        "negatives": 0, "dropout": 0.0, "micro_batches": 1,
    }  # fmt: skip
    made = train_encoder(EncoderConfig(**settings), folder, base, tmp_path / "out")
    lines = (made.path / "log" / "metrics.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    losses = [row["loss"] for row in rows if "loss" in row]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.5
    scores = made.numbers["held_out"]
    assert scores["trained"]["ndcg@10"] > scores["base"]["ndcg@10"]


def test_a_second_round_takes_the_negatives_that_the_base_ranks_first(
    whole, folder, tmp_path, monkeypatch
):
    settings = SETTINGS | {"mining": "base", "epochs": 0.2, "query_prefix": None}
    by_words, rank = [], stage.rank_by_words
    monkeypatch.setattr(stage, "rank_by_words", lambda *texts: by_words.append(1) or rank(*texts))
    again = train_encoder(EncoderConfig(**settings), folder, whole.path, tmp_path / "out")
    assert len(by_words) == 1  # for BM25's own row of the table
    assert [parent.name for parent in again.parents] == ["base"]
    assert again.numbers["held_out"]["base"] == whole.numbers["held_out"]["trained"]
    prompts = json.loads((again.path / "config_sentence_transformers.json").read_text())
    assert prompts["prompts"]["query"] == "query: "


def test_the_test_split_of_a_corpus_is_never_read(folder, base, tmp_path, monkeypatch):
    config = CorpusConfig(validation_share=0.2, test_share=0.2, near_duplicate_threshold=0)
    made = corpus(config, folder, tmp_path / "corpus")
    asked = []
    monkeypatch.setattr(stage, "read_split", lambda c, n: asked.append(n) or read_split(c, n))
    encoder = train_encoder(
        EncoderConfig(**SETTINGS | {"epochs": 0.2}), made.path, base, tmp_path / "out"
    )
    assert asked == ["train", "validation"]
    assert [parent.name for parent in encoder.parents] == ["corpus"]
    held_out = stage._read_pairs(EncoderConfig().pairs, made.path, made).held_out
    of_validation = {document.id for document in read_split(made, "validation")}
    assert {pair.document for pair in held_out} <= of_validation


def test_a_cross_encoder_teaches_the_order_of_negatives(folder, base, tmp_path):
    save_with_head(PairScorer.new(base, seed=3).model, tmp_path / "teacher", base)
    taught = SETTINGS | {"teacher": str(tmp_path / "teacher"), "negatives": 2}
    made = train_encoder(EncoderConfig(**taught), folder, base, tmp_path / "taught")
    alone = train_encoder(EncoderConfig(**SETTINGS | {"negatives": 2}), folder, base,
                          tmp_path / "alone")  # fmt: skip
    weights = [load_encoder(each.path).embed(["a kettle"]) for each in (made, alone)]
    assert not np.array_equal(*weights) and np.isfinite(weights[0]).all()
    with pytest.raises(ConfigError, match="teacher needs negatives, which are 0"):
        train_encoder(EncoderConfig(**taught | {"negatives": 0}), folder, base, tmp_path / "none")
    with pytest.raises(ConfigError, match="teacher: .*empty holds no reranker"):
        (tmp_path / "empty").mkdir()
        train_encoder(EncoderConfig(**taught | {"teacher": str(tmp_path / "empty")}), folder, base,
                      tmp_path / "none")  # fmt: skip
    with pytest.raises(ConfigError, match="teacher: .* is no reranker; fine-tune one with"):
        train_encoder(EncoderConfig(**taught | {"teacher": str(base)}), folder, base,
                      tmp_path / "none")  # fmt: skip


def test_what_cannot_be_trained_is_an_error(folder, base, tmp_path):
    config = EncoderConfig(**SETTINGS)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="Got 0 pairs to train on, from 0 documents"):
        train_encoder(config, tmp_path / "empty", base, tmp_path / "out")
    with pytest.raises(ConfigError, match="is a decoder that does not say .* expected an encoder"):
        decoder = write_base(tmp_path / "decoder", "decoder")
        train_encoder(config, folder, decoder, tmp_path / "out")
    with pytest.raises(ConfigError, match="label_smoothing and z_loss"):
        train_encoder(EncoderConfig(**SETTINGS | {"z_loss": 0.1}), folder, base, tmp_path / "out")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="full"):
        train_encoder(config, folder, base, tmp_path / "full")
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_another_folder_or_base_is_another_artifact(whole, folder, base, tmp_path):
    more = write_folder(tmp_path / "more", count=9)
    with pytest.raises(ArtifactError, match="source_digest"):
        train_encoder(EncoderConfig(**SETTINGS), more, base, whole.path)
    other = write_base(tmp_path / "other")
    (other / "vocab.txt").write_text((base / "vocab.txt").read_text() + "zz\n")
    with pytest.raises(ArtifactError, match="source_digest"):
        train_encoder(EncoderConfig(**SETTINGS), folder, other, whole.path)
