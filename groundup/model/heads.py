"""Heads: what is read off the hidden states besides the next token.

Each takes hidden states and the documents of their positions and gives what its task asks for: a
class of a text, a class of each token, one number, one vector, or the tokens of a span from its
edges. A row's first, last or mean state stands for its text; padding is never part of it.
Source: BERT: Devlin et al. 2018, arXiv:1810.04805; the span head: Joshi et al. 2019 (SpanBERT),
arXiv:1907.10529, section 3.3; sentence vectors: Reimers and Gurevych 2019, arXiv:1908.10084.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Float, Int
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import Config, ConfigError, ShapeError

from .attention import linear
from .config import ModelConfig, NormConfig
from .feedforward import ACTIVATIONS
from .norm import norm

Pooling = Literal["first", "last", "mean"]


class HeadConfig(Config):
    """What to read off a model."""

    kind: Literal["sequence", "token", "number", "embedding"] = "sequence"
    """A class of the text, a class of each token, one number (a reward), or one vector."""
    labels: int = Field(default=2, ge=1)
    """Classes; a number has one."""
    pooling: Pooling = "first"
    """Which state stands for the text: [CLS] is first, a decoder's is last."""
    inner: Literal["none", "tanh", "gelu"] = "none"
    """Activation of a dense layer before the classes; BERT's pooler has tanh."""
    inner_bias: bool = True
    """Whether the dense layer has one."""
    inner_norm: NormConfig | None = None
    """Norm behind the dense layer, as ModernBERT has; None: none."""
    bias: bool = True
    """Whether the classes have one; those on top of decoders have none in peers' files."""
    names: tuple[str, ...] = ()
    """The classes' names, in their order; empty: they are only counted."""
    unit: bool = True
    """Vectors are brought to length one."""

    @model_validator(mode="after")
    def check(self) -> "HeadConfig":
        """Refuse names that are not one for each class, and a norm behind no layer."""
        if self.names and len(self.names) != self.labels:
            raise ConfigError(
                f"HeadConfig.names has {len(self.names)} names for labels={self.labels}; give one "
                "for each class, or none."
            )
        if self.inner == "none" and self.inner_norm is not None:
            raise ConfigError(
                "HeadConfig.inner_norm stands behind a dense layer; choose its activation: "
                "inner='tanh' or 'gelu'."
            )
        return self


class Transform(nn.Module):
    """A dense layer, an activation and a norm: what BERT's states pass before the logits."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.dense = linear(config.width, config.width, config.output.dense_bias)
        self.norm = norm(config.norm, config.width)
        self.activation = ACTIVATIONS[config.output.activation]

    def forward(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """Return what meets the output embedding."""
        return self.norm(self.activation(self.dense(hidden)))


def capped(x: Float[Tensor, "*shape"], softcap: float | None) -> Float[Tensor, "*shape"]:
    """softcap * tanh(x / softcap): numbers that stay within the cap."""
    return x if softcap is None else softcap * torch.tanh(x / softcap)


def pool(
    hidden: Float[Tensor, "B T D"], documents: Int[Tensor, "B T"] | None, pooling: Pooling
) -> Float[Tensor, "B D"]:
    """One state a row: of its first or last real token, or the mean of all; zeros if it has none.

    Raises ShapeError if a row holds several documents.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> pool(states, torch.tensor([[0, 0, -1]]), "mean")
    tensor([[2.]])
    """
    B, T = hidden.shape[:2]
    check_one_text(documents)
    is_real = hidden.new_ones(B, T) if documents is None else (documents >= 0).to(hidden.dtype)
    if pooling == "mean":
        total = (hidden * is_real[..., None]).sum(1)
        return total / is_real.sum(1, keepdim=True).clamp(min=1)
    order = torch.arange(T, device=hidden.device).expand(B, T)
    if pooling == "first":
        place = torch.where(is_real > 0, order, T).amin(1).clamp(max=T - 1)
    else:
        place = torch.where(is_real > 0, order, 0).amax(1)
    return hidden[torch.arange(B, device=hidden.device), place] * is_real.amax(1, keepdim=True)


def check_one_text(documents: Int[Tensor, "B T"] | None) -> None:
    """Refuse packed rows: a state of two texts would stand for neither."""
    if documents is None or not documents.numel():
        return
    last = documents.amax(1, keepdim=True)
    packed = ((documents >= 0) & (documents != last)).any(1)
    if bool(packed.any()):
        row = int(packed.nonzero()[0])
        raise ShapeError(
            f"Row {row} holds several documents, and a head gives one answer a row; give every "
            "text a row of its own."
        )


class Head(nn.Module):
    """A head of a configuration: classes, a number or a vector."""

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.config = config
        self.dense = linear(width, width, config.inner_bias) if config.inner != "none" else None
        self.norm = norm(config.inner_norm, width) if config.inner_norm else nn.Identity()
        labels = 1 if config.kind == "number" else config.labels
        self.classes = None if config.kind == "embedding" else linear(width, labels, config.bias)
        self.activation: Callable[[Tensor], Tensor] = (
            torch.tanh if config.inner == "tanh" else F.gelu
        )
        self.initialise()

    def initialise(self, seed: int = 0) -> None:
        """Small weights, no biases: the first answers are near indifference."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if name == "norm.weight":
                    continue
                drawn = torch.randn(weight.shape, generator=generator) * 0.02
                weight.copy_(torch.zeros_like(weight) if name.endswith("bias") else drawn)

    def forward(
        self, hidden: Float[Tensor, "B T D"], documents: Int[Tensor, "B T"] | None = None
    ) -> Tensor:
        """(B, labels) of a text, (B, T, labels) of tokens, (B,) numbers or (B, D) vectors."""
        config = self.config
        if config.kind != "token":
            hidden = pool(hidden, documents, config.pooling)  # (B, D)
        if self.dense is not None:
            hidden = self.norm(self.activation(self.dense(hidden)))
        if self.classes is None:
            return F.normalize(hidden, dim=-1) if config.unit else hidden
        found = self.classes(hidden)
        return found.squeeze(-1) if config.kind == "number" else found


class SpanBoundary(nn.Module):
    """SpanBERT's head: predict a masked span's tokens from the states at its two edges.

    y_i = LN(gelu(W2 LN(gelu(W1 [h_{s-1}; h_{e+1}; p_{i-s+1}]))))

    It serves training alone and is not kept with the model: it needs a span's edges, which a text
    to be used on has not, no peer's class has it, and its authors' files came without it. A
    stopped run finds it in its checkpoints.
    """

    def __init__(self, config: ModelConfig, longest: int = 10) -> None:
        super().__init__()
        self.places = nn.Embedding(longest, config.width)
        self.inner = linear(3 * config.width, config.width, True)
        self.inner_norm = norm(config.norm, config.width)
        self.outer = linear(config.width, config.width, True)
        self.outer_norm = norm(config.norm, config.width)
        self.initialise()

    def initialise(self, seed: int = 0) -> None:
        """Small weights, no biases."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim > 1:
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
                elif name.endswith("bias"):
                    weight.zero_()

    def forward(
        self,
        left: Float[Tensor, "N D"],
        right: Float[Tensor, "N D"],
        place: Int[Tensor, " N"],
    ) -> Float[Tensor, "N D"]:
        """What meets the output embedding, for each token of a span.

        left, right  (N, D)  states just outside its span
        place        (N,)    its place in the span, from 0; later ones share the last vector
        """
        place = place.clamp(max=self.places.num_embeddings - 1)
        inner = self.inner(torch.cat([left, right, self.places(place)], dim=-1))
        inner = self.inner_norm(F.gelu(inner))
        return self.outer_norm(F.gelu(self.outer(inner)))


class WithHead(nn.Module):
    """A model and a head on it, trained and saved as one."""

    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        """Put a head on a decoder or an encoder; ConfigError for an encoder–decoder."""
        super().__init__()
        config = getattr(model, "config", None)
        if isinstance(config, ModelConfig) and config.kind == "encoder_decoder":
            raise ConfigError(
                "A head reads one text, and a model of kind 'encoder_decoder' has two sides and a "
                "start token that its configuration does not name; put the head on an encoder or a "
                "decoder."
            )
        self.model, self.head = model, head

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        documents: Int[Tensor, "B T"] | None = None,
        types: Int[Tensor, "B T"] | None = None,
    ) -> Tensor:
        """What the head says of these ids, one text a row; see `Head.forward`.

        documents  0 for the tokens of the text, -1 for padding; a pair of texts is one document
        types      kind of segment of each token: 0 in the first text of a pair, 1 in the second
        """
        return self.head(self.model(ids, documents=documents, types=types), documents)
