"""Killed at any step and resumed, a run ends with the same bits."""

import pytest
import torch

from groundup.core import ArtifactError
from groundup.train import OptimConfig, Optimizer, Plan, causal, resume, save_checkpoint, train
from tests.train.test_loop import ragged_batch, tiny_model


def go(model, optimizer, start: int, steps: int) -> None:
    batches = lambda step: [ragged_batch(seed=step)]  # noqa: E731
    for _ in train(model, batches, causal, optimizer, lambda s: 1.0, Plan(steps, start)):
        pass


@pytest.mark.parametrize("killed", [1, 3, 5])
def test_resuming_gives_the_undisturbed_weights(tmp_path, killed: int):
    plain = tiny_model()
    go(plain, Optimizer(plain.named_parameters(), OptimConfig()), 0, 6)
    first = tiny_model()
    optimizer = Optimizer(first.named_parameters(), OptimConfig())
    go(first, optimizer, 0, killed)
    save_checkpoint(tmp_path, killed, first, optimizer)
    again = tiny_model(seed=7)
    optimizer = Optimizer(again.named_parameters(), OptimConfig())
    found = resume(tmp_path, again, optimizer)
    assert found.step == killed
    go(again, optimizer, found.step, 6)
    assert all(
        torch.equal(a, b) for a, b in zip(plain.parameters(), again.parameters(), strict=True)
    )


def saved(tmp_path):
    model = tiny_model()
    optimizer = Optimizer(model.named_parameters(), OptimConfig())
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, model, optimizer)
    return model, optimizer


def test_only_the_newest_two_are_kept(tmp_path):
    saved(tmp_path)
    assert [path.name for path in sorted(tmp_path.glob("step-*"))] == [
        "step-00000002", "step-00000003",
    ]  # fmt: skip


def test_a_truncated_checkpoint_is_an_error_that_says_so(tmp_path):
    model, optimizer = saved(tmp_path)
    path = tmp_path / "step-00000003" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ArtifactError, match="step-00000003 is damaged"):
        resume(tmp_path, model, optimizer)


def test_a_save_that_was_cut_short_is_not_seen(tmp_path):
    model, optimizer = saved(tmp_path)
    (tmp_path / ".partial").mkdir()
    (tmp_path / ".partial" / "state.json").write_text("{")
    assert resume(tmp_path, model, optimizer).step == 3


def test_without_a_checkpoint_a_run_starts_at_zero(tmp_path):
    model = tiny_model()
    found = resume(tmp_path, model, Optimizer(model.named_parameters(), OptimConfig()))
    assert found == (0, {})
