"""Held-out text is scored when it is due: each token once at most, by source and as a whole.

Samples are written when they are due, and the run stays as it was.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from groundup.core import record
from groundup.core.contracts import Generation, Message, Sampling
from groundup.generate import Engine
from groundup.model import Transformer
from groundup.tokenizer import Shard, load_tokenizer
from groundup.train import (
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    Precision,
    causal_loss,
    summarise_metrics,
    train,
    validate_steps,
    validation_scorer,
)
from groundup.train.batches import single_document_batch
from groundup.train.services.validation import (
    BITS_PER_BYTE,
    LossTally,
    evenly_spaced,
    generate_samples,
    half_width,
    held_out_windows,
)
from tests.train.services.steps import steps_of, tiny
from tests.train.small import small
from tests.train.test_loop import ragged_batch, tiny_model


def shard(name: str, size: int, seed: int = 0) -> Shard:
    ids = np.random.default_rng(seed).integers(1, 31, size).tolist()
    documents = [(f"{name}-{at}", ids[at : at + 20], 40) for at in range(0, size, 20)]
    return Shard.from_documents(name, documents, end=0)


def batch_of(windows) -> MicroBatch:
    ids = torch.from_numpy(windows.ids)
    return MicroBatch(ids[:, :-1], ids[:, 1:], torch.from_numpy(windows.weights),
                 torch.from_numpy(windows.documents), windows.names)  # fmt: skip


def test_what_was_validated_is_written_when_it_is_due(tmp_path):
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    for _ in validate_steps(
        steps_of(*tiny()), lambda: {"validation": 1.5}, evenly_spaced(6, 2), metrics
    ):
        pass
    metrics.close()
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [row["step"] for row in rows] == [2, 5]
    assert summarise_metrics(tmp_path / "m.jsonl")["validation loss"] == 1.5


@pytest.mark.parametrize("steps, times", [(781, 16), (10, 4), (3, 3), (2, 5)])
def test_a_run_is_scored_as_often_as_asked_and_at_its_end(steps, times):
    due = [step for step in range(steps) if evenly_spaced(steps, times)(step)]
    assert len(due) == min(steps, times) and due[-1] == steps - 1
    gaps = np.diff([-1, *due])
    assert gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("tokens", [1, 100, 600, 10_000])
def test_no_token_is_scored_twice_and_all_if_there_is_room(tokens):
    shards = [shard("large", 1000), shard("small", 60)]
    found = held_out_windows(shards, 12, tokens, seed=3)
    assert list(found) == ["large", "small"]
    for each in shards:
        windows = found[each.name]
        targets = windows.ids[:, 1:][windows.documents >= 0]
        counts = np.bincount(targets, minlength=32)
        assert (counts <= np.bincount(each.ids, minlength=32)).all()
        if tokens == 10_000:
            assert len(targets) == len(each)
    scored = sum(int(windows.weights.sum()) for windows in found.values())
    assert scored <= max(tokens, 24)
    again = held_out_windows(shards, 12, tokens, seed=3)
    assert all((found[name].ids == again[name].ids).all() for name in found)


def test_a_small_source_leaves_its_room_to_the_others():
    found = held_out_windows([shard("large", 1000), shard("small", 24)], 12, 480, seed=0)
    assert (len(found["small"].ids), len(found["large"].ids)) == (3, 37)


def test_sources_and_the_whole_are_what_the_formula_says():
    model, sizes = tiny_model(), torch.arange(32) % 5 + 1
    shards = [shard("web", 200), shard("code", 120, seed=1)]
    own = {
        name: batch_of(windows) for name, windows in held_out_windows(shards, 12, 300, 0).items()
    }
    shares = {"web": 0.75, "code": 0.25}
    score = validation_scorer(model, {name: [each] for name, each in own.items()}, Precision(),
                    sizes=sizes, shares=shares)  # fmt: skip
    found, per_token, per_byte = score(), 0.0, 0.0
    for name, batch in own.items():
        model.eval()
        with torch.no_grad():
            part = causal_loss(model, batch)
        told = float((sizes[batch.targets] * batch.weights).sum())
        nats = float(part.total / part.weight)
        assert found[f"validation/{name}"] == pytest.approx(nats, abs=1e-5)
        bits = float(part.total) / math.log(2) / told
        assert found[f"{BITS_PER_BYTE}/{name}"] == pytest.approx(bits, abs=1e-5)
        per_token += shares[name] * nats
        per_byte += shares[name] * told / float(part.weight)
    assert found["validation"] == pytest.approx(per_token, abs=1e-5)
    assert found[BITS_PER_BYTE] == pytest.approx(per_token / math.log(2) / per_byte, abs=1e-5)
    assert score() == found and model.training


def test_one_source_has_no_name_and_no_shares_weigh_by_tokens():
    batches = [ragged_batch(rows=2, seed=1), ragged_batch(rows=6, seed=2)]
    alone = validation_scorer(tiny_model(), batches, Precision())()
    assert list(alone) == ["validation"]
    split = validation_scorer(tiny_model(), {"a": batches[:1], "b": batches[1:]}, Precision())()
    assert split["validation"] == pytest.approx(alone["validation"], abs=1e-5)


def test_sources_that_the_run_never_reads_are_weighed_by_tokens():
    batches = {"a": [ragged_batch(rows=2, seed=1)], "b": [ragged_batch(rows=6, seed=2)]}
    plain, unread, partly = (
        validation_scorer(tiny_model(), batches, Precision(), shares=shares)()
        for shares in (None, {"a": 0, "b": 0, "c": 1}, {"a": 1, "b": 0})
    )
    assert unread == plain and partly["validation"] == plain["validation/a"]


def test_the_interval_holds_the_mean_as_often_as_it_says():
    generator = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        weights = generator.integers(5, 20, 30).astype(float)
        nats = weights * generator.normal(3.0, 0.5, 30)
        parts = [LossTally(a, b) for a, b in zip(nats, weights, strict=True)]
        mean = nats.sum() / weights.sum()
        held += abs(mean - 3.0) <= half_width(parts)
    assert 925 <= held <= 970  # 95 % by the normal, a little less of 30
    assert half_width([LossTally(3.0, 1.0)]) == 0.0


class Rolling:
    """A speaker that draws from the run's own random numbers, and leaves the model evaluating."""

    def __init__(self, model) -> None:
        self.model = model

    def generate(self, conversations, how: Sampling) -> list[Generation]:
        self.model.eval()
        return [
            Generation(f"{c[0].content} {float(torch.rand(()))}", (), (), "stop")
            for c in conversations
        ]

    def logprobs(self, conversations, answers):
        raise NotImplementedError

    def embed(self, texts):
        raise NotImplementedError


def weights(tmp_path, prompts: list[str]) -> list[torch.Tensor]:
    model, optimizer = tiny()
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    torch.manual_seed(3)
    for _ in generate_samples(
        steps_of(model, optimizer),
        Rolling(model),
        prompts,
        evenly_spaced(6, 3),
        metrics,
        model=model,
    ):
        assert model.training
    metrics.close()
    return [torch.rand(()), *(p.detach().clone() for p in model.parameters())]


def test_samples_are_written_and_the_run_ends_with_the_same_bits(tmp_path):
    sampled = weights(tmp_path, ["Once", "The"])
    rows = record.read_metrics(tmp_path / "m.jsonl")
    assert [row["step"] for row in rows] == [1, 3, 5]
    assert [each["prompt"] for each in rows[0]["samples"]] == ["Once", "The"]
    assert rows[0]["samples"][0]["text"].startswith("Once 0.")
    plain = weights(tmp_path / "..", [])
    assert all(torch.equal(a, b) for a, b in zip(sampled, plain, strict=True))


def test_the_model_speaks_within_what_it_is_given(tmp_path):
    model, optimizer = tiny()
    metrics, kept = record.MetricsFile(tmp_path / "m.jsonl"), []

    @contextmanager
    def within() -> Iterator[None]:
        kept.append("in")
        yield
        kept.append("out")

    class Noting(Rolling):
        def generate(self, conversations, how: Sampling) -> list[Generation]:
            kept.append("speaks")
            return super().generate(conversations, how)

    steps = steps_of(model, optimizer)
    list(
        generate_samples(
            steps, Noting(model), ["Once"], evenly_spaced(6, 2), metrics, model=model, within=within
        )
    )
    metrics.close()
    assert kept == ["in", "speaks", "out"] * 2


def test_an_engine_around_the_weights_speaks_as_they_are(tmp_path):
    tokenizer = load_tokenizer(small(tmp_path).tokenizer.path)
    config = tiny_model().config.model_copy(
        update={"vocab_size": tokenizer.vocab_size, "context_length": 64}
    )
    model = Transformer(config, seed=0)
    ids = torch.tensor([tokenizer.encode("The river holds the window. ") * 3])
    optimizer = Optimizer(model.named_parameters(), OptimConfig(learning_rate=0.02))
    batches = lambda step: [single_document_batch(ids)]  # noqa: E731
    steps = train(model, batches, causal_loss, optimizer, lambda s: 1.0, LoopOptions(40))
    metrics = record.MetricsFile(tmp_path / "m.jsonl")
    how = Sampling(max_tokens=4)
    engine = Engine(model, tokenizer)
    list(
        generate_samples(
            steps, engine, ["The river"], evenly_spaced(40, 2), metrics, model=model, generation=how
        )
    )
    metrics.close()
    first, last = (row["samples"][0] for row in record.read_metrics(tmp_path / "m.jsonl"))
    said = engine.generate([(Message("user", "The river"),)], how)[0].text
    assert last == {"prompt": "The river", "text": said}
    assert first["text"] != last["text"]
