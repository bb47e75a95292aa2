"""Shards are those of the whole, and a mean of the weights is exact."""

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from groundup.core import ConfigError
from groundup.kernels import has_native_states
from groundup.train import OptimConfig, Optimizer
from groundup.train.optim.sharded import (
    WeightAverage,
    flat_indices,
    full_tensor,
    local_tensor,
    place_gradient,
)
from tests.train.optim.moved import gradients, weights
from tests.train.parallel.processes import run

SHAPES = {"a.up": (23, 300), "a.weight": (64, 80), "a.bias": (9,), "experts.w": (3, 40, 40)}
"""Odd numbers of rows: the shares differ in length, and one is empty of a vector of one."""
WAYS = {
    "muon": {},
    "muon in 8 bits": {"state": "8bit"},
    "adamw": {"matrices": "adamw", "weight_decay": 0.1},
    "adamw in bfloat16": {"matrices": "adamw", "state": "bfloat16"},
    "adamw in 8 bits": {"matrices": "adamw", "state": "8bit"},
    "adafactor": {"matrices": "adafactor", "others": "adafactor", "scale_parameter": True},
    "sgd": {"matrices": "sgd", "others": "sgd", "nesterov": True},
}


def sharded(tensor: Tensor, mesh, axis: int = 0) -> DTensor:
    return distribute_tensor(tensor.detach(), mesh, [Shard(axis)], src_data_rank=None)


def compare(mesh, settings: dict) -> None:
    """Ten steps whole and sharded; halfway the sharded state moves to an optimizer of its own."""
    config, plain = OptimConfig(**settings), weights(SHAPES)
    cut = {name: nn.Parameter(sharded(weight, mesh)) for name, weight in plain.items()}
    one, two = Optimizer(plain.items(), config), Optimizer(cut.items(), config)
    for number in range(10):
        for name, gradient in gradients(plain, number).items():
            plain[name].grad, cut[name].grad = gradient, sharded(gradient, mesh)
        one.step(1.0)
        two.step(1.0)
        if number == 4:
            check_states(one, two)
            again = Optimizer(cut.items(), config)
            again.load_state({name: full_tensor(tensor) for name, tensor in two.state().items()})
            two = again
    for name, weight in plain.items():
        off = (full_tensor(cut[name].detach()) - weight.detach()).abs()
        assert off.mean() < 1e-6 and off.max() < (1e-3 if "state" in settings else 3e-5), name


def check_states(one: Optimizer, two: Optimizer) -> None:
    """Every state lies as its weight does.

    Torch rounds the last numbers of a share otherwise than those in the middle of the whole; so
    a number in a thousand of few bits may be the neighbour, but not where the loops in C++ move it.
    """
    whole_state = one.state()
    least = 1.0 if has_native_states() and one.config.matrix_optimizer == "adamw" else 0.999
    for name, tensor in two.state().items():
        found, expected = full_tensor(tensor), whole_state[name]
        assert found.shape == expected.shape, name
        if found.dtype == torch.float32:
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-4)
        else:
            assert (found == expected).float().mean() >= least, name
        if name != "steps":
            weight = two.weights[name.partition(".")[2]]
            assert isinstance(tensor, DTensor) and tensor.device_mesh == weight.device_mesh
            if tensor.shape == weight.shape:
                assert tensor.placements == weight.placements, name


def averages(mesh) -> None:
    """The running mean of shares is the share of the mean, and is swapped in and out."""
    model, start = nn.Linear(4, 5), weights({"w": (5, 4)})["w"]
    model.weight = nn.Parameter(sharded(start, mesh))
    mean = WeightAverage(model.named_parameters(), 0.5, is_corrected=False)
    mean.update()
    with torch.no_grad():
        local_tensor(model.weight).add_(1)
    mean.update()
    with mean.swapped_in(model):
        torch.testing.assert_close(full_tensor(model.weight.detach()), start.detach() + 0.5)
    torch.testing.assert_close(full_tensor(model.weight.detach()), start.detach() + 1)


def columns_apart(mesh, state: str) -> None:
    """Where each has some columns, states of few bits are those of the whole."""
    named, block = weights({"w": (32, 256)}), 64
    config = OptimConfig(matrix_optimizer="adamw", state=state, state_block=block)
    cut = {"w": nn.Parameter(sharded(named["w"], mesh, 1))}
    one, two = Optimizer(named.items(), config), Optimizer(cut.items(), config)
    for number in range(3):
        named["w"].grad = gradients(named, number)["w"]
        cut["w"].grad = sharded(named["w"].grad, mesh, 1)
        one.step(1.0)
        two.step(1.0)
    check_states(one, two)


def small_things(mesh) -> None:
    """Places are counted in the whole; partial sums are added; rows cut in a block are refused."""
    tensor = torch.arange(35).view(7, 5)
    for axis in (0, 1):
        cut = sharded(tensor, mesh, axis)
        assert torch.equal(flat_indices(cut).long(), local_tensor(cut))
        assert torch.equal(
            flat_indices(cut, slice(1, 3), slice(0, 1)).long(), local_tensor(cut)[1:3, :1]
        )
    weight = sharded(torch.zeros(4, 2), mesh)
    partial = DTensor.from_local(torch.ones(4, 2), mesh, [Partial()])
    assert place_gradient(partial, weight).placements == weight.placements
    assert torch.equal(full_tensor(place_gradient(partial, weight)), torch.full((4, 2), 2.0))
    copies = DTensor.from_local(torch.ones(4, 2), mesh, [Replicate()], run_check=False)
    assert place_gradient(copies, copies) is copies
    columns = nn.Parameter(sharded(torch.zeros(16, 512 + 64), mesh, 1))
    with pytest.raises(ConfigError, match="state_block"):
        Optimizer([("w", columns)], OptimConfig(matrix_optimizer="adamw", state="8bit"))
    Optimizer([("w", columns)], OptimConfig(matrix_optimizer="adamw", state="8bit", state_block=32))


def check_all() -> None:
    """One of two processes."""
    mesh = init_device_mesh("cpu", (2,), mesh_dim_names=("shard",))
    for way, settings in WAYS.items():
        try:
            compare(mesh, settings)
        except AssertionError as error:
            raise AssertionError(f"{way}: {error}") from error
    for state in ("bfloat16", "8bit"):
        columns_apart(mesh, state)
    averages(mesh)
    small_things(mesh)


def test_two_processes_do_what_one_does():
    run(2, check_all)


def moved(model: nn.Module, number: int) -> None:
    drawn = torch.Generator().manual_seed(number)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=drawn))


def test_uncorrected_it_is_torch_s_to_the_bit():
    model = nn.Linear(5, 3)
    mine = WeightAverage(model.named_parameters(), 0.9, is_corrected=False)
    peer = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))
    for number in range(12):
        moved(model, number)
        mine.update()
        peer.update_parameters(model)
    for name, weight in peer.module.named_parameters():
        assert torch.equal(mine.means[name], weight.detach())


def test_corrected_it_is_the_mean_by_age():
    model, decay, seen = nn.Linear(2, 2), 0.8, []
    mine = WeightAverage(model.named_parameters(), decay)
    for number in range(10):
        moved(model, number)
        mine.update()
        seen.append(model.weight.detach().clone())
    ages = torch.tensor([decay**age for age in reversed(range(10))])
    expected = sum(w * a for w, a in zip(seen, ages / ages.sum(), strict=True))
    torch.testing.assert_close(mine.means["weight"], expected)


def test_swapped_the_model_is_the_mean_and_afterwards_itself_even_after_an_error():
    model = nn.Linear(2, 2)
    mine = WeightAverage(model.named_parameters(), 0.5)
    for number in range(3):
        moved(model, number)
        mine.update()
    own = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    with pytest.raises(RuntimeError, match="stop"), mine.swapped_in(model):
        assert torch.equal(model.weight.detach(), mine.means["weight"])
        raise RuntimeError("stop")
    assert all(torch.equal(own[n], w.detach()) for n, w in model.named_parameters())


def test_weights_in_few_bits_are_averaged_in_float32_and_come_back_exactly():
    model = nn.Linear(4, 4).bfloat16()
    mine, own = WeightAverage(model.named_parameters(), 0.999), model.weight.detach().clone()
    mine.update()
    with torch.no_grad():
        model.weight.add_(1)
    mine.update()
    assert mine.means["weight"].dtype == torch.float32
    assert not torch.equal(mine.means["weight"].bfloat16().float(), mine.means["weight"])
    own = model.weight.detach().clone()
    with mine.swapped_in(model):
        pass
    assert torch.equal(own, model.weight.detach())


def test_a_state_goes_in_and_out_to_the_bit():
    model = nn.Linear(3, 3)
    one, again = (WeightAverage(model.named_parameters(), 0.9) for _ in range(2))
    one.update()
    moved(model, 1)
    one.update()
    again.load_state({name: tensor.clone() for name, tensor in one.state().items()})
    moved(model, 2)
    for each in (one, again):
        each.update()
    assert again.updates == one.updates == 3
    assert all(torch.equal(mean, again.means[name]) for name, mean in one.means.items())


@pytest.mark.parametrize("decay", [1.0, -0.1, 2.0])
def test_a_decay_that_cannot_be_is_refused(decay):
    with pytest.raises(ConfigError, match="decay"):
        WeightAverage(nn.Linear(1, 1).named_parameters(), decay)


def test_before_the_first_update_there_is_no_mean():
    model = nn.Linear(2, 2)
    mine = WeightAverage(model.named_parameters(), 0.9)
    with pytest.raises(ConfigError, match="no updates"), mine.swapped_in(model):
        pass
    mine.update()
    with pytest.raises(ConfigError, match="shares no weight name"), mine.swapped_in(nn.ReLU()):
        pass
    with pytest.raises(ConfigError, match="another model"):
        mine.load_state({"updates": torch.tensor(1)})
