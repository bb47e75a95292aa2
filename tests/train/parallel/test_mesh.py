"""A mesh is written down, and what does not fit the processes is refused."""

import pytest

from groundup.core import ConfigError
from groundup.train.parallel.mesh import SINGLE_PROCESS, mesh_sizes, parse_dimensions
from tests.train.parallel.plans import Case, mesh_of
from tests.train.parallel.processes import run


def test_alone_is_the_first_of_one_along_every_dimension():
    assert (
        SINGLE_PROCESS.is_first
        and SINGLE_PROCESS.dimensions == ()
        and SINGLE_PROCESS.batch_rank == (0, 1)
    )
    assert (
        SINGLE_PROCESS.size("data"),
        SINGLE_PROCESS.rank_along("tensor"),
        SINGLE_PROCESS.sum(2.5),
    ) == (1, 0, 2.5)
    assert (
        SINGLE_PROCESS.broadcast_number(3.5) == 3.5
        and SINGLE_PROCESS.any_process(True)
        and not SINGLE_PROCESS.any_process(False)
    )
    assert SINGLE_PROCESS.broadcast_text("to itself") == "to itself"


@pytest.mark.parametrize(
    ("text", "sizes"),
    [("", {}), ("data=2", {"data": 2}), (" tensor=2 ,data=3,", {"data": 3, "tensor": 2}),
     ("data=1,pipeline=4", {"pipeline": 4})],
)  # fmt: skip
def test_sizes_are_read_in_the_order_of_the_grid(text: str, sizes: dict[str, int]):
    assert parse_dimensions(text) == sizes and list(parse_dimensions(text)) == list(sizes)


@pytest.mark.parametrize(
    ("text", "told"),
    [("tenser=2", "the dimension 'tenser'; expected pipeline, .*such as tensor=2"),
     ("data=0", "gives data the size '0'"), ("data=two", "gives data the size 'two'"),
     ("data", "gives data the size ''"), ("data=2,data=2", "has data twice")],
)  # fmt: skip
def test_what_is_no_mesh_is_refused(text: str, told: str):
    with pytest.raises(ConfigError, match=told):
        parse_dimensions(text)


def test_a_mesh_needs_as_many_processes_as_there_are():
    assert mesh_sizes("", 4) == {"data": 4} and mesh_sizes("", 1) == {}
    with pytest.raises(ConfigError, match=r"needs 6 processes, but 4 .*--nproc-per-node 6.*data=4"):
        mesh_sizes("data=3,tensor=2", 4)


def asked() -> list[object]:
    """What a process says of a mesh of four."""
    mesh = mesh_of(Case("data=2,tensor=2"))
    place = mesh.rank_along("data") * 2 + mesh.rank_along("tensor")
    return [
        place,
        mesh.is_first,
        tuple(mesh.batch_rank),
        mesh.sum(place),
        mesh.sum(place, ("tensor",)),
        mesh.broadcast_number(place),
        mesh.any_process(place == 3),
        mesh.any_process(False),
        mesh.submesh("data", "tensor").size(),
        mesh.broadcast_text(f"{place} speaks: ä"),
        mesh.broadcast_text(""),
    ]


def test_processes_know_their_places_and_agree():
    for place, found in enumerate(run(4, asked)):
        row, column = divmod(place, 2)
        assert found == [place, place == 0, (row, 2), 2 + 2 * column, 1 + 4 * row, 0.0, True,
                         False, 4, "0 speaks: ä", ""]  # fmt: skip
