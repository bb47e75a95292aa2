"""Clipping: the norm of the whole gradient, and the gradient made no longer than a length."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..parallel.mesh import ALONE, Mesh


@torch.no_grad()
def clip(
    parameters: Sequence[nn.Parameter], largest: float, *, scale: float = 1.0, mesh: Mesh = ALONE
) -> float:
    """Divide gradients by `scale`, cut them to a norm of `largest`; return the norm before.

    largest  0 leaves them as long as they are
    mesh     processes that hold other shares of the gradient, of which one norm is taken
    """
    gradients: list[Tensor] = [p.grad for p in parameters if p.grad is not None]
    if scale != 1.0:
        torch._foreach_div_(gradients, scale)
    norm = nn.utils.get_total_norm(gradients)
    if largest:
        nn.utils.clip_grads_with_norm_([p for p in parameters if p.grad is not None], largest, norm)
    return float(norm)
