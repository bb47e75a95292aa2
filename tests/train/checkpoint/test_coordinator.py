"""Alone there is nobody to ask; with others, an error of one is the error of all."""

import pytest
from torch.distributed.device_mesh import init_device_mesh

from groundup.core import ArtifactError, ShapeError
from groundup.train.checkpoint.coordinator import Coordinator
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh
from tests.train.checkpoint.spawned import spawned


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
