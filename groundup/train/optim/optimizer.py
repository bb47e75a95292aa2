"""Optimizers: AdamW for vectors and tables, Muon for matrices, one object for both.

Muon replaces the momentum of a matrix by the nearest orthogonal matrix (found by Newton-Schulz
iterations), so that every direction is learnt at the same speed. Embeddings, the head and norms
stay with AdamW. Matrices of one shape are stacked and orthogonalised together: on a processor the
calls cost more than the arithmetic.

Source: Loshchilov & Hutter 2019, arXiv:1711.05101 (AdamW); Jordan et al. 2024, "Muon: an optimizer
for hidden layers in neural networks"; scale by shape as in Liu et al. 2025, arXiv:2502.16982.
"""

import math
from collections.abc import Container, Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from groundup.core import ConfigError

from ..parallel.mesh import ALONE, Mesh
from .clip import clip, held
from .config import OptimConfig


def orthogonalise(matrices: Float[Tensor, "N R C"], iterations: int) -> Float[Tensor, "N R C"]:
    """Nearest matrices with singular values near 1, by Newton-Schulz iterations in bfloat16.

    Each iteration maps every singular value s to a*s + b*s^3 + c*s^5; the coefficients trade
    exactness for speed: after 5 iterations values end between about 0.7 and 1.2; after 3 the
    smallest are still small, and a step along their directions with them.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(iterations):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Optimizer:
    """AdamW and Muon over named parameters; its state is plain named tensors."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        config: OptimConfig,
        *,
        names: Container[str] | None = None,
    ) -> None:
        """Sort parameters by rule: a block's matrices to Muon, everything else to AdamW.

        names  of the whole model's parameters, where these are some of them (a pipeline's)
        """
        self.config = config
        self.steps = 0
        named = [(name, p) for name, p in parameters if p.requires_grad]
        if not named:
            raise ConfigError("The model has no trainable parameter; expected at least one.")
        muon = config.matrices == "muon"
        self.matrices = {n: p for n, p in named if muon and is_block_matrix(n, p)}
        self.others = {n: p for n, p in named if n not in self.matrices}
        self.tables = [name for name in self.others if is_free_table(name, names or self.others)]
        self.momentum = {n: torch.zeros_like(p) for n, p in self.matrices.items()}
        self.mean = {n: torch.zeros_like(p) for n, p in self.others.items()}
        self.square = {n: torch.zeros_like(p) for n, p in self.others.items()}

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in (*self.matrices.values(), *self.others.values()):
            parameter.grad = None

    def clip(self, scale: float = 1.0, mesh: Mesh = ALONE) -> float:
        """Divide the gradients by `scale` and clip them; return their norm before clipping."""
        every = [*self.matrices.values(), *self.others.values()]
        return clip(every, self.config.clip, scale=scale, mesh=mesh)

    @torch.no_grad()
    def step(self, multiplier: float) -> None:
        """Move the weights by their gradients."""
        self.steps += 1
        self._muon(multiplier)
        rest = [name for name in self.others if name not in self.tables]
        self._adamw(self.tables, self.config.embedding_learning_rate * multiplier)
        self._adamw(rest, self.config.learning_rate * multiplier)

    def _muon(self, multiplier: float) -> None:
        rate = self.config.muon_learning_rate * multiplier
        for names in by_shape(self.matrices):
            weights: list[Tensor] = [self.matrices[name] for name in names]
            gradients = [p.grad if p.grad is not None else torch.zeros_like(p) for p in weights]
            momentum = [self.momentum[name] for name in names]
            torch._foreach_lerp_(momentum, gradients, 1 - self.config.momentum)
            ahead = torch._foreach_lerp(gradients, momentum, self.config.momentum)
            steps = orthogonalise(torch.stack(ahead), self.config.iterations)
            rows, columns = weights[0].shape
            scale = rate * math.sqrt(max(1.0, rows / columns))
            if self.config.weight_decay:
                torch._foreach_mul_(weights, 1 - rate * self.config.weight_decay)
            for weight, step in zip(weights, steps, strict=True):
                weight.add_(step, alpha=-scale)

    def _adamw(self, names: list[str], rate: float) -> None:
        config = self.config
        names = [name for name in names if self.others[name].grad is not None]
        if not names:
            return
        weights: list[Tensor] = [held(self.others[name]) for name in names]
        gradients = [held(self.others[name].grad) for name in names]  # type: ignore[arg-type]
        mean, square = [held(self.mean[n]) for n in names], [held(self.square[n]) for n in names]
        torch._foreach_lerp_(mean, gradients, 1 - config.beta1)  # type: ignore[arg-type]
        torch._foreach_mul_(square, config.beta2)
        torch._foreach_addcmul_(square, gradients, gradients, 1 - config.beta2)  # type: ignore[arg-type]
        root = torch._foreach_sqrt(square)
        correction = math.sqrt(1 - config.beta2**self.steps)
        torch._foreach_div_(root, correction)
        torch._foreach_add_(root, config.epsilon)
        if config.weight_decay:
            decayed = [p for p in weights if p.ndim >= 2]
            if decayed:
                torch._foreach_mul_(decayed, 1 - rate * config.weight_decay)
        torch._foreach_addcdiv_(weights, mean, root, -rate / (1 - config.beta1**self.steps))

    def state(self) -> dict[str, Tensor]:
        """Every tensor of the state under a flat name, without copying."""
        parts = {"momentum": self.momentum, "mean": self.mean, "square": self.square}
        flat = {f"{part}.{name}": t for part, named in parts.items() for name, t in named.items()}
        return {"steps": torch.tensor(self.steps), **flat}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Take over a state; ConfigError if it belongs to other parameters."""
        own = self.state()
        if own.keys() != state.keys():
            odd = sorted(own.keys() ^ state.keys())[:3]
            raise ConfigError(f"The optimizer state is of another model: {', '.join(odd)} differ.")
        for name, tensor in state.items():
            own[name].copy_(tensor)
        self.steps = int(state["steps"])


def is_block_matrix(name: str, parameter: Tensor) -> bool:
    """Whether Muon should move it: a matrix inside a block, no embedding and no head."""
    return parameter.ndim == 2 and not any(part in name for part in ("embed", "head"))


def is_free_table(name: str, others: Container[str]) -> bool:
    """Whether it is the embedding of a model whose output has weights of its own.

    >>> is_free_table("embed_tokens.weight", ["lm_head.weight"])
    True
    """
    before, found, _ = name.partition("embed_tokens.")
    return bool(found) and f"{before}lm_head.weight" in others


def by_shape(parameters: dict[str, nn.Parameter]) -> list[list[str]]:
    """Group names of parameters of equal shape, in order."""
    groups: dict[torch.Size, list[str]] = {}
    for name, parameter in parameters.items():
        groups.setdefault(parameter.shape, []).append(name)
    return list(groups.values())
