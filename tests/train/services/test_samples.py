"""Samples are written when they are due, and the run stays as it was."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from groundup.core import record
from groundup.core.contracts import Generation, Message, Sampling
from groundup.generate import Engine
from groundup.model import Transformer
from groundup.tokenizer import load_tokenizer
from groundup.train import LoopOptions, OptimConfig, Optimizer, causal_loss, train
from groundup.train.batches import single_document_batch
from groundup.train.services.samples import generate_samples
from groundup.train.services.validation import evenly_spaced
from tests.train.services.steps import steps_of, tiny
from tests.train.small import small
from tests.train.test_loop import tiny_model


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
