"""A guard hears spikes, lets calm curves pass, and judges a resumed run as the undisturbed one.

A run that went back is, to the bit, the run in which the bad batches never were.
"""

import json
import math
import random
from collections.abc import Callable, Iterator

import pytest
import torch

from groundup.core import DataError, record
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
from groundup.train.services.spikes import (
    JOURNAL,
    Outlier,
    RewindRequest,
    RunningMedian,
    SpikeConfig,
    SpikeDetector,
    rewind_by_checkpoints,
    rewind_on_spikes,
    skip_batches,
)
from tests.train.test_loop import ragged_batch, tiny_model


@pytest.fixture
def guarded() -> Iterator[Callable[..., SpikeDetector]]:
    made: list[SpikeDetector] = []

    def make(*given, **named) -> SpikeDetector:
        made.append(SpikeDetector(*given, **named))
        return made[-1]

    yield make
    for guard in made:
        guard.close()


def curve(steps: int, seed: int = 0) -> list[tuple[float, float]]:
    """Losses and norms of a run that goes well, 4 % and 30 % of noise."""
    draw = random.Random(seed)
    return [((3 + 5 / (1 + step / 50)) * math.exp(0.04 * draw.gauss(0, 1)),
             (0.3 + 1 / (1 + step / 20)) * math.exp(0.3 * draw.gauss(0, 1)))
            for step in range(steps)]  # fmt: skip


def judge(guard: SpikeDetector, values, start: int = 0) -> list[bool]:
    return [guard(step, *each) for step, each in enumerate(values, start)]


def test_a_calm_curve_is_left_alone(tmp_path, guarded):
    guard = guarded(SpikeConfig(policy="skip"), tmp_path)
    assert all(judge(guard, curve(3000)))
    assert guard.pending_reports == []


@pytest.mark.parametrize("loss, norm", [(2.0, 1.0), (1.0, 30.0), (math.nan, 1.0), (1.0, math.inf)])
@pytest.mark.parametrize("policy", ["warn", "skip", "rewind"])
def test_a_planted_spike_is_heard_at_its_step(policy, loss, norm, tmp_path, guarded):
    values = curve(400)
    values[300] = (values[300][0] * loss, values[300][1] * norm)
    guard = guarded(SpikeConfig(policy=policy), tmp_path)
    is_finite = math.isfinite(loss * norm)
    if policy == "rewind" and loss == 2.0:
        with pytest.raises(RewindRequest) as found:
            judge(guard, values)
        assert (found.value.step, found.value.first, found.value.last) == (300, 298, 302)
    else:
        made = judge(guard, values)
        assert [step for step, _ in guard.pending_reports] == [300]
        is_made = policy == "warn" and is_finite
        assert [step for step, is_applied in enumerate(made) if not is_applied] == [300] * (
            not is_made
        )


def test_a_new_level_is_taken_for_the_usual_one(tmp_path, guarded):
    values = [(loss * (1 + (step >= 300)), norm) for step, (loss, norm) in enumerate(curve(600))]
    guard = guarded(SpikeConfig(policy="skip"), tmp_path)
    assert [s for s, is_applied in enumerate(judge(guard, values)) if not is_applied] == [
        *range(300, 305)
    ]
    known = guarded(SpikeConfig(policy="skip"), tmp_path / "known", changes=[300])
    assert all(judge(known, values)) and not known.pending_reports


def test_what_is_not_finite_is_left_out_so_often_and_then_made_an_error(tmp_path, guarded):
    guard = guarded(SpikeConfig(max_consecutive=2), tmp_path)
    assert judge(guard, [(math.nan, 1.0), (3.0, 1.0), (math.nan, 1.0), (3.0, math.inf)]) == [
        False, True, False, False,
    ]  # fmt: skip
    assert guard(4, math.nan, 1.0) is True  # the loop raises


def test_the_loop_tells_of_the_documents_when_patience_ends(tmp_path, guarded):
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())

    def loss(model, batch):
        found = causal_loss(model, batch)
        return found._replace(total=found.total * math.nan) if batch.names[0] == "bad" else found

    def batches(step: int):
        batch = ragged_batch(rows=2, seed=step)
        return [batch._replace(names=("bad", "bad")) if step in (1, 3, 4, 5) else batch]

    guard = guarded(SpikeConfig(max_consecutive=2), tmp_path)
    steps = train(model, batches, loss, optimizer, lambda s: 1.0, LoopOptions(9), accept=guard)
    seen = []
    with pytest.raises(DataError, match="Step 5 has loss nan.*bad"):
        seen.extend(step.is_applied for step in steps)
    guard.close()
    rows = record.read_metrics(tmp_path / JOURNAL)
    assert [row["applied"] for row in rows] == [True, False, True, False, False]
    assert "NaN" not in (tmp_path / JOURNAL).read_text()


def test_an_exploded_loss_ends_the_run_and_names_the_last_good_checkpoint(tmp_path, guarded):
    for name in ("00000090", "00000150", "00000095.bak", "other"):
        (tmp_path / f"step-{name}").mkdir()
    values = [(8 - step / 50, 1.0) for step in range(100)]
    values += [(min(40.0, 6 * 1.05**step), 1.0) for step in range(200)]
    guard = guarded(SpikeConfig(), tmp_path)
    with pytest.raises(DataError, match=r"exploded: .* 7.93 at the beginning.*step-00000090"):
        judge(guard, [(loss * (1 + 1e-6 * (s % 3)), n) for s, (loss, n) in enumerate(values)])


@pytest.mark.parametrize("steps", [8, 9, 40, 127, 128])
def test_a_short_run_that_explodes_ends_with_the_same_error(steps, tmp_path, guarded):
    wild = [(8.0, 1.0), *[(10 + 0.5 * min(step, 30), 1.0) for step in range(steps - 1)]]
    guard, last = guarded(SpikeConfig(), tmp_path, steps=steps), 2 * (steps // 2) - 1
    assert all(judge(guard, wild[:last]))
    with pytest.raises(DataError, match=rf"exploded: .* up to step {last}, 8 at the beginning"):
        guard(last, *wild[last])


@pytest.mark.parametrize("steps", [1, 7, 8, 16, 40, 100])
def test_ordinary_short_runs_have_not_exploded(steps, tmp_path, guarded):
    for seed in range(16):
        draw = random.Random(seed)
        flat = [(4 * math.exp(0.04 * draw.gauss(0, 1)), 1.0) for _ in range(steps)]
        for name, values in (("falls", curve(steps, seed)), ("learns nothing", flat)):
            assert all(judge(guarded(SpikeConfig(), tmp_path / name, steps=steps), values))


def test_a_text_known_by_heart_does_not_explode(tmp_path, guarded):
    values = [(0.006 + 0.0105 * (step > 60), 1.0) for step in range(200)]
    assert all(judge(guarded(SpikeConfig(deviations=1e6), tmp_path), values))


@pytest.mark.parametrize("stop", [40, 130, 131, 135, 299])
def test_a_resumed_guard_decides_as_the_undisturbed_one(stop, tmp_path, guarded):
    values, config = curve(400, 3), SpikeConfig(policy="skip", window=64)
    for step in (130, 131, 250, 310):
        values[step] = (2 * values[step][0], values[step][1])
    whole = judge(guarded(config, tmp_path / "whole"), values)
    stopped = guarded(config, tmp_path / "stopped")
    judge(stopped, values[: stop + 7])  # killed after the checkpoint, a line half written
    stopped.close()
    with (tmp_path / "stopped" / JOURNAL).open("a") as file:
        file.write('{"step": 9')
    resumed = guarded(config, tmp_path / "stopped", stop)
    assert judge(resumed, values[stop:], stop) == whole[stop:]
    resumed.close()
    one, other = (json.loads(line) for line in (
        (tmp_path / name / JOURNAL).read_text().splitlines()[-1] for name in ("whole", "stopped")
    ))  # fmt: skip
    assert one == other


def test_a_window_without_spread_and_one_too_short_do_not_fail():
    usual = RunningMedian("loss", 64)
    assert usual.find_outlier(9.0, deviations=8, ratio=1.1) is None
    for _ in range(40):
        usual.add(2.0)
    assert usual.find_outlier(2.0, deviations=8, ratio=1.1) is None
    assert usual.find_outlier(3.0, deviations=8, ratio=1.1) == Outlier("loss", 3.0, 2.0, math.inf)


def test_off_looks_at_nothing(tmp_path, guarded):
    guard = guarded(SpikeConfig(policy="off"), tmp_path)
    assert guard(0, math.nan, 1.0) is True
    assert not (tmp_path / JOURNAL).exists()


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


@pytest.mark.parametrize("every", [10, pytest.param(100, marks=pytest.mark.slow)])
def test_going_back_gives_the_run_without_the_batches_to_the_bit(every, clean, tmp_path, guarded):
    steps, model, guard = begin(guarded, tmp_path, text, every)
    numbers = [step.number for step in steps]
    assert guard.skipped_batches == set(range(BAD - 2, BAD + 3))
    assert numbers[BAD] == {10: 40, 100: 0}[every]  # where it went back to
    assert numbers[-1] == STEPS - 1
    assert equal(model, clean)


@pytest.mark.parametrize("stop", [43, pytest.param(52, marks=pytest.mark.slow), 65])
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
