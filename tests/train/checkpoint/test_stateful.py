"""States go into tensors and back."""

import random

import numpy as np
import torch
from torch import nn

from groundup.train.checkpoint.stateful import RandomState, TensorState


def draws() -> list[float]:
    """Draws of all kinds; Python's right after its state is set, for checks of types draw too."""
    return [np.random.rand(), np.random.randn(), float(torch.rand(()))]


def test_random_states_are_taken_up_where_they_were():
    random.gauss(0, 1), np.random.randn()  # both keep a second value for later
    states = RandomState(3)
    kept = states.state()
    assert all(name.startswith("00003.") for name in kept)
    python = random.getstate()
    expected = draws()
    random.seed(9), np.random.seed(9), torch.manual_seed(9)
    states.load_state(kept)
    assert draws() == expected
    kept["00003.python"] = torch.tensor(python[1])
    states.load_state(kept)
    found = random.getstate()
    assert found[0] == python[0] and found[2] == python[2]


def test_derived_states_differ_by_process_and_are_always_the_same():
    found = []
    for number in (0, 1, 0):
        RandomState(number).seed_from(torch.arange(8))
        found.append(draws())
    assert found[0] == found[2] != found[1]


def test_a_shared_weight_is_kept_once_and_buffers_are_kept():
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.BatchNorm1d(3), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    state = TensorState(model).state()
    assert "0.weight" in state and "2.weight" not in state
    assert state["1.num_batches_tracked"].dtype == torch.long
    assert state["0.weight"].data_ptr() == model[0].weight.data_ptr()
    TensorState(model).load_state({name: torch.ones_like(tensor) for name, tensor in state.items()})
    assert float(model[2].weight.detach().sum()) == 9.0 and int(model[1].num_batches_tracked) == 1


def test_named_tensors_are_a_part_too():
    weights = {"w": nn.Parameter(torch.zeros(2))}
    part = TensorState(weights)
    part.load_state({"w": torch.ones(2)})
    assert weights["w"].tolist() == [1.0, 1.0]
