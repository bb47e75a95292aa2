"""Slices are read as they are asked for, whatever pieces they lie in."""

import resource
from pathlib import Path

import pytest
import torch

from groundup.core import ArtifactError
from groundup.train.checkpoint.files import (
    FORMAT,
    SavedCheckpoint,
    file_name,
    find_checkpoint,
    open_checkpoint,
    open_tensors,
    tensor_index,
    write_tensors,
)
from groundup.train.checkpoint.shards import Bounds, TensorShard

WHOLE = torch.arange(35.0).view(5, 7)


def in_pieces(folder: Path) -> SavedCheckpoint:
    """A tensor in three pieces of two processes, and a scalar."""
    boxes = [[Bounds((0, 0), (2, 4)), Bounds((2, 0), (3, 4))], [Bounds((0, 4), (5, 3))]]
    writes = [
        [TensorShard("model", "w", "float32", (5, 7), box, 4) for box in mine] for mine in boxes
    ]
    writes[0].append(TensorShard("model", "s", "int64", (), Bounds((), ()), 8))
    for process, mine in enumerate(writes):
        named = {
            p.key: WHOLE[p.box.within(Bounds((0, 0), (5, 7)))] if p.name == "w" else torch.tensor(4)
            for p in mine
        }
        write_tensors(folder / file_name("model", process), named)
    return SavedCheckpoint(folder, 1, {"format": FORMAT, "tensors": tensor_index(writes)})


def test_a_tensor_comes_together_and_a_share_of_it_too(tmp_path):
    with open_tensors(in_pieces(tmp_path)) as tensors:
        assert torch.equal(tensors.read_full("model", "w"), WHOLE)
        assert int(tensors.read_full("model", "s")) == 4
        turned = torch.zeros(7, 5).T  # lies in memory another way
        tensors.read_into("model", "w", turned)
        assert torch.equal(turned, WHOLE)


def test_open_files_may_be_taken_away(tmp_path):
    with open_tensors(in_pieces(tmp_path)) as tensors:
        for path in tmp_path.iterdir():
            path.unlink()
        assert torch.equal(tensors.read_full("model", "w"), WHOLE)


def test_other_shapes_dtypes_and_gaps_are_named(tmp_path):
    saved = in_pieces(tmp_path)
    with open_tensors(saved) as tensors:
        with pytest.raises(ArtifactError, match=r"w is float32 \[5, 7\], expected float32 \[5, 8"):
            tensors.check("model", {"w": torch.zeros(5, 8)})
        with pytest.raises(ArtifactError, match="expected bfloat16 .5, 7."):
            tensors.check("model", {"w": torch.zeros(5, 7, dtype=torch.bfloat16)})
        with pytest.raises(ArtifactError, match="another model: v not in it"):
            tensors.check("model", {"v": torch.zeros(1)})
        tensors.parts["model"]["w"]["pieces"].pop()
        with pytest.raises(ArtifactError, match="it has 20 of 35 values of w"):
            tensors.read_full("model", "w")


def test_checkpoints_are_found_by_step(tmp_path):
    assert find_checkpoint(tmp_path) is None
    for step in (9, 10, 2):
        (tmp_path / f"step-{step:08d}").mkdir()
    (tmp_path / ".partial-00000011").mkdir()
    assert find_checkpoint(tmp_path) == tmp_path / "step-00000010"
    assert find_checkpoint(tmp_path, 9) == tmp_path / "step-00000009"
    with pytest.raises(ArtifactError, match="no checkpoint of step 4; it has 2, 9, 10"):
        find_checkpoint(tmp_path, 4)


def test_what_only_looks_like_a_checkpoint_is_left_alone(tmp_path):
    for name in ("step-00000010.bak", "step-x", "step-11", "step-00000010 copy"):
        (tmp_path / name).mkdir()
    assert find_checkpoint(tmp_path) is None
    for step in (9, 100_000_000):
        (tmp_path / f"step-{step:08d}").mkdir()
    assert find_checkpoint(tmp_path) == tmp_path / "step-100000000"
    with pytest.raises(ArtifactError, match="no checkpoint of step 10; it has 9, 100000000"):
        find_checkpoint(tmp_path, 10)


def test_a_file_that_cannot_be_written_to_its_end_is_an_error(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))  # the write that meets it is partial
    try:
        with pytest.raises(OSError, match="too large"):
            write_tensors(tmp_path / "a.safetensors", {"w": torch.ones(500)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_later_format_is_refused(tmp_path):
    (tmp_path / "checkpoint.json").write_text('{"format": 9, "step": 1}')
    with pytest.raises(ArtifactError, match="has format 9, expected 2"):
        open_checkpoint(tmp_path)
    with pytest.raises(FileNotFoundError):
        open_checkpoint(tmp_path / "gone")
