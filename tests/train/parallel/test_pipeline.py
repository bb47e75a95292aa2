"""A pipeline of processes trains as one process does, by any schedule."""

from collections.abc import Sequence
from itertools import chain
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import distributed
from torch.autograd.graph import saved_tensors_hooks
from torch.distributed.pipelining import Schedule1F1B, ScheduleGPipe

from benchmarks.train.communication import bubble_share, max_in_flight, simulated_bubble_share
from groundup.core import ConfigError
from groundup.model import PositionConfig
from groundup.train import MicroBatch, Precision, causal_loss
from groundup.train.loop import Gradients, accumulate_gradients
from groundup.train.parallel.apply import _parallelise_pipeline, check_mesh_supported
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh, mesh_sizes, open_mesh
from groundup.train.parallel.pipeline import (
    Action,
    PipelineStage,
    apply_pipeline,
    check_layers,
    pipeline_actions,
    split_layers,
)
from tests.model.shapes import ENCODERS
from tests.train.parallel.plans import shape, tiny
from tests.train.parallel.processes import run
from tests.train.parallel.shares import EXPERTS, SLOW, TIED, UNTIED, Case, batch_of, check_equal

CONFIGS = [TIED, UNTIED, shape(layers=4, position=PositionConfig(kind="learned"))]


@pytest.mark.parametrize(("layers", "parts"), [(1, 1), (5, 2), (7, 3), (8, 4), (9, 4)])
def test_every_layer_has_one_process_and_none_has_two_more_than_another(layers: int, parts: int):
    found = split_layers(layers, parts)
    assert list(chain(*found)) == list(range(layers))
    sizes = [len(each) for each in found]
    assert max(sizes) - min(sizes) <= 1 and sizes == sorted(sizes, reverse=True)


def gradients_in_turn(scale: float) -> list[tuple[float, dict[str, Any]]]:
    """This process's share of the loss and its gradients, of each model."""
    world = distributed.get_world_size()
    mesh = open_mesh(mesh_sizes(f"pipeline={world}", world), "cpu")
    found = []
    for config in CONFIGS:
        case, precision = Case("", config, 3), Precision()  # of 3, 3 and 2 rows
        precision.scale = scale
        stage = PipelineStage(tiny(config), case.loss(mesh), precision, mesh.submesh("pipeline"))
        total = _sequential_gradients(stage)(batch_of(case, 0, SINGLE_PROCESS), 50.0)
        grads = {name: p.grad for name, p in stage.owned_parameters.items() if p.grad is not None}
        found.append((total, {name: (g / scale).numpy() for name, g in grads.items()}))
    return found


def test_gradients_in_turn_are_those_of_the_whole_model():
    parts = run(4, gradients_in_turn, 1024.0)
    for place, config in enumerate(CONFIGS):
        case, model = Case("", config, 3), tiny(config)
        wanted = accumulate_gradients(model, case.loss(Mesh()), Precision())(
            batch_of(case, 0, SINGLE_PROCESS), 50.0
        )
        assert sum(part[place][0] for part in parts) == pytest.approx(wanted, rel=1e-6)
        names = list(chain(*(part[place][1] for part in parts)))
        assert sorted(names) == sorted(name for name, _ in model.named_parameters())
        found = {name: grad for part in parts for name, grad in part[place][1].items()}
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            np.testing.assert_allclose(found[name], parameter.grad.numpy(), rtol=1e-4, atol=1e-6)


def test_what_cannot_be_cut_is_refused():
    with pytest.raises(ConfigError, match="pipeline=6 .*layers=5.*at most pipeline=5"):
        check_layers(TIED, 6)
    for config, told in (
        (shape(kind="encoder_decoder", encoder_layers=2), "'encoder_decoder'"),
        (shape(position=PositionConfig(kind="buckets")), "'buckets'"),
        (ENCODERS["deberta"], "'disentangled'"),
        (shape(feedforward=EXPERTS), "use mesh dimension expert"),
    ):
        with pytest.raises(ConfigError, match=told):
            check_layers(config, 2)


SCHEDULES = ("gpipe", "1f1b")
FREE = SLOW.model_copy(update={"embedding_learning_rate": 3e-3})
"""A rate of its own for an embedding that is input alone, wherever the output's weights are."""


@pytest.mark.parametrize("parts", [2, 4])
@pytest.mark.parametrize("micro_batches", [4, 8])
@pytest.mark.parametrize(("name", "theirs"), [("gpipe", ScheduleGPipe), ("1f1b", Schedule1F1B)])
def test_the_order_of_passes_is_that_of_torch(name, theirs, parts: int, micro_batches: int):
    sizes = SimpleNamespace(_num_stages=parts, _n_microbatches=micro_batches)
    orders = theirs._get_pipeline_order(sizes)
    for place in range(parts):
        told = [step for step in orders[place] if step is not None]
        wanted = [
            Action("forward" if "FORWARD" in step.computation_type.name else "backward",
                   step.microbatch_index)
            for step in told
            if step.computation_type.name in ("FORWARD", "FULL_BACKWARD")
        ]  # fmt: skip
        mine = pipeline_actions(name, place, parts, micro_batches)
        if name == "1f1b" and place == parts - 1:  # torch 2.13 counts these forward passes from 1
            assert [each.kind for each in mine] == [each.kind for each in wanted]
        else:
            assert mine == wanted


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(("parts", "micro_batches"), [(1, 3), (2, 2), (2, 8), (4, 2), (4, 8)])
def test_processes_wait_as_long_as_the_formula_says(name, parts: int, micro_batches: int):
    plans = [pipeline_actions(name, place, parts, micro_batches) for place in range(parts)]
    assert simulated_bubble_share(plans) == pytest.approx(bubble_share(parts, micro_batches))
    every = {Action(kind, i) for kind in ("forward", "backward") for i in range(micro_batches)}
    assert all(set(plan) == every and len(plan) == len(every) for plan in plans)
    held = [max_in_flight(plan) for plan in plans]
    wanted = [
        micro_batches if name == "gpipe" else min(parts - place, micro_batches)
        for place in range(parts)
    ]
    assert held == wanted


PLANS = {
    2: [
        Case("pipeline=2", TIED, 4, "1f1b"),
        Case("pipeline=2", UNTIED, 3, "gpipe", optim=FREE),
        Case("pipeline=2", shape(layers=3, position=PositionConfig(kind="learned")), 1),
        Case("pipeline=2", shape(kind="encoder", layers=2), 2),
    ],
    4: [
        Case("pipeline=4", TIED, 8, "1f1b"),
        Case("pipeline=4", UNTIED, 2, "gpipe"),
        Case("pipeline=2,data=2", TIED, 2),
        Case("pipeline=2,context=2", UNTIED, 2),
    ],
}


@pytest.mark.parametrize("world", PLANS)
def test_steps_of_a_pipeline_are_those_of_one_process(world: int):
    check_equal(world, PLANS[world])


class Measured:
    """Bytes that backward passes wait for, at one time at most."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def keep(self, tensor: torch.Tensor) -> "Kept":
        return Kept(tensor, self)


class Kept:
    """A saved tensor, counted while it is kept."""

    def __init__(self, tensor: torch.Tensor, all_of_them: Measured) -> None:
        self.tensor, self.all_of_them = tensor, all_of_them
        all_of_them.now += tensor.nbytes
        all_of_them.most = max(all_of_them.most, all_of_them.now)

    def __del__(self) -> None:
        self.all_of_them.now -= self.tensor.nbytes


def gradients_by_schedule(config) -> dict[str, tuple[int, dict[str, np.ndarray]]]:
    """Most saved bytes, and the gradients, of each schedule and of the reference."""
    mesh = open_mesh(mesh_sizes(f"pipeline={distributed.get_world_size()}", 2), "cpu")
    micro_batches = batch_of(Case("", config, 8), 0, mesh)
    found = {}
    for name in ("in turn", *SCHEDULES):
        model, measured = tiny(config), Measured()
        loss, precision = Case("", config).loss(mesh), Precision()
        if name == "in turn":
            stage = PipelineStage(model, loss, precision, mesh.submesh("pipeline"))
            gradients, parameters = _sequential_gradients(stage), stage.owned_parameters
        else:
            made = apply_pipeline(model, loss, precision, mesh, schedule=name)
            gradients, parameters = made.gradients, made.parameters
        with saved_tensors_hooks(measured.keep, lambda kept: kept.tensor):
            gradients(micro_batches, 50.0)
        assert measured.now == 0
        arrays = {n: p.grad.numpy().copy() for n, p in parameters.items() if p.grad is not None}
        found[name] = measured.most, arrays
    return found


def test_schedules_give_the_gradients_of_the_reference_bit_for_bit_and_hold_what_they_say():
    first, last = run(2, gradients_by_schedule, TIED)
    for found in (first, last):
        for name in SCHEDULES:
            mine, wanted = found[name][1], found["in turn"][1]
            assert mine.keys() == wanted.keys()
            assert all(np.array_equal(mine[n], wanted[n]) for n in wanted)
    one = {place: found["in turn"][0] for place, found in enumerate((first, last))}
    assert first["gpipe"][0] == pytest.approx(8 * one[0], rel=0.02)
    assert first["1f1b"][0] == pytest.approx(2 * one[0], rel=0.02)
    assert last["1f1b"][0] == one[1]


def test_what_a_pipeline_cannot_be_joined_with_is_refused():
    with pytest.raises(ConfigError, match="combines with data and context, not with tensor"):
        check_mesh_supported(shape(), {"pipeline": 2, "tensor": 2}, 3)
    with pytest.raises(ConfigError, match="does not support this objective's head"):
        _parallelise_pipeline(torch.nn.Identity(), causal_loss, Precision(), Mesh(), "1f1b")


def losses_of_validation() -> list[float]:
    """What each process of a pipeline hears of the loss."""
    mesh = open_mesh(mesh_sizes("pipeline=2", 2), "cpu")
    made = apply_pipeline(tiny(TIED), Case("", TIED).loss(mesh), Precision(), mesh)
    made.synchronise()
    found = [made.loss(None, batch) for batch in batch_of(Case("", TIED), 0, mesh)]
    return [float(part.total / part.weight) for part in found]


def test_every_process_hears_the_whole_models_loss_in_validation():
    case, model = Case("", TIED), tiny(TIED)
    parts = [case.loss(SINGLE_PROCESS)(model, batch) for batch in batch_of(case, 0, SINGLE_PROCESS)]
    wanted = [float(part.total.detach() / part.weight) for part in parts]
    for found in run(2, losses_of_validation):
        assert found == pytest.approx(wanted, abs=1e-6)


def _sequential_gradients(stage: PipelineStage) -> Gradients:
    """Gradients of one micro-batch after the other, forward and backward through all processes."""

    def gradients(micro_batches: Sequence[MicroBatch], weight: float) -> float:
        total = 0.0
        for batch in micro_batches:
            arrived = None
            if not stage.is_first:
                arrived = stage.receive(stage.receive_buffer(batch), -1).requires_grad_()
            output = stage.backward_root(stage.compute(batch, arrived), weight)
            if stage.is_last:
                total += float(output.detach()) / stage.precision.scale
                output.backward()
            else:
                stage.send(output.detach(), 1)
                output.backward(stage.receive(stage.receive_buffer(batch), 1))
            if arrived is not None:
                assert arrived.grad is not None, "every layer has a residual connection"
                stage.send(arrived.grad.contiguous(), -1)
        stage.add_tied_gradient()
        return total

    return gradients
