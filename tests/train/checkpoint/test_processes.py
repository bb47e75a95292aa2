"""Alone there is nobody to ask; with others, an error of one is the error of all."""

import pytest
from torch.distributed.device_mesh import init_device_mesh

from groundup.core import ArtifactError, ShapeError
from groundup.train.checkpoint.processes import Processes
from groundup.train.parallel.mesh import ALONE, Mesh
from tests.train.checkpoint.spawned import spawned


def test_alone_a_process_agrees_with_itself():
    alone = Processes(ALONE, 5.0)
    assert alone.agree(3) == 3 and alone.exchange({"a": [1]}) == [{"a": [1]}]
    assert alone.is_first and alone.together(lambda: 7) == 7


def talk(number: int, count: int) -> None:
    """What each of the processes below does."""
    mesh = Mesh(init_device_mesh("cpu", (count,), mesh_dim_names=("data",)))
    others = Processes(mesh, 20.0)
    assert (others.number, others.count) == (number, count)
    assert others.agree(number * 10) == 10 * (count - 1)
    texts = others.exchange({"from": number, "text": "ü" * number * 1000})
    assert [each["from"] for each in texts] == list(range(count))
    assert [len(each["text"]) for each in texts] == [1000 * n for n in range(count)]

    def work() -> int:
        if number == 1:
            raise ShapeError("it does not fit")
        return number

    with pytest.raises(ShapeError if number == 1 else ArtifactError, match="it does not fit"):
        others.together(work)
    assert others.together(lambda: number) == number
    impatient = Processes(mesh, 1.0)
    if number == 0:  # the second process never answers
        with pytest.raises(ArtifactError, match=r"2 processes answered within 1 s .*[Rr]ank"):
            impatient.exchange(1)


def test_values_go_round_errors_too_and_who_is_silent_is_named():
    spawned(talk, 2)
