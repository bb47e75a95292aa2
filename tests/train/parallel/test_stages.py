"""A model cut between its layers keeps every name once, and learns in turn what it learns whole."""

from itertools import chain
from typing import Any

import numpy as np
import pytest
from torch import distributed

from groundup.core import ConfigError
from groundup.model import PositionConfig
from groundup.train import Precision
from groundup.train.loop import accumulate_gradients
from groundup.train.parallel.mesh import SINGLE_PROCESS, Mesh, mesh_sizes, open_mesh
from groundup.train.parallel.stages import (
    PipelineStage,
    _sequential_gradients,
    check_layers,
    split_layers,
)
from tests.train.parallel.plans import shape, tiny
from tests.train.parallel.processes import run
from tests.train.parallel.shares import EXPERTS, TIED, UNTIED, Case, batch_of

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
        (shape(feedforward=EXPERTS), "use mesh dimension expert"),
    ):
        with pytest.raises(ConfigError, match=told):
            check_layers(config, 2)
