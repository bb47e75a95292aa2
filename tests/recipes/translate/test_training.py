"""Steps hold like lengths within their budget, each epoch in another order; presets are checked."""

import random

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from groundup.core import ConfigError, DataError
from groundup.model import ModelConfig, Transformer
from groundup.recipes.translate.pairs import SentencePair
from groundup.recipes.translate.training import (
    Encoded,
    TrainingConfig,
    _batches_of,
    _check_length,
    _folded,
    _noisy,
    batch_of,
    encode_pairs,
    length,
    model_config,
    scaled,
    truncate_pairs,
)
from groundup.train import (
    LoopOptions,
    MicroBatch,
    Optimizer,
    SourceTarget,
    make_lr_schedule,
    sequence_batch,
    sequence_to_sequence_loss,
    train,
)

PAIRS = [SourceTarget([5] * (1 + i % 17), [6] * (1 + i % 11)) for i in range(200)]


def test_every_pair_is_seen_once_an_epoch_within_the_budget():
    config = TrainingConfig(epochs=2.0, batch_tokens=100)
    steps = _batches_of(PAIRS, config)
    half = len(steps) // 2
    assert sorted(np.concatenate(steps[:half]).tolist()) == list(range(200))
    assert sorted(np.concatenate(steps[half:]).tolist()) == list(range(200))
    assert steps[:half] != steps[half:]
    assert steps == _batches_of(PAIRS, config)
    for step in steps:
        assert max(length(PAIRS[i]) for i in step) * len(step) <= 100
    assert len(_batches_of(PAIRS, TrainingConfig(epochs=0.5, batch_tokens=100))) < half


def test_one_pair_longer_than_the_budget_is_a_step():
    assert truncate_pairs([0, 1], [50, 3], 10) == [[0], [1]]
    assert truncate_pairs([], [], 10) == []


def test_a_batch_begins_targets_with_the_end_of_a_text():
    batch = batch_of(Encoded(PAIRS, 7), [3, 4])
    assert batch.ids[:, 0].tolist() == [7, 7]
    assert batch.source is not None and batch.source.shape[1] % 8 == 0
    assert batch.weights.sum() == 4 + 5


def test_the_head_is_free_or_tied():
    free = model_config(TrainingConfig(), 300)
    assert not free.tied_embeddings and free.output.scale == 1.0 and free.vocab_size == 300
    tied = model_config(TrainingConfig(tied=True), 300)
    assert tied.tied_embeddings and tied.output.scale < 1
    with pytest.raises(ConfigError, match="gpt-2-tiny is a decoder"):
        model_config(TrainingConfig(preset="gpt-2-tiny"), 300)


def test_scores_scaled_in_training_are_told_by_the_queries_after_it():
    shape = model_config(TrainingConfig(), 300)
    assert shape.attention.scale == 1.0  # T5's, which its files can say
    model = Transformer(scaled(shape), seed=1)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:  # else a new model is the identity
                weight.normal_(std=0.05, generator=torch.Generator().manual_seed(len(name)))
    batch = batch_of(Encoded([SourceTarget([*range(9, 20)], [*range(30, 37)])] * 2, 7), range(2))
    found = _folded(model, shape)
    assert found.config == shape
    assert_close(
        sequence_to_sequence_loss(found, batch).total, sequence_to_sequence_loss(model, batch).total
    )
    bart = model_config(TrainingConfig(preset="bart-tiny"), 300)
    assert scaled(bart) == bart and _folded(model, bart) is model


def test_a_pair_that_the_context_cannot_hold_is_told():
    _check_length(PAIRS, 17)
    with pytest.raises(DataError, match="has 17 tokens and the context 16"):
        _check_length(PAIRS, 16)
    found = encode_pairs([SentencePair("p", "ab", "c")], lambda text: [ord(c) for c in text], 0)
    assert found == Encoded([SourceTarget([97, 98, 0], [99, 0])], 0)


def test_noise_changes_what_is_read_and_never_what_is_asked():
    config = TrainingConfig(noise=0.3)
    batch = batch_of(Encoded([SourceTarget([*range(10, 30)], [*range(40, 60)])] * 50, 7), range(50))
    found = _noisy(batch, config, 3)
    assert found.targets is batch.targets and found.documents is batch.documents
    assert batch.source is not None and found.source is not None
    for before, after in ((batch.source, found.source), (batch.ids, found.ids)):
        assert 0.2 < float((before != after).float().mean()) < 0.35
        assert set(after.flatten().tolist()) <= set(before.flatten().tolist())
    again, other = _noisy(batch, config, 3), _noisy(batch, config, 4)
    assert found.ids.equal(again.ids) and not found.ids.equal(other.ids)
    assert _noisy(batch, TrainingConfig(noise=0), 3).ids.equal(batch.ids)


def copying(shape: ModelConfig) -> float:
    """The last loss of 150 steps of writing out what was read: 4 to 13 ids by chance."""
    draws, optim = random.Random(0), TrainingConfig().optim
    model = Transformer(shape, seed=0)

    def batch(step: int) -> list[MicroBatch]:
        rows = [[draws.randrange(2, 512) for _ in range(draws.randrange(4, 14))] for _ in range(24)]
        pairs = [[SourceTarget([*ids, 0], [*ids, 0])] for ids in rows]
        return [sequence_batch(pairs, start=0, multiple=8)]

    optimizer, rate = Optimizer(model.named_parameters(), optim), make_lr_schedule(optim, 150)
    *_, last = train(model, batch, sequence_to_sequence_loss, optimizer, rate, LoopOptions(150))
    return last.loss


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_source_is_found_sooner_with_scaled_scores():
    shape = model_config(TrainingConfig(), 512)
    assert copying(scaled(shape)) < copying(shape) - 0.5
