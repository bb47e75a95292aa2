"""The model: token ids in, hidden states and logits out.

    h = E[ids]
    h = h + attend(norm(h));  h = h + feed(norm(h))      in every block
    logits = norm(h) E^T

It trains and serves: with a cache, a call continues where the last one ended. Ids are all it sees;
it knows no text, no loss and no sampling. Shapes follow Qwen3, whose files it reads and writes.
Source: Vaswani et al. 2017, arXiv:1706.03762; Qwen3: arXiv:2505.09388.
"""

import functools
import math
from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import CapacityError, device

from .attention import Attention, RMSNorm, linear
from .cache import Cache
from .config import ModelConfig
from .feedforward import FeedForward
from .positions import Rotation, rotation

INITIAL_STD: tuple[tuple[str, Callable[[int], float]], ...] = (
    ("embed_tokens.weight", lambda fan_in: 0.02),
    ("lm_head.weight", lambda fan_in: 0.02),
    ("o_proj.weight", lambda fan_in: 0.0),
    ("down_proj.weight", lambda fan_in: 0.0),
    ("_proj.weight", lambda fan_in: 1 / math.sqrt(fan_in)),
)
"""Standard deviation of a matrix by the end of its name, first match; norms start at one.

A tied embedding at 0.02 makes the first loss close to log(vocab_size); one that is only input
starts at one, the size that blocks add to. Projections keep the size of their
inputs. What is added to the residual starts at zero, so a new model of any depth is the identity.
"""


class Block(nn.Module):
    """One layer: attention, then feed-forward, each on the normed input and added to it."""

    def __init__(self, config: ModelConfig, layer: int) -> None:
        super().__init__()
        self.attention_norm = RMSNorm(config.width, config.norm.eps)
        self.attention = Attention(config, layer)
        self.feedforward_norm = RMSNorm(config.width, config.norm.eps)
        self.feedforward = FeedForward(config)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        by: Rotation,
        documents: Int[Tensor, "B S"] | None = None,
        cache: Cache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Return the hidden states after this layer."""
        hidden = hidden + self.attention(self.attention_norm(hidden), by, documents, cache)
        return hidden + self.feedforward(self.feedforward_norm(hidden))


class Transformer(nn.Module):
    """A decoder of `config`'s shape."""

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        """Make the model with weights drawn from `seed`; None leaves them for a loader to fill."""
        super().__init__()
        self.config = config
        self.is_compiled = False
        self.embed_tokens = nn.utils.skip_init(nn.Embedding, config.vocab_size, config.width)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config.layers))
        self.norm = RMSNorm(config.width, config.norm.eps)
        tied = config.tied_embeddings
        self.lm_head = None if tied else linear(config.width, config.vocab_size)
        if seed is not None:
            self.initialise(seed)

    @property
    def head(self) -> Float[Tensor, "V D"]:
        """The output embedding: the input one if they are tied."""
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(
        self,
        ids: Int[Tensor, "B T"],
        *,
        positions: Int[Tensor, "b T"] | None = None,
        cache: Cache | None = None,
        documents: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Hidden states after the last norm.

        positions  default: counted from the start of the cache; a first size of 1 serves all rows
        cache      keys and values of earlier calls; this call's are added
        documents  number of each token's document, -1 for padding; None: each row is one document

        Raises CapacityError if the cache and the ids exceed the context.
        """
        start, T = 0 if cache is None else cache.length, ids.shape[1]
        if start + T > self.config.context_length:
            raise CapacityError(too_long(start + T, self.config.context_length))
        if cache is not None:
            documents = cache.begin(T, documents)
        hidden = self.embed_tokens(ids)  # (B, T, D)
        by = self.rotation(positions, start, hidden)
        forward = compiled_block() if self.is_compiled and self.training else Block.__call__
        for block in self.layers:
            hidden = forward(block, hidden, by, documents, cache)
        if cache is not None:
            cache.advance(T)
        return self.norm(hidden)

    def logits(
        self,
        ids: Int[Tensor, "B T"],
        *,
        positions: Int[Tensor, "b T"] | None = None,
        cache: Cache | None = None,
        documents: Int[Tensor, "B T"] | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "B t V"]:
        """Logits of the token after each one, or after the last one alone; see `forward`."""
        hidden = self(ids, positions=positions, cache=cache, documents=documents)
        return F.linear(hidden[:, -1:] if last_only else hidden, self.head)

    def rotation(
        self, positions: Int[Tensor, "b T"] | None, start: int, hidden: Float[Tensor, "B T D"]
    ) -> Rotation:
        """The positions' cosines and sines, for all layers."""
        if positions is None:
            end = start + hidden.shape[1]
            positions = torch.arange(start, end, device=hidden.device)[None]  # (1, T)
        exact = torch.promote_types(hidden.dtype, torch.float32)
        base = self.config.position.base
        return rotation(positions, self.config.attention.head_dim, base, exact)

    def initialise(self, seed: int) -> None:
        """Draw every matrix from `INITIAL_STD` with a generator of this seed; norms become one."""
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, weight in self.named_parameters():
                if weight.ndim == 1:
                    weight.fill_(1.0)
                    continue
                std = next(std for ending, std in INITIAL_STD if name.endswith(ending))
                if name.startswith("embed") and self.lm_head is not None:
                    std = lambda fan_in: 1.0  # noqa: E731
                drawn = torch.randn(weight.shape, generator=generator)
                weight.copy_(drawn * std(weight.shape[1]))

    def compile_blocks(self) -> bool:
        """Compile the blocks for training; return whether that was possible.

        All layers share one compiled function, so its cost (about 10 s on two cores) is paid once
        a shape, not once a layer. Without a C++ compiler nothing changes and the result is False,
        as is `is_compiled`. Evaluation and cached calls, whose shapes vary, are never compiled.
        """
        self.is_compiled = can_compile(self.head.device)
        return self.is_compiled


@functools.cache
def compiled_block() -> Callable[..., Tensor]:
    """The blocks' forward, compiled; one code object serves every layer of every model."""
    return torch.compile(Block.forward, dynamic=False)


def can_compile(place: torch.device) -> bool:
    """Whether torch.compile has what it needs: on CPUs a C++ compiler."""
    return place.type != "cpu" or bool(device.compiler())


def too_long(needed: int, context_length: int) -> str:
    """Say that a sequence does not fit and what to do."""
    return (
        f"{needed} tokens do not fit the model's context_length={context_length}; "
        "shorten the prompt or ask for fewer tokens."
    )
