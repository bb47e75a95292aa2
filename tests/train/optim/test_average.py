"""The running mean is torch's, or the mean that it is meant to be; and the weights come back."""

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from groundup.core import ConfigError
from groundup.train.optim.average import WeightAverage


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
