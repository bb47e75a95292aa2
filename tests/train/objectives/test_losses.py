"""Losses are sums with weights, and every objective is learnt."""

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

from groundup.core import DataError
from groundup.model import Head, HeadConfig, ModelWithHead, Transformer
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    causal_loss,
    class_batch,
    classification_loss,
    split_batch,
    train,
)
from tests.model.shapes import ENCODERS
from tests.train.test_loop import ragged_batch, tiny_model


def test_it_equals_the_plain_sum_over_logits():
    model, batch = tiny_model(), ragged_batch()
    found = causal_loss(model, batch)
    logprobs = model.logits(batch.ids, documents=batch.documents).log_softmax(-1)
    nats = -logprobs.gather(-1, batch.targets[..., None]).squeeze(-1)
    torch.testing.assert_close(found.total, (nats * batch.weights).sum(), rtol=1e-4, atol=1e-4)
    assert float(found.weight) == float(batch.weights.sum())


def test_targets_without_weight_do_not_matter():
    model, batch = tiny_model(), ragged_batch()
    other = torch.where(batch.weights > 0, batch.targets, (batch.targets + 1) % 32)
    torch.testing.assert_close(
        causal_loss(model, batch).total, causal_loss(model, batch._replace(targets=other)).total
    )


TEXTS = [[5, 6, 7, 8], [9], [5, 5, 6], [10, 9, 9, 9, 11]]


def model() -> ModelWithHead:
    body = Transformer(ENCODERS["bert"], seed=1)
    return ModelWithHead(body, Head(HeadConfig(pooling="mean"), body.config.width))


def test_padding_and_the_split_move_nothing():
    found = model().double().eval()
    batch = class_batch(TEXTS, [0, 1, 0, 1])
    whole = classification_loss(found, batch).total
    alone = [
        classification_loss(found, class_batch([row], [n % 2])).total for n, row in enumerate(TEXTS)
    ]
    torch.testing.assert_close(whole, torch.stack(alone).sum())
    parts = [classification_loss(found, part) for part in split_batch(batch, 2)]
    torch.testing.assert_close(whole, parts[0].total + parts[1].total)
    assert float(batch.weights.sum()) == float(classification_loss(found, batch).weight) == 4


def test_a_head_learns_what_it_is_shown():
    found, batch = model(), class_batch(TEXTS, [0, 1, 0, 1])
    optimizer = Optimizer(found.named_parameters(), OptimConfig(matrix_optimizer="adamw"))
    steps = list(
        train(
            found,
            lambda step: [batch],
            classification_loss,
            optimizer,
            lambda s: 1.0,
            LoopOptions(30),
        )
    )
    assert steps[0].loss == pytest.approx(0.69, abs=0.1) and steps[-1].loss < 0.1


def test_an_empty_text_and_a_missing_label_are_errors():
    with pytest.raises(DataError, match="1 of them empty"):
        class_batch([[1], []], [0, 1])
    with pytest.raises(DataError, match="Got 2 texts .*1 labels"):
        class_batch([[1], [2]], [0])


SCRIPT = Path(__file__).resolve().parents[3] / "benchmarks" / "train" / "learning.py"


def script() -> ModuleType:
    """The benchmark, which states the rule."""
    spec = importlib.util.spec_from_file_location("learning", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


learning = script()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Text and goals, made once for all presets."""
    folder = tmp_path_factory.mktemp("learning")
    return folder, learning.prepared(folder), {}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "wanted"), learning.pairs())
def test_a_tiny_preset_learns_more_than_counting_tells(shared, name: str, wanted: str):
    folder, text, goals = shared
    if wanted not in goals:
        goals[wanted] = learning.goal(wanted, text)
    row = learning.learned(name, wanted, goals[wanted], text, folder / "models")
    assert row["reached"] < row["threshold"], row


def batch_of(before: list[int], targets: list[int], weights: list[float]) -> MicroBatch:
    ids = torch.tensor([before]), torch.tensor([targets])
    return MicroBatch(*ids, torch.tensor([weights]), None)


def test_every_preset_is_tried_with_its_own_objective():
    kinds = {wanted for _, wanted in learning.pairs()}
    assert kinds == {
        "causal", "prefix", "middle", "masked", "boundary", "next_sentence", "corruption",
        "denoising",
    }  # fmt: skip
    assert len(set(learning.pairs())) == len(learning.pairs()) > 22


def test_counts_are_of_weighted_targets():
    counts = learning.counted(iter([batch_of([1, 1, 2], [2, 2, 3], [1.0, 1.0, 0.0])]))
    assert counts.after[1, 2] == counts.single[2] == 2 and counts.single.sum() == 2


def test_the_bigram_is_witten_s_and_bell_s():
    after = np.array([[0.0, 3.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    counts = learning.Counts(after.sum(0), after)
    single = (np.array([0, 3, 1]) + 0.5) / (4 + 1.5)
    seen = (np.array([0, 3, 1]) + 2 * single) / (4 + 2)
    assert seen.sum() == pytest.approx(1)
    held = batch_of([0, 0, 1], [1, 0, 2], [1.0, 1.0, 1.0])
    wanted = -np.log([seen[1], seen[0], single[2]]).mean()
    assert learning.entropy(counts, held, "bigram") == pytest.approx(wanted)
    assert learning.entropy(counts, held, "unigram") == pytest.approx(-np.log(single).mean())


def test_results_are_kept_by_preset_and_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "RESULTS", tmp_path / "learning.json")
    for name, reached in (("bert-tiny", 3.0), ("gpt-1-tiny", 2.0), ("bert-tiny", 1.0)):
        own = next(wanted for each, wanted in learning.pairs() if each == name)
        learning.kept({"preset": name, "objective": own, "reached": reached})
    rows = learning.json.loads((tmp_path / "learning.json").read_text())["presets"]
    assert [(row["preset"], row["reached"]) for row in rows] == [
        ("gpt-1-tiny", 2.0), ("bert-tiny", 1.0),
    ]  # fmt: skip
