"""Killed at any step and resumed, a run ends with the same bits."""

import json
import os
import resource
import shutil
import subprocess
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from groundup.core import ArtifactError, CapacityError, record
from groundup.train import (
    CheckpointConfig,
    Checkpoints,
    LoopOptions,
    OptimConfig,
    Optimizer,
    RunIdentity,
    causal_loss,
    check_unfinished_run,
    latest_contract,
    train,
)
from groundup.train.checkpoint.files import check_files, open_checkpoint
from tests.train.test_loop import ragged_batch, tiny_model

AT_ONCE = CheckpointConfig(asynchronous=False)


class Run:
    """A tiny model with its optimizer and checkpoints."""

    def __init__(self, folder: Path, seed: int = 0, config=None, **changes):
        self.model = tiny_model(seed=seed)
        self.optimizer = Optimizer(self.model.named_parameters(), OptimConfig())
        parts = {"model": self.model, "optimizer": self.optimizer}
        self.checkpoints = Checkpoints(folder, parts, config, **changes)

    def go(self, start: int, steps: int) -> None:
        batches = lambda step: [noisy_batch(step)]  # noqa: E731
        plan = LoopOptions(steps, start)
        for _ in train(self.model, batches, causal_loss, self.optimizer, lambda s: 1.0, plan):
            pass


def noisy_batch(step: int):
    """A batch that chance has a hand in, so that random states matter.

    Not Python's: checks of types in tests draw from it.
    """
    batch = ragged_batch(seed=step)
    chance = torch.rand(batch.weights.shape) * np.random.rand()
    return batch._replace(weights=batch.weights * (1 + chance))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("killed", [1, 3, 5])
@pytest.mark.parametrize("config", [None, AT_ONCE], ids=["beside", "at once"])
def test_resuming_gives_the_undisturbed_weights(tmp_path, killed: int, config):
    plain = Run(tmp_path / "plain")
    plain.go(0, 6)
    torch.manual_seed(0), np.random.seed(0)
    first = Run(tmp_path, config=config)
    first.go(0, killed)
    first.checkpoints.save(killed)
    first.checkpoints.close()
    torch.manual_seed(5), np.random.seed(5)
    again = Run(tmp_path, seed=7)
    resumed = again.checkpoints.resume()
    assert resumed.step == killed
    again.go(resumed.step, 6)
    pairs = zip(plain.model.parameters(), again.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_written_beside_training_are_the_bytes_of_the_moment_of_the_save(tmp_path):
    run = Run(tmp_path / "beside")
    run.go(0, 2)
    at_once = Checkpoints(tmp_path / "once", run.checkpoints.parts, AT_ONCE)
    at_once.save(2)
    run.checkpoints.save(2)
    run.go(2, 4)  # while it is written
    run.checkpoints.wait()
    one, other = (tmp_path / name / "step-00000002" for name in ("beside", "once"))
    assert names(one) == names(other)
    for name in ("model-00000.safetensors", "optimizer-00000.safetensors"):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def saved(folder: Path, steps=(1, 2, 3), config=None) -> Run:
    run = Run(folder, config=config)
    for step in steps:
        run.checkpoints.save(step)
    run.checkpoints.close()
    return run


def test_only_the_newest_and_every_so_many_are_kept(tmp_path):
    saved(tmp_path / "two")
    assert names(tmp_path / "two") == ["step-00000002", "step-00000003"]
    config = CheckpointConfig(keep=1, keep_every=3)
    saved(tmp_path / "some", steps=range(1, 9), config=config)
    assert names(tmp_path / "some") == ["step-00000003", "step-00000006", "step-00000008"]


def test_going_back_makes_what_was_later_void(tmp_path):
    run = saved(tmp_path, config=CheckpointConfig(keep=9))
    with torch.no_grad():
        run.model.norm.weight.fill_(3.0)
    assert run.checkpoints.resume(1).step == 1
    run.checkpoints.save(2)
    run.checkpoints.wait()
    assert names(tmp_path) == ["step-00000001", "step-00000002"]
    with pytest.raises(ArtifactError, match="no checkpoint of step 3; it has 1, 2"):
        run.checkpoints.resume(3)


def test_one_that_was_to_be_replaced_is_back_after_a_crash(tmp_path):
    run = saved(tmp_path)
    os.replace(tmp_path / "step-00000003", tmp_path / ".void-00000003")
    assert run.checkpoints.resume().step == 3


def test_a_truncated_checkpoint_is_an_error_that_says_so(tmp_path):
    run = saved(tmp_path)
    path = tmp_path / "step-00000003" / "model-00000.safetensors"
    whole = path.read_bytes()
    before = [p.clone() for p in run.model.parameters()]
    for content, how in ((whole[:-50], "has .* bytes of"), (whole[:-1] + b"x", "other content")):
        path.write_bytes(content)
        with pytest.raises(
            ArtifactError, match=f"step-00000003 is damaged .*{how}.*the previous one"
        ):
            run.checkpoints.resume()
    path.unlink()
    with pytest.raises(ArtifactError, match="model-00000.safetensors is missing"):
        run.checkpoints.resume()
    (path.parent / "checkpoint.json").write_text("{")
    with pytest.raises(ArtifactError, match="step-00000003 is damaged"):
        run.checkpoints.resume()
    pairs = zip(before, run.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    shutil.rmtree(path.parent)
    assert run.checkpoints.resume().step == 2


def test_a_save_that_was_cut_short_is_not_seen_and_swept_away(tmp_path):
    run = saved(tmp_path)
    (tmp_path / ".partial-00000004").mkdir()
    (tmp_path / ".partial-00000004" / "checkpoint.json").write_text("{")
    assert run.checkpoints.resume().step == 3
    assert names(tmp_path) == ["step-00000002", "step-00000003"]


def test_without_a_checkpoint_a_run_starts_at_zero(tmp_path):
    assert Run(tmp_path / "none").checkpoints.resume() == (0, {})
    assert latest_contract(tmp_path / "none") == {}


def test_the_format_before_is_refused_and_named(tmp_path):
    (tmp_path / "step-00000004").mkdir()
    (tmp_path / "step-00000004" / "state.json").write_text('{"format": 1}')
    with pytest.raises(ArtifactError, match="format 1 of an older groundup, expected 2"):
        Run(tmp_path).checkpoints.resume()


def test_another_model_or_optimizer_is_refused_before_anything_is_loaded(tmp_path):
    saved(tmp_path)
    other = Run(tmp_path, seed=9)
    del other.model.layers[1]
    weights = [p.clone() for p in other.model.parameters()]
    other.optimizer = Optimizer(other.model.named_parameters(), OptimConfig())
    parts = {"model": other.model, "optimizer": other.optimizer}
    with pytest.raises(ArtifactError, match=r"another model: layers.1.* not in this one"):
        Checkpoints(tmp_path, parts).resume()
    pairs = zip(weights, other.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    parts = {"model": Run(tmp_path).model, "ema": other.model}
    with pytest.raises(ArtifactError, match="has no part 'ema'; it has .*optimizer"):
        Checkpoints(tmp_path, parts).resume()


IDENTITY = RunIdentity(
    model={"layers": 2}, tokenizer="a" * 64, objective="causal", shards={"web": "b" * 64},
    settings={"seed": 1, "optim": {"warmup": 0.1}},
)  # fmt: skip


@pytest.mark.parametrize(
    "changed, said",
    [
        ({"model": {"layers": 3}}, "of another model: layers 2 -> 3"),
        ({"tokenizer": "c" * 64}, "of another tokenizer: aaaaaaaaaaaa -> cccccccccccc"),
        ({"objective": "masked"}, "of another objective: causal -> masked"),
        ({"shards": {"web": "d" * 64}}, "other training text: web bbbbbbbbbbbb -> dddddddddddd"),
    ],
)
def test_what_belongs_to_another_run_is_refused_with_both_named(tmp_path, changed, said):
    run = Run(tmp_path, identity=IDENTITY)
    run.checkpoints.save(1)
    run.checkpoints.close()
    with pytest.raises(ArtifactError, match=said):
        Run(tmp_path, identity=IDENTITY._replace(**changed)).checkpoints.resume()


def test_one_flipped_bit_in_any_file_is_refused_by_name(tmp_path):
    run = Run(tmp_path)
    run.checkpoints.save(10)
    run.checkpoints.close()
    place = tmp_path / "step-00000010"
    for file in sorted(place.iterdir()):
        content = bytearray(file.read_bytes())
        positions = {*range(0, len(content), max(1, len(content) // 97))}
        if file.name == "checkpoint.json":
            positions |= {*range(len(content) - 100, len(content)), content.index(b"10")}
        for at in positions:
            bit = 1 << at % 8
            for bits in (1, 2, 32) if file.name == "checkpoint.json" else (bit,):
                content[at] ^= bits
                file.write_bytes(content)
                with pytest.raises(ArtifactError, match=f"damaged .*{file.name}"):
                    check_files(open_checkpoint(place))
                content[at] ^= bits
        file.write_bytes(content)
    assert Run(tmp_path).checkpoints.resume().step == 10


def test_other_settings_and_machines_are_told(tmp_path, capsys):
    run = Run(tmp_path, identity=IDENTITY)
    run.checkpoints.save(1)
    run.checkpoints.close()
    place = tmp_path / "step-00000001" / "checkpoint.json"
    about = json.loads(place.read_text())
    about["contract"]["threads"] = 64
    del about["sha256"]  # as an earlier groundup wrote it
    place.write_text(json.dumps(about))
    record.set_output_mode("plain")
    try:
        settings = {"seed": 1, "optim": {"warmup": 0.2}}
        Run(tmp_path, identity=IDENTITY._replace(settings=settings)).checkpoints.resume()
    finally:
        record.set_output_mode("silent")
    said = capsys.readouterr().err
    assert "Resuming step-00000001 with changed settings: optim.warmup 0.1 -> 0.2." in said
    assert "saved with another threads (threads 64 -> 1)" in said
    assert "not be bit-equal" in said


def test_a_stage_does_not_empty_the_folder_of_another_run(tmp_path):
    run = Run(tmp_path / ".scratch", identity=IDENTITY)
    run.checkpoints.save(7)
    run.checkpoints.close()
    check_unfinished_run(tmp_path, IDENTITY)
    other = IDENTITY._replace(settings={"seed": 2, "optim": {"warmup": 0.1}})
    with pytest.raises(ArtifactError, match="at step 7, with other settings: settings.seed 1 -> 2"):
        check_unfinished_run(tmp_path, other)


def test_a_copy_that_has_no_room_is_not_made(tmp_path):
    run = Run(tmp_path, config=CheckpointConfig(staging_gigabytes=1e-6))
    run.checkpoints.save(1)
    assert not run.checkpoints.background.is_busy and run.checkpoints.staging.bytes == 0
    assert names(tmp_path) == ["step-00000001"]


def test_while_one_is_written_the_next_is_left_out_or_waits(tmp_path, monkeypatch):
    run = Run(tmp_path)
    order, go_on = [], threading.Event()
    write = run.checkpoints._write

    def slow(step, tensors, about):
        go_on.wait(20)
        write(step, tensors, about)
        order.append(step)

    monkeypatch.setattr(run.checkpoints, "_write", slow)
    assert run.checkpoints.save(1, wait=False)
    assert not run.checkpoints.save(2, wait=False)
    go_on.set()
    assert run.checkpoints.save(3)
    run.checkpoints.wait()
    assert order == [1, 3] and names(tmp_path) == ["step-00000001", "step-00000003"]


def check_a_full_disk(folder: Path, run: Run, remedy: str) -> None:
    """A save fails with a clear error, leaves nothing, and the one before opens."""
    before = names(folder)
    said = f"step 2 could not be written.*step-00000001 is intact: {remedy}"
    with pytest.raises(CapacityError, match=said):
        run.checkpoints.save(2)
        run.checkpoints.wait()
    assert names(folder) == before
    assert Run(folder).checkpoints.resume().step == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small filesystem needs root")
def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    options = ["mount", "-t", "tmpfs", "-o", "size=192k", "tmpfs", str(folder)]
    if subprocess.run(options, capture_output=True).returncode:
        pytest.skip("mounting a small filesystem is not allowed here")
    try:
        run = Run(folder)
        run.checkpoints.save(1)
        run.checkpoints.wait()
        (folder / "filler").write_bytes(b"x" * (shutil.disk_usage(folder).free - 9000))
        check_a_full_disk(folder, run, "free some room")
        (folder / "filler").unlink()  # some room is made: the next one succeeds
        run.checkpoints.save(3)
        run.checkpoints.wait()
        assert names(folder) == ["step-00000001", "step-00000003"]
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_limit_on_files_leaves_the_last_checkpoint_whole(tmp_path):
    run = saved(tmp_path, steps=[1])
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        check_a_full_disk(tmp_path, run, "raise the limit on the size of files .ulimit -f")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
