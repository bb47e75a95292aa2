"""A loss over divided ids is the loss over all of them, with its gradients."""

from typing import Any

import pytest
import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor

from groundup.kernels import reference_cross_entropy
from groundup.train.parallel.cross_entropy import parallel_cross_entropy
from tests.train.parallel.processes import run

CAPS = (None, 3.0)


class Given:
    """Tokens of which two weigh nothing, seven ids on two processes."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(0)
        self.hidden = torch.randn(9, 5, generator=generator, dtype=torch.float64)
        self.head = 3 * torch.randn(7, 5, generator=generator, dtype=torch.float64)
        self.bias = torch.randn(7, generator=generator, dtype=torch.float64)
        self.targets = torch.randint(7, (9,), generator=generator)
        self.weights = torch.tensor([1, 0.5, 0, 1, 2, 1, 1, 0, 1], dtype=torch.float64)


def divided(softcap: float | None) -> list[Any]:
    """Loss and gradients, the head's ids divided; chunks of four tokens."""
    given, line = Given(), init_device_mesh("cpu", (2,), mesh_dim_names=("tensor",))
    hidden = given.hidden.requires_grad_()
    head = distribute_tensor(given.head, line, [Shard(0)]).requires_grad_()
    bias = distribute_tensor(given.bias, line, [Shard(0)]).requires_grad_()
    total = parallel_cross_entropy(
        hidden, head, given.targets, given.weights, bias=bias, softcap=softcap, chunk=4
    )
    (total * 0.5).backward()
    assert isinstance(head.grad, DTensor) and isinstance(bias.grad, DTensor)
    part = hidden.grad
    assert part is not None
    torch.distributed.all_reduce(part)
    found = (total, part, head.grad.full_tensor(), bias.grad.full_tensor())
    return [tensor.detach().tolist() for tensor in found]


@pytest.mark.parametrize("softcap", CAPS)
def test_divided_ids_give_loss_and_gradients_of_whole_ones(softcap: float | None):
    given = Given()
    leaves = [t.requires_grad_() for t in (given.hidden, given.head, given.bias)]
    logits = given.hidden @ given.head.T + given.bias
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    total = reference_cross_entropy(logits, given.targets, given.weights)
    wanted = [total, *torch.autograd.grad(0.5 * total, leaves)]
    for found in run(2, divided, softcap):
        for ours, theirs in zip(found, wanted, strict=True):
            torch.testing.assert_close(
                torch.tensor(ours, dtype=torch.float64), theirs.detach(), rtol=0, atol=1e-12
            )
