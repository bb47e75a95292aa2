"""Steps of a tiny model, which the tests of services wrap."""

from collections.abc import Iterator

from groundup.model import Transformer
from groundup.train import LoopOptions, OptimConfig, Optimizer, TrainStep, causal_loss, train
from tests.train.test_loop import ragged_batch, tiny_model


def tiny() -> tuple[Transformer, Optimizer]:
    model = tiny_model()
    return model, Optimizer(model.named_parameters(), OptimConfig())


def steps_of(model: Transformer, optimizer: Optimizer, count: int = 6) -> Iterator[TrainStep]:
    batches = lambda step: [ragged_batch(seed=step)]  # noqa: E731
    return train(model, batches, causal_loss, optimizer, lambda s: 1.0, LoopOptions(count))
