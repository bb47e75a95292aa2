"""Every text is seen once an epoch, long ones are cut, and a classifier is its seed's alone."""

import pytest
import torch

from groundup.core import Artifact
from groundup.model import ModelWithHead
from groundup.recipes.encoder.begin import BeginConfig, make_vectors
from groundup.recipes.encoder.prose import make_reading
from groundup.recipes.encoder.ratings import RatingsConfig, make_ratings, read_review_ratings
from groundup.recipes.encoder.scoring import EncoderScoreConfig, validate
from groundup.recipes.encoder.training import (
    TuningConfig,
    _tune,
    encode_ratings,
    hidden,
    learn_review_tokenizer,
    make_tokens,
    opinion,
    order,
    prose,
    rated,
    says,
)
from groundup.tokenizer import Shard, TokenizerConfig, load_tokenizer
from groundup.train import OptimConfig, PretrainConfig, pretrain
from tests.recipes.encoder.tables import write_tables
from tests.train.small import without_compiler


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An encoder of a few steps, on made-up texts and a little prose."""
    folder = tmp_path_factory.mktemp("encoder")
    with pytest.MonkeyPatch.context() as patch:
        few = [("a.txt", "The library has many modules. " * 40)]
        patch.setattr("groundup.recipes.encoder.prose.manual_pages", lambda: iter(few))
        reading = make_reading([], None, folder / "reading")
        ratings = make_ratings(RatingsConfig(), write_tables(folder / "tables"), folder / "ratings")
        config = TokenizerConfig(vocab_size=320, specials=("chat", "encoder"))
        words = learn_review_tokenizer(config, reading, ratings, folder / "tokenizer")
        shards = make_tokens(reading, ratings, words, folder / "tokens")
        begun = make_vectors(BeginConfig(), shards, folder / "vectors")
    with without_compiler():
        training = PretrainConfig(
            preset="modernbert-tiny", layers=2, tokens=5120, batch_tokens=512, length=64,
            context_length=64, long_share=0.0, validation_tokens=512,
        )  # fmt: skip
        yield ratings, shards, pretrain(training, shards, words, folder / "encoder", vectors=begun)


def test_the_tests_texts_are_never_read(made):
    ratings, shards, encoder = made
    known = load_tokenizer(encoder.path)
    read = {name for split in ("train", "validation") for name in Shard.open(shards, split).names}
    assert not read & {row.id for row in read_review_ratings(ratings, "test")}
    assert {row.id for row in read_review_ratings(ratings, "train")} < read
    assert "many modules" in known.decode(Shard.open(shards, "train").document_ids(0).tolist())
    reading = Artifact.open(shards.path.parent / "reading")
    held = [text.name for text in prose(reading, ratings, "validation")]
    assert held == [row.id for row in read_review_ratings(ratings, "validation")]


def test_every_text_is_seen_once_an_epoch_and_seeds_differ():
    ids = [[1] * (n % 9 + 1) for n in range(50)]
    runs = order(ids, TuningConfig(epochs=2, rows=8), seed=0)
    assert sorted(i for run in runs[: len(runs) // 2] for i in run) == list(range(50))
    assert sorted(i for run in runs for i in run) == sorted([*range(50), *range(50)])
    assert runs != order(ids, TuningConfig(epochs=2, rows=8), seed=1)


def test_texts_end_as_in_pre_training(made):
    ratings, _, encoder = made
    rows = read_review_ratings(ratings, "test")
    found = encode_ratings(encoder, rows, 6)
    end = load_tokenizer(encoder.path).specials["<|endoftext|>"]
    assert all(len(row) <= 6 and row[-1] == end for row in found)


def test_the_loss_is_least_at_the_share_of_the_rating():
    batch = rated([[5, 6], [7]], torch.tensor([0.8, 0.5]))

    class Says(ModelWithHead):
        """A model that says what it is told to."""

        def __init__(self, numbers: list[float]) -> None:
            super().__init__(torch.nn.Identity(), torch.nn.Identity())
            self.numbers = torch.tensor(numbers)

        def forward(self, ids, *, documents=None):
            return self.numbers

    def loss(numbers: list[float]) -> float:
        return float(opinion(Says(numbers), batch).total)

    best = [float(torch.tensor(0.8).logit()), 0.0]
    assert loss(best) == pytest.approx(0.5004 + 0.6931, abs=1e-3)
    assert all(loss([best[0] + a, best[1] + b]) > loss(best) for a, b in ((0.3, 0), (0, -0.3)))


def test_a_share_of_the_tokens_is_hidden_and_never_padding():
    batch = rated([[5] * 400, [6] * 100], torch.tensor([0.8, 0.5]))
    found = hidden(batch, 0.2, 99, (0, 1))
    is_hidden = found.ids == 99
    assert 0.15 < float(is_hidden[0].float().mean()) < 0.25
    assert not is_hidden[1, 100:].any() and is_hidden[1, :100].any()
    assert torch.equal(found.ids, hidden(batch, 0.2, 99, (0, 1)).ids)
    assert not torch.equal(found.ids, hidden(batch, 0.2, 99, (0, 2)).ids)


def test_a_classifier_learns_and_is_its_seed_s_alone(made):
    ratings, _, encoder = made
    rows = [row for row in read_review_ratings(ratings, "train") if abs(row.rating) > 0.5]
    ids = encode_ratings(encoder, rows, 64)
    config = TuningConfig(epochs=8, rows=16, average=0.9, optim=OptimConfig(learning_rate=2e-3))
    told = [says(_tune(config, encoder, ratings, 0), ids) for _ in range(2)]
    assert told[0] == told[1]
    right = sum(a == (row.rating > 0) for a, row in zip(told[0], rows, strict=True)) / len(rows)
    assert right > 0.75


def test_validation_tells_all_systems_and_reads_no_test(made, monkeypatch):
    ratings, _, encoder = made
    asked = list[str]()

    def noted(artifact: Artifact, split: str):
        asked.append(split)
        return read_review_ratings(artifact, split)

    monkeypatch.setattr("groundup.recipes.encoder.training.read_review_ratings", noted)
    monkeypatch.setattr("groundup.recipes.encoder.ratings.read_review_ratings", noted)
    config = EncoderScoreConfig(tuning=TuningConfig(seeds=(0, 1), epochs=1))
    found = validate(config, encoder, ratings)
    assert list(found) == ["words", "seed 0", "seed 1", "encoder"]
    assert found["encoder"] == pytest.approx((found["seed 0"] + found["seed 1"]) / 2)
    assert set(asked) == {"train", "validation"}
