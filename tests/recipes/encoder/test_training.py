"""Every text is seen once an epoch, long ones are cut, and a classifier is its seed's alone."""

import pytest

from groundup.recipes.encoder.ratings import RatingsConfig, make_ratings, read_ratings
from groundup.recipes.encoder.training import (
    TuningConfig,
    encoded,
    learn_tokenizer,
    make_tokens,
    order,
    prose,
    says,
    tune,
)
from groundup.tokenizer import Shard, TokenizerConfig, load_tokenizer
from groundup.train import OptimConfig, PretrainConfig, pretrain
from tests.recipes.encoder.tables import write_tables
from tests.train.small import without_compiler


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """An encoder of a few steps, on made-up texts and a little prose."""
    folder = tmp_path_factory.mktemp("encoder")
    with without_compiler(), pytest.MonkeyPatch.context() as patch:
        few = [("a.txt", "The library has many modules. " * 40)]
        patch.setattr("groundup.recipes.encoder.training.manual", lambda: iter(few))
        ratings = make_ratings(RatingsConfig(), write_tables(folder / "tables"), folder / "ratings")
        config = TokenizerConfig(vocab_size=320, specials=("chat", "encoder"))
        words = learn_tokenizer(config, ratings, folder / "tokenizer")
        shards = make_tokens(ratings, words, folder / "tokens")
        training = PretrainConfig(
            preset="modernbert-tiny", tokens=5120, batch_tokens=512, length=64, context_length=64,
            long_share=0.0, validation_tokens=512,
        )  # fmt: skip
        yield ratings, shards, pretrain(training, shards, words, folder / "encoder")


def test_the_tests_texts_are_never_read(made):
    ratings, shards, encoder = made
    known = load_tokenizer(encoder.path)
    read = {name for split in ("train", "validation") for name in Shard.open(shards, split).names}
    assert not read & {row.id for row in read_ratings(ratings, "test")}
    assert {row.id for row in read_ratings(ratings, "train")} < read
    assert "many modules" in known.decode(Shard.open(shards, "train").document(0).tolist())
    assert not [text for text in prose(ratings, "validation") if text.name == "a.txt"]


def test_every_text_is_seen_once_an_epoch_and_seeds_differ():
    ids = [[1] * (n % 9 + 1) for n in range(50)]
    runs = order(ids, TuningConfig(epochs=2, rows=8), seed=0)
    assert sorted(i for run in runs[: len(runs) // 2] for i in run) == list(range(50))
    assert sorted(i for run in runs for i in run) == sorted([*range(50), *range(50)])
    assert runs != order(ids, TuningConfig(epochs=2, rows=8), seed=1)


def test_texts_end_as_in_pre_training(made):
    ratings, _, encoder = made
    rows = read_ratings(ratings, "test")
    found = encoded(encoder, rows, 6)
    end = load_tokenizer(encoder.path).specials["<|endoftext|>"]
    assert all(len(row) <= 6 and row[-1] == end for row in found)


def test_a_classifier_learns_and_is_its_seed_s_alone(made):
    ratings, _, encoder = made
    rows = [row for row in read_ratings(ratings, "train") if abs(row.rating) > 0.5]
    ids = encoded(encoder, rows, 64)
    config = TuningConfig(epochs=3, rows=16, optim=OptimConfig(learning_rate=2e-3))
    told = [says(tune(config, encoder, ratings, 0), ids) for _ in range(2)]
    assert told[0] == told[1]
    right = sum(a == (row.rating > 0) for a, row in zip(told[0], rows, strict=True)) / len(rows)
    assert right > 0.75
