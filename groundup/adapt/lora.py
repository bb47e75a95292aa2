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
from typing import cast

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ConfigError
from groundup.kernels import QuantizedLinear
from groundup.model import Transformer

from .config import ALL_LINEAR, LoraConfig
from .selection import AdaptedModule, AdapterSelection, add_update, select_sequences

EMBEDDING = "embed_tokens"
UNADAPTED = ("lm_head", "router")
"""Linear layers that are read as matrices, not called."""

Adaptable = nn.Linear | QuantizedLinear | nn.Embedding


class LowRankUpdate(nn.Module):
    """The matrices of one module's update, float32 or better."""

    def __init__(
        self, base: Adaptable, config: LoraConfig, rank: int | None = None,
        alpha: float | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.rank, self.alpha = rank or config.rank, alpha or config.alpha
        self.rank_stabilised, self.dropout = config.rank_stabilised, config.dropout
        self.scale = self.alpha / self.root()
        if isinstance(base, nn.Embedding):
            self.A = nn.Parameter(torch.zeros(self.rank, base.num_embeddings))
            self.B = nn.Parameter(torch.randn(base.embedding_dim, self.rank))
        else:
            self.A = nn.Parameter(torch.empty(self.rank, base.in_features))
            self.B = nn.Parameter(torch.zeros(base.out_features, self.rank))
            nn.init.kaiming_uniform_(self.A, a=math.sqrt(5))
        self.to(base.weight.device, torch.promote_types(base.weight.dtype, torch.float32))
        self.magnitude = nn.Parameter(self.direction_norms(base)) if config.dora else None

    def root(self, rank: int | None = None) -> float:
        """What alpha is divided by for a rank; default: its own."""
        rank = rank or self.rank
        return math.sqrt(rank) if self.rank_stabilised else rank

    @torch.no_grad()
    def direction_norms(self, base: Adaptable) -> Float[Tensor, " O"]:
        """|W + s B A| of each output: DoRA's divisor, a constant for the gradient."""
        weight = dense_weight(base).to(self.A.dtype)
        return torch.linalg.vector_norm(weight + self.scale * (self.B @ self.A), dim=1)

    def forward(self, x: Shaped[Tensor, "*batch"], base: Adaptable, out: Tensor) -> Tensor:
        """What to add to the output of the base for x."""
        if isinstance(base, nn.Embedding):
            return F.embedding(x, self.A.T) @ self.B.T * self.scale
        drops = self.training and self.dropout > 0
        x = F.dropout(x, self.dropout, training=drops).to(self.A.dtype)
        low = F.linear(F.linear(x, self.A), self.B) * self.scale
        if self.magnitude is None:
            return low
        ratio = self.magnitude / self.direction_norms(base)
        if drops:  # the direction W x too is of the inputs that were kept
            plain = F.linear(x, dense_weight(base).to(x.dtype))
        else:
            plain = out if base.bias is None else out - base.bias
        return (ratio - 1) * plain + ratio * low

    @torch.no_grad()
    def merged_weight(self, base: nn.Linear | nn.Embedding) -> Tensor:
        """The weight that contains the update, in the update's dtype."""
        delta = self.scale * (self.B @ self.A)
        weight = base.weight + (delta.T if isinstance(base, nn.Embedding) else delta)
        if self.magnitude is None or isinstance(base, nn.Embedding):
            return weight
        return weight * (self.magnitude / self.direction_norms(base))[:, None]


class LoraModule(AdaptedModule):
    """A linear layer, dense or packed, or an embedding, with low-rank updates."""

    @property
    def weight(self) -> Tensor:
        """The original's weight, which a tied head reads."""
        return self.base.weight

    def forward(self, x: Shaped[Tensor, "*batch"]) -> Float[Tensor, "*out"]:
        """The original's output and the updates that act on each sequence."""
        out = result = self.base(x)
        for update, rows in self.acting(len(x)):
            own, base_out = select_sequences(x, rows), select_sequences(out, rows)
            result = add_update(result, update(own, self.base, base_out), rows)
        return result.to(out.dtype)


def dense_weight(base: Adaptable) -> Tensor:
    """A module's weight, dequantised if it is packed."""
    return base.dequantize() if isinstance(base, QuantizedLinear) else base.weight


def adaptable_modules(model: Transformer) -> Iterator[tuple[str, Adaptable]]:
    """Linear layers and the input embedding by name; the originals of those with updates."""
    for name, module in model.named_modules():
        *outer, leaf = name.split(".")
        if leaf in (*UNADAPTED, "base") or "adapters" in outer:
            continue
        base = module.base if isinstance(module, LoraModule) else module
        if isinstance(base, nn.Linear | QuantizedLinear) or name == EMBEDDING:
            yield name, cast(Adaptable, base)


def find_targets(model: Transformer, targets: Sequence[str]) -> dict[str, Adaptable]:
    """The modules that a LoraConfig's targets choose; ConfigError for a target that is none."""
    known, chosen = dict(adaptable_modules(model)), set[str]()
    for target in targets:
        own = {name for name in known if f".{name}".endswith(f".{target}")}
        own = {name for name in known if name != EMBEDDING} if target == ALL_LINEAR else own
        if not own:
            ends = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in known))
            what = f"The model has no module {target!r} that LoRA adapts"
            raise ConfigError(f"{what}; give {ALL_LINEAR}, {ends}, or a full name.")
        chosen |= own
    return {name: module for name, module in known.items() if name in chosen}


def attach_lora(
    model: Transformer, name: str, config: LoraConfig, selection: AdapterSelection
) -> None:
    """Put new updates on the configured targets."""
    targets = find_targets(model, config.targets)
    if config.dora and EMBEDDING in targets:
        raise ConfigError(f"DoRA of {EMBEDDING} is not supported; leave out the target, or dora.")
    shapes = (
        (each.num_embeddings, each.embedding_dim) if isinstance(each, nn.Embedding)
        else (each.in_features, each.out_features) for each in targets.values()
    )  # fmt: skip
    if config.rank > (full := max(map(min, shapes))):  # PEFT takes it, and memory is for nothing
        raise ConfigError(f"rank={config.rank} is above {full}, the full rank of every target.")
    updates = {path: LowRankUpdate(base, config) for path, base in targets.items()}
    put_updates(model, name, updates, selection)


def put_updates(
    model: Transformer, name: str, updates: dict[str, LowRankUpdate], selection: AdapterSelection
) -> None:
    """Put updates in their places, next to those of other adapters."""
    for path, update in updates.items():
        module = model.get_submodule(path)
        if not isinstance(module, LoraModule):
            module = LoraModule(module, selection)
            model.set_submodule(path, module)
        module.adapters[name] = update.train(model.training)
