"""Files are those of the safetensors library; what goes wrong in the thread comes out.

Alone there is nobody to ask; with others, an error of one is the error of all.
"""

import io
import threading

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.device_mesh import init_device_mesh

from groundup.core import ArtifactError, ShapeError, hash_file
from groundup.train.checkpoint import files
from groundup.train.checkpoint.files import DTYPES, write_tensors
from groundup.train.checkpoint.writing import BackgroundTask, Coordinator, StagingBuffers
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh
from tests.train.parallel.processes import spawned


def tensors() -> dict[str, torch.Tensor]:
    """Every dtype, a scalar, an empty one, a slice, and names that are not English."""
    made = {}
    for number, dtype in enumerate(DTYPES):
        values = torch.arange(24).remainder(2 if dtype == torch.bool else 24)
        made[f"{number % 3}.{dtype}"] = values.to(dtype).view(2, 3, 4)
    turned = torch.randn(6, 4).T[1:3]
    return made | {"scalar": torch.tensor(7), "empty": torch.empty(0, 3), "größe": turned}


@pytest.mark.parametrize("chunk", [2**23, 7])
def test_the_bytes_are_the_librarys(tmp_path, monkeypatch, chunk):
    monkeypatch.setattr(files, "CHUNK_BYTES", chunk)
    made = tensors()
    told = write_tensors(tmp_path / "ours", made)
    contiguous = {name: tensor.contiguous() for name, tensor in made.items()}
    save_file(contiguous, tmp_path / "theirs", metadata={"format": "pt"})
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()
    size = (tmp_path / "ours").stat().st_size
    assert told == {"sha256": hash_file(tmp_path / "ours"), "bytes": size}
    found = load_file(tmp_path / "ours")
    assert found.keys() == made.keys()
    assert all(torch.equal(found[n].view(torch.uint8), made[n].contiguous().view(torch.uint8))
               for n in made if made[n].ndim)  # fmt: skip


def test_copies_stay_as_they_were_and_their_memory_is_used_again():
    staging, weight = StagingBuffers(), torch.ones(4, 3)
    first = staging.copy({"w": weight, "b": torch.zeros(2)})
    weight.fill_(9.0)
    assert torch.equal(first["w"], torch.ones(4, 3)) and staging.bytes == 14 * 4
    place = first["w"].data_ptr()
    second = staging.copy({"w": weight})
    assert second["w"].data_ptr() == place and float(second["w"][0, 0]) == 9.0
    assert staging.bytes == 12 * 4


def test_an_error_of_the_thread_comes_out_once_where_it_is_waited_for():
    background, go_on = BackgroundTask(), threading.Event()

    def fail() -> None:
        go_on.wait(20)
        raise OSError(28, "No space left on device")

    background.start(fail)
    assert background.is_busy
    go_on.set()
    with pytest.raises(OSError, match="No space left"):
        background.wait()
    background.wait()
    assert not background.is_busy


class Little(io.FileIO):
    """A file on a disk that takes seven bytes at a time."""

    def write(self, data) -> int:
        return super().write(bytes(data[:7]))


def test_a_disk_that_takes_little_at_a_time_gets_all(tmp_path, monkeypatch):
    made = tensors()
    whole = write_tensors(tmp_path / "whole", made)
    little = lambda path, mode, buffering: Little(path, mode)  # noqa: E731
    monkeypatch.setattr(files, "open", little, raising=False)
    assert write_tensors(tmp_path / "little", made) == whole
    assert (tmp_path / "little").read_bytes() == (tmp_path / "whole").read_bytes()


def test_alone_a_process_agrees_with_itself():
    alone = Coordinator(SINGLE_PROCESS, 5.0)
    assert alone.max_over_processes(3) == 3 and alone.all_gather_json({"a": [1]}) == [{"a": [1]}]
    assert alone.is_first and alone.run_on_all(lambda: 7) == 7


def talk(number: int, count: int) -> None:
    """What each of the processes below does."""
    mesh = Mesh(init_device_mesh("cpu", (count,), mesh_dim_names=("data",)))
    others = Coordinator(mesh, 20.0)
    assert (others.rank, others.world_size) == (number, count)
    assert others.max_over_processes(number * 10) == 10 * (count - 1)
    texts = others.all_gather_json({"from": number, "text": "ü" * number * 1000})
    assert [each["from"] for each in texts] == list(range(count))
    assert [len(each["text"]) for each in texts] == [1000 * n for n in range(count)]

    def work() -> int:
        if number == 1:
            raise ShapeError("it does not fit")
        return number

    with pytest.raises(ShapeError if number == 1 else ArtifactError, match="it does not fit"):
        others.run_on_all(work)
    assert others.run_on_all(lambda: number) == number
    impatient = Coordinator(mesh, 1.0)
    if number == 0:  # the second process never answers
        with pytest.raises(ArtifactError, match=r"2 processes answered within 1 s .*[Rr]ank"):
            impatient.all_gather_json(1)


def test_values_go_round_errors_too_and_who_is_silent_is_named():
    spawned(talk, 2)
