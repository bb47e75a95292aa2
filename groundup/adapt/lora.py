"""Low-rank adaptation: each weight learns an update of rank r, W + s B A.

    y = W x + s B A drop(x)                        s = alpha / r, or alpha / sqrt(r) (rsLoRA)
    y = m * (W + s B A) x / |W + s B A|            DoRA: a norm m for each output, learned

B starts at zero, so a new adapter changes nothing, bit for bit. The norm in DoRA's divisor is a
constant for the gradient. The base may be packed in 8 or 4 bits: it stays packed, and gradients
reach A, B and m alone (QLoRA). An embedding's A starts at zero instead.
Source: Hu et al. 2021, arXiv:2106.09685; Kalajdzievski 2023, arXiv:2312.03732; Liu et al. 2024,
arXiv:2402.09353, section 4.3; Dettmers et al. 2023, arXiv:2305.14314. Initialised as in PEFT.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ConfigError
from groundup.kernels import QuantizedLinear
from groundup.model import Transformer

from .config import ALL_LINEAR, LoraConfig
from .selection import AdaptedModule, AdapterSelection, add_update, select_sequences

UNADAPTED = ("lm_head", "router")
"""Linear layers that are read as matrices, not called."""


class LowRankUpdate(nn.Module):
    """The matrices of one module's update."""

    def __init__(self, base: nn.Module, rank: int, config: LoraConfig, alpha: float) -> None:
        """Zeros; `initialise` draws what starts at random."""
        super().__init__()
        weight = base.weight
        assert isinstance(weight, Tensor), "adapted modules have one weight"
        outputs, inputs = _sizes(base)
        dtype = torch.float64 if weight.dtype == torch.float64 else torch.float32
        place = {"dtype": dtype, "device": weight.device}
        self.rank, self.alpha, self.dropout = rank, alpha, config.dropout
        self.scale = config.scale(rank, alpha)
        self.A = nn.Parameter(torch.zeros(rank, inputs, **place))
        self.B = nn.Parameter(torch.zeros(outputs, rank, **place))
        norms = self.direction_norms(base) if config.dora else None
        self.magnitude = None if norms is None else nn.Parameter(norms)

    def initialise(self, generator: torch.Generator, *, is_embedding: bool) -> None:
        """Draw A (of an embedding B) on the CPU, so that every device gets the same numbers."""
        drawn = torch.empty(self.B.shape if is_embedding else self.A.shape)
        with torch.no_grad():
            if is_embedding:
                self.B.copy_(drawn.normal_(generator=generator))
            else:
                nn.init.kaiming_uniform_(drawn, a=math.sqrt(5), generator=generator)
                self.A.copy_(drawn)

    @torch.no_grad()
    def direction_norms(self, base: nn.Module) -> Float[Tensor, " O"]:
        """|W + s B A| of each output: DoRA's divisor, a constant for the gradient."""
        weight = dense_weight(base).to(self.A.dtype)
        return torch.linalg.vector_norm(weight + self.scale * (self.B @ self.A), dim=1)

    def linear_update(
        self, x: Float[Tensor, "*batch I"], base: nn.Module, out: Float[Tensor, "*batch O"]
    ) -> Float[Tensor, "*batch O"]:
        """What to add to a linear layer's output."""
        drops = self.training and self.dropout > 0
        x = F.dropout(x, self.dropout, training=drops).to(self.A.dtype)
        low = F.linear(F.linear(x, self.A), self.B)
        if self.magnitude is None:
            return low * self.scale
        ratio = self.magnitude / self.direction_norms(base)
        bias = base.bias
        plain = out if not isinstance(bias, Tensor) else out - bias
        if drops:  # the direction W x too is of the inputs that were kept
            plain = F.linear(x, dense_weight(base).to(x.dtype))
        return (ratio - 1) * plain + ratio * low * self.scale

    def embedding_update(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch D"]:
        """What to add to an embedding's output."""
        return F.embedding(ids, self.A.T) @ self.B.T * self.scale

    @torch.no_grad()
    def merged_weight(self, base: nn.Module) -> Tensor:
        """The weight that contains the update, in float32 or better."""
        delta = self.scale * (self.B @ self.A)
        if isinstance(base, nn.Embedding):
            return base.weight.to(self.A.dtype) + delta.T
        weight = dense_weight(base).to(self.A.dtype) + delta
        if self.magnitude is None:
            return weight
        return weight * (self.magnitude / self.direction_norms(base))[:, None]


class LoraLinear(AdaptedModule):
    """A linear layer, dense or packed, with low-rank updates."""

    def forward(self, x: Float[Tensor, "*batch I"]) -> Float[Tensor, "*batch O"]:
        out = result = self.base(x)
        for adapter, rows in self.acting(len(x)):
            own, base_out = select_sequences(x, rows), select_sequences(out, rows)
            update = adapter.linear_update(own, self.base, base_out)
            result = add_update(result, update, rows)
        return result.to(out.dtype)


class LoraEmbedding(AdaptedModule):
    """An embedding with low-rank updates; a tied head keeps the original's weight."""

    @property
    def weight(self) -> Tensor:
        """The original's weight."""
        return self.base.weight

    def forward(self, ids: Int[Tensor, "*batch"]) -> Float[Tensor, "*batch D"]:
        out = result = self.base(ids)
        for adapter, rows in self.acting(len(ids)):
            update = adapter.embedding_update(select_sequences(ids, rows))
            result = add_update(result, update, rows)
        return result.to(out.dtype)


def dense_weight(base: nn.Module) -> Tensor:
    """A linear layer's weight, dequantised if it is packed."""
    if isinstance(base, QuantizedLinear):
        return base.dequantize()
    assert isinstance(base, nn.Linear), "low-rank updates are of linear layers"
    return base.weight


def _sizes(base: nn.Module) -> tuple[int, int]:
    """Outputs and inputs of a module as a linear map; an embedding maps ids to features."""
    if isinstance(base, nn.Embedding):
        return base.embedding_dim, base.num_embeddings
    assert isinstance(base, nn.Linear | QuantizedLinear), "low-rank updates are of linear layers"
    return base.out_features, base.in_features


def adaptable_modules(model: Transformer) -> Iterator[tuple[str, nn.Module]]:
    """Linear layers and the input embedding by their names, behind adapters they may have."""
    for name, module in model.named_modules():
        parts = name.split(".")
        if "adapters" in parts or parts[-1] == "base":
            continue
        base = module.base if isinstance(module, LoraLinear | LoraEmbedding) else module
        is_linear = isinstance(base, nn.Linear | QuantizedLinear) and parts[-1] not in UNADAPTED
        if is_linear or name == "embed_tokens":
            yield name, base


def find_targets(model: Transformer, targets: Sequence[str]) -> dict[str, nn.Module]:
    """The modules that a LoraConfig names.

    Raises ConfigError for a target that is no such module, DoRA's embedding included.
    """
    modules = dict(adaptable_modules(model))
    chosen: dict[str, nn.Module] = {}
    for target in targets:
        if target == ALL_LINEAR:
            own = {name for name in modules if name != "embed_tokens"}
        else:
            own = {name for name in modules if name == target or name.endswith(f".{target}")}
        if not own:
            ends = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in modules))
            what = f"The model has no module {target!r} that LoRA adapts"
            raise ConfigError(f"{what}; name {ALL_LINEAR}, {ends}, or a full name.")
        chosen |= {name: modules[name] for name in own}
    return {name: module for name, module in modules.items() if name in chosen}


def attach_lora(
    model: Transformer, name: str, config: LoraConfig, selection: AdapterSelection, seed: int
) -> None:
    """Put updates with new matrices on the configured targets."""
    targets = find_targets(model, config.targets)
    if config.dora and "embed_tokens" in targets:
        raise ConfigError("DoRA of embed_tokens is not supported; leave out the target, or dora.")
    generator = torch.Generator().manual_seed(seed)
    for path, base in targets.items():
        update = LowRankUpdate(base, config.rank, config, config.alpha)
        update.initialise(generator, is_embedding=isinstance(base, nn.Embedding))
        add_low_rank(model, path, name, update, selection)


def add_low_rank(
    model: Transformer, path: str, name: str, update: LowRankUpdate, selection: AdapterSelection
) -> None:
    """Put one module's update in its place, next to those of other adapters."""
    module = model.get_submodule(path)
    if not isinstance(module, LoraLinear | LoraEmbedding):
        kind = LoraEmbedding if isinstance(module, nn.Embedding) else LoraLinear
        module = kind(module, selection)
        model.set_submodule(path, module)
    update.train(model.training)
    module.adapters[name] = update


def low_rank_updates(model: nn.Module, name: str) -> dict[str, tuple[AdaptedModule, LowRankUpdate]]:
    """The adapted modules of one adapter by name, and their updates."""
    found: dict[str, tuple[AdaptedModule, LowRankUpdate]] = {}
    for path, module in model.named_modules():
        if isinstance(module, LoraLinear | LoraEmbedding) and name in module.adapters:
            update = module.adapters[name]
            assert isinstance(update, LowRankUpdate), "its adapters are of this kind"
            found[path] = (module, update)
    return found
