"""Shares add up: what is divided is divided by as many as share it."""

import pytest

from groundup.core import ConfigError
from groundup.train.parallel.mesh import mesh_sizes
from groundup.train.plan.sharding import MeshPosition, parse_mesh, process_memory
from groundup.train.plan.step import MemoryBreakdown

LEDGER = MemoryBreakdown(
    inner=8000, experts=0, outer=1000, inner_states=16_000, outer_states=2000, tied=True, layers=8,
    during_pass={"activations": 50_000, "loss": 4000, "working": 800}, during_step={"update": 900},
)  # fmt: skip


def share(zero: int = 3, stage: int = 0, micro_batches: int = 1, **sizes: int) -> dict[str, int]:
    return process_memory(LEDGER, MeshPosition(sizes, zero, stage, micro_batches))


def test_one_process_holds_all():
    assert share() == {
        "weights": 9000, "gradients": 9000, "optimizer states": 18_000, "activations": 50_000,
        "loss": 4000, "working": 800,
    }  # fmt: skip


STAGES = [(1, 9000, 9000, 4500), (2, 9000, 2250, 4500), (3, 2250, 2250, 4500)]


@pytest.mark.parametrize("zero, weights, gradients, states", STAGES)
def test_stages_of_zero_divide_one_thing_more_each(zero, weights, gradients, states):
    found = share(zero, shard=4)
    assert [found[n] for n in ("weights", "gradients", "optimizer states")] == [
        weights,
        gradients,
        states,
    ]
    assert found["activations"] == 50_000


def test_tensor_divides_weights_and_activations_and_context_activations_alone():
    assert share(tensor=2)["weights"] == 4500 and share(tensor=2)["activations"] == 25_000
    assert share(context=2)["weights"] == 9000 and share(context=2)["activations"] == 25_000


def test_stages_of_a_pipeline_add_up_and_the_first_holds_most_micro_batches():
    stages = [share(stage=i, micro_batches=8, pipeline=3) for i in range(3)]
    own = [found["weights"] for found in stages]
    assert own == [3000 + 1000, 3000, 2000 + 1000]  # a tied table lies at both ends
    assert [round(found["activations"] / 50_000, 3) for found in stages] == [1.125, 0.75, 0.25]
    assert ["loss" in found for found in stages] == [False, False, True]


@pytest.mark.parametrize(
    "mesh, devices, said", [("data=2", 4, "needs 2 devices.*make them equal"),
                            ("rows=4", 4, "has the dimension 'rows'; expected pipeline, data,"),
                            ("data=2,data=2", 4, "data twice"), ("data=0", 1, "the size '0'"),
                            ("", 0, "devices=0 must be 1 or more"), ("data=2", -2, "devices=-2")],
)  # fmt: skip
def test_a_mesh_that_makes_no_sense_is_told(mesh, devices, said):
    with pytest.raises(ConfigError, match=said):
        parse_mesh(mesh, devices)


def test_a_mesh_is_read_as_pre_training_reads_it():
    for text, devices in [("data=2, tensor = 2", 4), (" pipeline=2 ", 2), ("data=1,shard=2", 2)]:
        assert parse_mesh(text, devices) == mesh_sizes(text, devices) == parse_mesh(text, None)
    assert parse_mesh(" ", 4) == {"shard": 4} and parse_mesh("", 1) == parse_mesh("", None) == {}
