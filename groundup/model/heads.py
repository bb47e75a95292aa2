"""Heads on hidden states: classifiers of sequences and tokens, reward models, embeddings, spans.

Each takes hidden states and document indices. A sequence is represented by its first, last or mean
state, padding excluded.
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

from .attention import empty_linear
from .configuration.config import ModelConfig, NormConfig
from .feedforward import ACTIVATIONS
from .norm import build_norm

Pooling = Literal["first", "last", "mean"]


class HeadConfig(Config):
    """What a head computes."""

    kind: Literal["sequence", "token", "number", "embedding"] = "sequence"
    """Classify the sequence, classify each token, predict a scalar (reward), or embed."""
    labels: int = Field(default=2, ge=1)
    """Number of classes; ignored by `number` and `embedding`."""
    pooling: Pooling = "first"
    """Which state represents the sequence: [CLS] is the first, a decoder's is the last."""
    inner: Literal["none", "tanh", "gelu", "relu"] = "none"
    """Activation of a dense layer before the classes; BERT's pooler has tanh."""
    inner_bias: bool = True
    """Whether the dense layer has a bias."""
    inner_norm: NormConfig | None = None
    """Norm after the dense layer, as in ModernBERT."""
    bias: bool = True
    """Whether the classes have a bias; in Transformers' decoders they have none."""
    names: tuple[str, ...] = ()
    """Class names in order; empty: unnamed."""
    unit: bool = True
    """Whether embeddings are normalised to length one."""

    @model_validator(mode="after")
    def check(self) -> "HeadConfig":
        """Check that there is a name per class, and no norm without a dense layer."""
        if self.names and len(self.names) != self.labels:
            what = f"HeadConfig.names has {len(self.names)} names for labels={self.labels}"
            raise ConfigError(f"{what}; give one per class, or none.")
        if self.inner == "none" and self.inner_norm is not None:
            raise ConfigError("HeadConfig.inner_norm needs a dense layer, such as inner='gelu'.")
        return self


class OutputTransform(nn.Module):
    """A dense layer, an activation and a norm before the logits, as in BERT's masked-LM head."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.embedding_width
        self.dense = empty_linear(config.width, width, config.output.dense_bias)
        self.norm = build_norm(config.norm, width)
        self.activation = ACTIVATIONS[config.output.activation]

    def forward(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch W"]:
        """Return the input of the output embedding."""
        return self.norm(self.activation(self.dense(hidden)))


def apply_softcap(x: Float[Tensor, "*shape"], softcap: float | None) -> Float[Tensor, "*shape"]:
    """Soft-cap: softcap * tanh(x / softcap); None: unchanged."""
    return x if softcap is None else softcap * torch.tanh(x / softcap)


def pool(
    hidden: Float[Tensor, "B T D"], documents: Int[Tensor, "B T"] | None, pooling: Pooling
) -> Float[Tensor, "B D"]:
    """One state per sequence: the first or last real token's, or the mean; zeros if it has none.

    Raises ShapeError if a sequence holds several documents.

    >>> states = torch.tensor([[[1.0], [3.0], [9.0]]])
    >>> pool(states, torch.tensor([[0, 0, -1]]), "mean")
    tensor([[2.]])
    """
    B, T = hidden.shape[:2]
    _check_unpacked(documents)
    is_real = hidden.new_ones(B, T) if documents is None else (documents >= 0).to(hidden.dtype)
    if pooling == "mean":
        total = (hidden * is_real[..., None]).sum(1)
        return total / is_real.sum(1, keepdim=True).clamp(min=1)
    order = torch.arange(T, device=hidden.device).expand(B, T)
    if pooling == "first":
        index = torch.where(is_real > 0, order, T).amin(1).clamp(max=T - 1)
    else:
        index = torch.where(is_real > 0, order, 0).amax(1)
    return hidden[torch.arange(B, device=hidden.device), index] * is_real.amax(1, keepdim=True)


def _check_unpacked(documents: Int[Tensor, "B T"] | None) -> None:
    """Raise ShapeError for packed sequences, whose pooled state would mix documents."""
    if documents is None or not documents.numel():
        return
    last = documents.amax(1, keepdim=True)
    packed = ((documents >= 0) & (documents != last)).any(1)
    if bool(packed.any()):
        what = f"Sequence {int(packed.nonzero()[0])} holds several documents"
        raise ShapeError(f"{what}, and a head gives one output; pass one document per sequence.")


class Head(nn.Module):
    """The head that a HeadConfig describes."""

    def __init__(self, config: HeadConfig, width: int) -> None:
        super().__init__()
        self.config = config
        dense, classes = config.inner != "none", config.kind != "embedding"
        self.dense = empty_linear(width, width, config.inner_bias) if dense else None
        self.norm = build_norm(config.inner_norm, width) if config.inner_norm else nn.Identity()
        labels = 1 if config.kind == "number" else config.labels
        self.classes = empty_linear(width, labels, config.bias) if classes else None
        activations: dict[str, Callable[[Tensor], Tensor]] = {"tanh": torch.tanh, "relu": F.relu}
        self.activation = activations.get(config.inner, F.gelu)
        self.initialise()

    def initialise(self, seed: int = 0) -> None:
        """Draw small weights and zero biases, so that initial outputs are near zero."""
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
        """(B, labels) or (B, T, labels) logits, (B,) scalars or (B, D) vectors."""
        config = self.config
        if config.kind != "token":
            hidden = pool(hidden, documents, config.pooling)  # (B, D)
        if self.dense is not None:
            hidden = self.norm(self.activation(self.dense(hidden)))
        if self.classes is None:
            return F.normalize(hidden, dim=-1) if config.unit else hidden
        scores = self.classes(hidden)
        return scores.squeeze(-1) if config.kind == "number" else scores


class SpanBoundary(nn.Module):
    """SpanBERT's head: predict a masked span's tokens from the states at its boundaries.

    y_i = LN(gelu(W2 LN(gelu(W1 [h_{s-1}; h_{e+1}; p_{i-s+1}]))))

    It is used in training only: checkpoints contain it, but saved models do not, as in the authors'
    release.
    """

    def __init__(self, config: ModelConfig, max_length: int = 10) -> None:
        super().__init__()
        self.places = nn.Embedding(max_length, config.width)
        self.inner = empty_linear(3 * config.width, config.width, True)
        self.inner_norm = build_norm(config.norm, config.width)
        self.outer = empty_linear(config.width, config.embedding_width, True)
        self.outer_norm = build_norm(config.norm, config.embedding_width)
        self.initialise()

    def initialise(self, seed: int = 0) -> None:
        """Draw small weights and zero biases."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim > 1:
                    weight.copy_(torch.randn(weight.shape, generator=generator) * 0.02)
                elif name.endswith("bias"):
                    weight.zero_()

    def forward(
        self, left: Float[Tensor, "N D"], right: Float[Tensor, "N D"], offset: Int[Tensor, " N"]
    ) -> Float[Tensor, "N W"]:
        """The input of the output embedding, for each token of a span.

        left, right  (N, D)  states just outside the token's span
        offset       (N,)    offset in the span, from 0; offsets beyond the table share the last
        """
        offset = offset.clamp(max=self.places.num_embeddings - 1)
        inner = self.inner(torch.cat([left, right, self.places(offset)], dim=-1))
        inner = self.inner_norm(F.gelu(inner))
        return self.outer_norm(F.gelu(self.outer(inner)))


class ModelWithHead(nn.Module):
    """A model and a head on it, trained and saved as one."""

    def __init__(self, model: nn.Module, head: nn.Module) -> None:
        """Combine a decoder or encoder with a head; ConfigError for an encoder–decoder."""
        super().__init__()
        config = getattr(model, "config", None)
        if isinstance(config, ModelConfig) and config.kind == "encoder_decoder":
            got = "kind 'encoder_decoder', which reads two texts"
            raise ConfigError(f"A head needs an encoder or a decoder; got {got}.")
        self.model, self.head = model, head

    def forward(
        self, ids: Int[Tensor, "B T"], *, documents: Int[Tensor, "B T"] | None = None,
        types: Int[Tensor, "B T"] | None = None,
    ) -> Tensor:  # fmt: skip
        """The head's output for these ids, one text per sequence; see `Head.forward`.

        documents  0 for real tokens, -1 for padding; a pair of texts is one document
        types      token type of each token: 0 in the first text of a pair, 1 in the second
        """
        return self.head(self.model(ids, documents=documents, types=types), documents)
