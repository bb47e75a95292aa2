"""A run that went back is, to the bit, the run in which the bad batches never were."""

import pytest
import torch

from groundup.core import DataError
from groundup.train import (
    CheckpointConfig,
    Checkpoints,
    LoopOptions,
    MicroBatch,
    OptimConfig,
    Optimizer,
    causal_loss,
    save_checkpoints,
    train,
)
from groundup.train.services.rewinding import rewind_by_checkpoints, rewind_on_spikes, skip_batches
from groundup.train.services.spikes import SpikeConfig, SpikeDetector
from tests.train.test_loop import ragged_batch, tiny_model

STEPS, BAD = 60, 45
CONFIG = SpikeConfig(policy="rewind", window=32, margin=2)


def text(step: int) -> list[MicroBatch]:
    """Random rows; two batches are bad."""
    name = "bad" if step in (BAD, BAD + 1) else "good"
    return [ragged_batch(rows=2, seed=step)._replace(names=(name, name))]


def loss(model, batch: MicroBatch):
    """A bad batch costs eight times as much, and pulls as hard."""
    found = causal_loss(model, batch)
    return found._replace(total=8 * found.total) if batch.names[0] == "bad" else found


def begin(guarded, folder, batches, every: int):
    """Steps of a run, resumed if it has checkpoints; its model and guard."""
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig(learning_rate=0.002))
    settings = CheckpointConfig(every_seconds=None, asynchronous=False)
    checkpoints = Checkpoints(folder, {"model": model, "optimizer": optimizer}, settings)
    resumed = checkpoints.resume()
    guard = guarded(CONFIG, folder, resumed.step)
    kept, plan = skip_batches(batches, guard), LoopOptions(STEPS)

    def training(start: int):
        return train(model, kept, loss, optimizer, lambda s: 1.0, plan._replace(start=start),
                     accept=guard)  # fmt: skip

    if not resumed.contract:
        checkpoints.save(0)
    back = rewind_by_checkpoints(folder, checkpoints.resume)
    found = rewind_on_spikes(training(resumed.step), training, guard, back)
    return saved_every(found, checkpoints, every), model, guard


def saved_every(steps, checkpoints: Checkpoints, every: int):
    """Save after every so many steps, as `save_checkpoints` does by the clock."""
    for step in steps:
        yield step
        if (step.number + 1) % every == 0:
            checkpoints.save(step.number + 1)


def without(batches, bad: range):
    return lambda step: batches(step + len(bad) * (step >= bad[0]))


@pytest.fixture(scope="module")
def clean(tmp_path_factory) -> list[torch.Tensor]:
    """Weights of the run whose text never had the bad batches."""
    text_without, made = without(text, range(BAD - 2, BAD + 3)), list[SpikeDetector]()

    def guarded(*given) -> SpikeDetector:
        made.append(SpikeDetector(*given))
        return made[-1]

    steps, model, guard = begin(guarded, tmp_path_factory.mktemp("clean"), text_without, 10)
    assert len(list(steps)) == STEPS and not guard.skipped_batches
    guard.close()
    return [p.detach().clone() for p in model.parameters()]


def equal(model, weights) -> bool:
    return all(torch.equal(a, b) for a, b in zip(model.parameters(), weights, strict=True))


@pytest.mark.parametrize("every", [10, 25, 100])
def test_going_back_gives_the_run_without_the_batches_to_the_bit(every, clean, tmp_path, guarded):
    steps, model, guard = begin(guarded, tmp_path, text, every)
    numbers = [step.number for step in steps]
    assert guard.skipped_batches == set(range(BAD - 2, BAD + 3))
    assert numbers[BAD] == {10: 40, 25: 25, 100: 0}[every]  # where it went back to
    assert numbers[-1] == STEPS - 1
    assert equal(model, clean)


@pytest.mark.parametrize("stop", [43, 52, 65])
def test_killed_before_or_after_going_back_it_ends_the_same(stop, clean, tmp_path, guarded):
    steps, _, guard = begin(guarded, tmp_path, text, 10)
    for count, _ in enumerate(steps):
        if count == stop:
            break
    del steps
    guard.close()
    steps, model, again = begin(guarded, tmp_path, text, 10)
    list(steps)
    assert again.skipped_batches == set(range(BAD - 2, BAD + 3))
    assert equal(model, clean)


def test_what_was_learnt_before_the_oldest_checkpoint_stays(tmp_path, guarded):
    steps, _, guard = begin(
        guarded, tmp_path, text, 1
    )  # the two that are kept are younger than the margin
    list(steps)
    assert guard.skipped_batches == set(range(BAD - 1, BAD + 3))
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [
        f"step-{STEPS - 1:08d}", f"step-{STEPS:08d}",
    ]  # fmt: skip


def test_a_run_that_goes_back_again_and_again_ends_with_an_error(tmp_path, guarded):
    def worse(step: int) -> list[MicroBatch]:
        return (
            [each._replace(names=("bad",) * 2) for each in text(step)]
            if step >= BAD
            else text(step)
        )

    steps, _, guard = begin(guarded, tmp_path, worse, 10)
    with pytest.raises(DataError, match="after 3 rewinds; lower the learning rate.*step-0000004"):
        list(steps)
    assert len(guard.rewound_steps) == 3


def test_saving_by_the_clock_goes_along(tmp_path, guarded):
    steps, model, guard = begin(guarded, tmp_path, text, 1000)
    clock = Checkpoints(tmp_path, {"model": model}, CheckpointConfig(every_seconds=1e9))
    assert len(list(save_checkpoints(steps, clock))) > STEPS
    assert len(guard.skipped_batches) == 5
