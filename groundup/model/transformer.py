"""The model: token ids in, hidden states and logits out.

    h = E[ids] (+ positions)
    h = h + attend(norm(h));  h = h + feed(norm(h))      in every block, or norms elsewhere
    logits = norm(h) E^T

One `Transformer` is a decoder, an encoder or both, through the same blocks; what differs is in its
`ModelConfig`. It trains and serves: with a cache, a call continues where the last one ended. It
sees token ids only and knows no text, no loss and no sampling.
Source: Vaswani et al. 2017, arXiv:1706.03762; pre- and post-norm: Xiong et al. 2020,
arXiv:2002.04745; parallel blocks: Wang and Komatsuzaki 2021 (GPT-J).
"""

import functools
import math
from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from groundup.core import ConfigError, device
from groundup.kernels import Branches, LossTerms, Mask, Recompute, compiled_once, with_recompute

from .attention import (
    Attention,
    Cache,
    Context,
    CrossAttention,
    EncoderOutput,
    LatentAttention,
    empty_linear,
    sequence_lengths,
)
from .configuration.config import AttentionConfig, ModelConfig
from .feedforward import Experts, FeedForward
from .heads import OutputTransform, apply_softcap
from .inputs import (
    ForwardInputs,
    check_context_length,
    check_ids,
    check_inputs,
    embedding_lookup,
    may_fork,
)
from .norm import optional_norm
from .positions import (
    BucketBias,
    DistanceTable,
    alibi_bias,
    get_rotation,
    positions_in_documents,
    query_temperature,
    sinusoids,
)

INITIAL_STD = {
    "embed_tokens": 0.02, "embed_positions": 0.02, "embed_types": 0.02, "lm_head": 0.02,
    "relative": 0.02, "distances": 0.02, "router": 0.02, "o_proj": 0.0, "down_proj": 0.0,
}  # fmt: skip
"""Initial standard deviation of a matrix by its name, 1 / sqrt(inputs) for all others; norms start
at one and biases at zero.

A tied embedding at 0.02 makes the first loss close to log(vocab_size); an untied one, or one with a
scaled output (T5), starts at one, the scale of the residual stream. Projections preserve the scale
of their inputs, except queries of unscaled scores (see `_query_init_scale`). Projections into the
residual stream start at zero, so a new model of any depth is the identity.
"""


class Adapted(nn.Module):
    """A module that an adapter puts into a model (`groundup.adapt`); no file holds it."""


def has_adapters(model: nn.Module) -> bool:
    """Whether adapters are attached, so that a model is more than its own weights."""
    return any(isinstance(module, Adapted) for module in model.modules())


class TransformerBlock(nn.Module):
    """One layer: self-attention, cross attention if there is an encoder, feed-forward.

    Each sublayer has a residual connection, and norms placed as `NormConfig.place` says.
    """

    def __init__(self, config: ModelConfig, layer: int, *, crosses: bool = False) -> None:
        super().__init__()
        self.dropout = 0.0
        place, self.is_parallel = config.norm.place, config.parallel
        self.is_post_norm, self.residual_scale = place == "post", config.residual_scale
        before, after = place in ("pre", "sandwich"), place != "pre"
        is_normed = layer == 0 and config.embedding.norm and not config.embedding.keeps_first_norm
        self.attention_norm = optional_norm(before and not is_normed, config)
        is_latent = config.attention.latent is not None
        self.attention = (LatentAttention if is_latent else Attention)(config, layer)
        self.attention_out_norm = optional_norm(after, config)
        self.cross_norm = optional_norm(before and crosses, config)
        self.cross = CrossAttention(config, layer) if crosses else None
        self.cross_out_norm = optional_norm(after and crosses, config)
        self.shares_norm = self.is_parallel and config.parallel_norms == 1
        self.feedforward_norm = optional_norm(before and not self.shares_norm, config)
        self.experts = Experts(config) if config.has_experts(layer) else None
        self.feedforward = FeedForward(config) if self.experts is None else nn.Identity()
        self.feedforward_out_norm = optional_norm(after, config)
        self.attention_adapter: nn.Module | None = None
        """(input of the sublayer, its update) -> update: an adapter after the attention."""
        self.feedforward_adapter: nn.Module | None = None

    def forward(self, hidden: Float[Tensor, "B T D"], context: Context) -> Float[Tensor, "B T D"]:
        """Return the hidden states after this layer."""
        normed = self.attention_norm(hidden)
        update = self.attention(normed, context)
        if self.attention_adapter is not None:
            update = self.attention_adapter(hidden, update)
        if self.is_parallel:
            own = normed if self.shares_norm else self.feedforward_norm(hidden)
            further = self.run_feedforward(own, context)
            return hidden + self._dropped(update) + self._dropped(further)
        hidden = self.add_residual(hidden, update, self.attention_out_norm)
        if self.cross is not None:
            update = self.cross(self.cross_norm(hidden), context)
            hidden = self.add_residual(hidden, update, self.cross_out_norm)
        update = self.run_feedforward(self.feedforward_norm(hidden), context)
        if self.feedforward_adapter is not None:
            update = self.feedforward_adapter(hidden, update)
        return self.add_residual(hidden, update, self.feedforward_out_norm)

    def forward_within_hooks(
        self, hidden: Float[Tensor, "B T D"], context: Context
    ) -> Float[Tensor, "B T D"]:
        """`forward`, compiled in training; replaces it where hooks must run around it."""
        forward = compiled_block() if self.training else TransformerBlock.forward
        return forward(self, hidden, context)

    def run_feedforward(
        self, hidden: Float[Tensor, "B T D"], context: Context
    ) -> Float[Tensor, "B T D"]:
        """The feed-forward, dense or of experts."""
        if self.experts is None:
            return self.feedforward(hidden)
        return self.experts(hidden, context)

    def add_residual(self, hidden: Tensor, update: Tensor, norm: nn.Module) -> Tensor:
        """The residual connection: norm the sum (post-norm) or the update."""
        if self.is_post_norm:
            return norm(hidden + self._dropped(update))
        return hidden + self._dropped(norm(update))

    def _dropped(self, update: Tensor) -> Tensor:
        update = update if self.residual_scale == 1.0 else update * self.residual_scale
        return F.dropout(update, self.dropout, self.training) if self.dropout else update


class Stack(nn.Module):
    """A stack of blocks with the positional embeddings before it and the final norm after it."""

    def __init__(self, config: ModelConfig, layers: int, *, causal: bool, crosses: bool) -> None:
        super().__init__()
        self.config, self.is_causal, self.is_compiled = config, causal, False
        self.received_hidden: Tensor | None = None
        """Hidden states (B, T, D) from the previous pipeline stage; None: embed the ids."""
        self.recompute: Recompute = "none"
        self.restarts_positions = False
        """Whether rotary positions count from the start of each document, as a prefix needs that
        stands before all of them."""
        self.dropout = 0.0
        part, width, types = config.position, config.embedding_width, config.embedding.types
        length, kind = config.context_length + part.offset, part.kind
        self.embed_positions = _empty_embedding(length, width) if part.has_table else None
        self.embed_types = _empty_embedding(types, width) if types else None
        self.embed_norm = optional_norm(config.embedding.norm, config, width)
        is_narrow = config.embedding.width > 0
        self.embed_proj = empty_linear(width, config.width, True) if is_narrow else nn.Identity()
        self.relative = BucketBias(config) if kind == "buckets" and part.shared else None
        self.distances = DistanceTable(config) if kind == "disentangled" else None
        blocks = (TransformerBlock(config, i, crosses=crosses) for i in range(layers))
        self.layers = nn.ModuleList(blocks)
        self.norm = optional_norm(config.norm.place != "post", config)

    def run(
        self, hidden: Float[Tensor, "B T W"], context: Context, *,
        positions: Int[Tensor, "b T"] | None = None, types: Int[Tensor, "B T"] | None = None,
        states: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Hidden states after the final norm, from token embeddings of W features.

        states  receives the inputs of every block and the output
        """
        T, start = hidden.shape[1], 0 if context.cache is None else context.cache.length
        if self.received_hidden is None:
            hidden = self.add_positions(hidden, context, positions, types, start)
            hidden = F.dropout(hidden, self.dropout, self.training) if self.dropout else hidden
        context = self.with_positions(context, positions, start, hidden)
        for block in (block for block in self.layers for _ in range(self.config.repeats)):
            if states is not None:
                states.append(hidden)
            hidden = self.run_block(block, hidden, context)
        if context.cache is not None:
            context.cache.advance(T)
        hidden = self.norm(hidden)
        if states is not None:
            states.append(hidden)
        return hidden

    def run_block(
        self, block: nn.Module, hidden: Float[Tensor, "B T D"], context: Context
    ) -> Float[Tensor, "B T D"]:
        """Run a block, in training compiled and with recomputation as configured."""
        if not self.training:
            return block(hidden, context)
        kind = self.recompute
        if self.is_compiled:
            return compiled_block(kind)(block, hidden, context)
        return _run_checkpointed(TransformerBlock.__call__, kind, block, hidden, context)

    def add_positions(
        self, hidden: Float[Tensor, "B T W"], context: Context,
        positions: Int[Tensor, "b T"] | None, types: Int[Tensor, "B T"] | None, start: int,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Add position and type embeddings to token embeddings, then norm and project the sum."""
        T, has_table = hidden.shape[1], self.embed_positions is not None
        if has_table or self.config.position.kind == "sinusoidal":
            if positions is None:
                positions = positions_in_documents(context.mask.documents, start, T, hidden.device)
            if self.embed_positions is not None:
                offset = self.config.position.offset
                learned = embedding_lookup(self.embed_positions, positions, "Position", offset)
                hidden = hidden + learned
            else:
                exact = torch.promote_types(hidden.dtype, torch.float32)
                hidden = hidden + sinusoids(positions, self.config.width, exact).to(hidden.dtype)
        if self.embed_types is not None:
            first = torch.zeros(1, T, dtype=torch.long, device=hidden.device)
            types = first if types is None else types
            hidden = hidden + embedding_lookup(self.embed_types, types, "Type")
        return self.embed_proj(self.embed_norm(hidden))

    def with_positions(
        self, context: Context, positions: Int[Tensor, "b T"] | None, start: int,
        hidden: Float[Tensor, "B T D"],
    ) -> Context:  # fmt: skip
        """The context with the rotations or biases that all layers share."""
        config, T, dtype = self.config, hidden.shape[1], hidden.dtype
        if config.attention.temperature_length:
            own = positions
            if own is None:
                own = positions_in_documents(context.mask.documents, start, T, hidden.device)
            context = context._replace(temperature=query_temperature(own, config.attention, dtype))
        match config.position.kind:
            case "rope":
                if positions is None:  # only distances matter, so documents need no own positions
                    documents = context.mask.documents if self.restarts_positions else None
                    positions = positions_in_documents(documents, start, T, hidden.device)
                is_own = config.position.scaling.depends_on_length
                lengths = sequence_lengths(context, positions) if is_own else None
                rotation = get_rotation(config, positions, dtype, lengths=lengths)
                window_rotation = rotation
                if config.position.window_base is not None:
                    window_rotation = get_rotation(config, positions, dtype, is_window=True)
                return context._replace(rotation=rotation, window_rotation=window_rotation)
            case "alibi":
                keys = positions_in_documents(context.mask.documents, 0, start + T, hidden.device)
                return context._replace(bias=alibi_bias(config, keys, T, dtype))
            case "buckets" if self.relative is not None:
                bias = self.relative(T, start + T, causal=self.is_causal)
                return context._replace(bias=bias.to(dtype))
            case "disentangled":
                assert self.distances is not None, "disentangled positions have a table"
                return context._replace(distances=self.distances(T))
            case _:
                return context


class Transformer(Stack):
    """A decoder, an encoder, or an encoder–decoder."""

    def __init__(self, config: ModelConfig, seed: int | None = 0) -> None:
        """Build the model with weights drawn from `seed`; None leaves them uninitialised."""
        crosses = config.kind == "encoder_decoder"
        super().__init__(config, config.layers, causal=config.kind != "encoder", crosses=crosses)
        self.embed_tokens = _empty_embedding(config.vocab_size, config.embedding_width)
        self.encoder: Stack | None = None
        self.loss_terms = LossTerms()  # used in training only
        self.family = ""  # whose files it is of, which name its modules in adapters
        if crosses:
            self.encoder = Stack(config, config.encoder_layers, causal=False, crosses=False)
        has_transform = config.output.transform == "dense"
        self.transform = OutputTransform(config) if has_transform else nn.Identity()
        tied, bias = config.tied_embeddings, config.output.bias
        self.lm_head = None if tied else empty_linear(config.embedding_width, config.vocab_size)
        self.lm_bias = nn.Parameter(torch.zeros(config.vocab_size)) if bias else None
        if seed is not None:
            self.initialise(seed)

    @property
    def head(self) -> Float[Tensor, "V W"]:
        """The output embedding: the input one if they are tied."""
        weight = self.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        assert isinstance(weight, Tensor)
        return weight

    def forward(
        self, ids: Int[Tensor, "B T"], *, positions: Int[Tensor, "b T"] | None = None,
        cache: Cache | None = None, documents: Int[Tensor, "B T"] | None = None,
        types: Int[Tensor, "B T"] | None = None, prefix: Bool[Tensor, "B T"] | None = None,
        encoded: EncoderOutput | None = None, routing: list[Tensor] | None = None,
        states: list[Tensor] | None = None, branches: Branches | None = None,
    ) -> Float[Tensor, "B T D"]:  # fmt: skip
        """Hidden states after the final norm.

        positions  positions within the document; a batch size of 1 broadcasts. Default: rotary
                   positions count from the start of the sequence and the cache, as only distances
                   matter; learned and sinusoidal ones from the start of each document, whose
                   earlier tokens may be in the cache. Other kinds ignore them
        cache      keys and values of earlier calls; this call's are appended
        documents  document index of each token, -1 for padding; None: one document per sequence
        types      token type (segment) ids; None: 0
        prefix     mask of tokens that the whole document may attend to, earlier tokens included;
                   with a cache only in its first call
        encoded    the encoder's output; required in an encoder–decoder
        routing    receives the router logits (B * T, E) of each layer with experts
        states     receives the inputs of every block and the output
        branches   how each row forks, if it does; positions and documents are given, too

        Raises CapacityError if cache and ids exceed the context; ShapeError if tensors do not fit
        each other; ConfigError for a source without an encoder, an encoder–decoder without a
        source, a cache in an encoder, and types, a prefix or branches that this model does not
        support.
        """
        given = ForwardInputs(positions, documents, types, prefix, cache, encoded)
        check_inputs(self.config, ids, given)
        if branches is not None and not may_fork(self):
            raise ConfigError("This model's rows cannot fork: see may_fork; omit branches.")
        own = documents
        if cache is not None:
            documents = cache.begin(ids.shape[1], documents)
        if encoded is not None and encoded.documents is not None:
            queries = torch.zeros_like(ids) if own is None else own
            encoded = encoded._replace(query_documents=queries)
        mask = Mask(self.is_causal, documents=documents, prefix=prefix)
        own = {"cache": cache, "encoded": encoded, "branches": branches, "routing": routing}
        context = Context(mask, **own)
        hidden = self.embed(ids) if self.received_hidden is None else self.received_hidden
        return self.run(hidden, context, positions=positions, types=types, states=states)

    def encode(
        self, ids: Int[Tensor, "B S"], *, documents: Int[Tensor, "B S"] | None = None,
        routing: list[Tensor] | None = None, states: list[Tensor] | None = None,
    ) -> EncoderOutput:  # fmt: skip
        """Encode the source of an encoder–decoder; see `forward`.

        Raises ConfigError if there is no encoder, CapacityError if the source exceeds the context,
        ShapeError if documents do not fit the ids.
        """
        if self.encoder is None:
            what = f"This model is of kind {self.config.kind!r}; encode() needs an encoder_decoder"
            raise ConfigError(f"{what}: call the model itself.")
        check_ids(ids, documents)
        check_context_length(self.config, ids.shape[1])
        context = Context(Mask(causal=False, documents=documents), routing=routing)
        hidden = self.encoder.run(self.embed(ids), context, states=states)
        return EncoderOutput(hidden, documents)

    def logits(
        self, ids: Int[Tensor, "B T"], *, positions: Int[Tensor, "b T"] | None = None,
        cache: Cache | None = None, documents: Int[Tensor, "B T"] | None = None,
        prefix: Bool[Tensor, "B T"] | None = None, encoded: EncoderOutput | None = None,
        last_only: bool = False,
    ) -> Float[Tensor, "B t V"]:  # fmt: skip
        """Next-token logits at every position, or at the last one only; see `forward`."""
        given = {"documents": documents, "prefix": prefix, "encoded": encoded}
        hidden = self(ids, positions=positions, cache=cache, **given)  # (B, T, D)
        return self.project(hidden[:, -1:] if last_only else hidden)

    def project(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch V"]:
        """Logits of hidden states after the final norm; ConfigError if the model has none."""
        if not self.config.output.logits:
            what = "This encoder has no masked-LM head and so no logits: call the model itself for"
            raise ConfigError(f"{what} hidden states, or open the directory of a ...ForMaskedLM.")
        out = F.linear(self.output_states(hidden), self.head, self.lm_bias)
        return apply_softcap(out, self.config.output.softcap)

    def output_states(self, hidden: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch W"]:
        """The input of the output embedding: transformed and scaled hidden states."""
        scale, hidden = self.config.output.scale, self.transform(hidden)
        return hidden if scale == 1.0 else hidden * scale

    def embed(self, ids: Int[Tensor, "B T"]) -> Float[Tensor, "B T W"]:
        """Token embeddings, scaled."""
        scale, hidden = self.config.embedding.scale, embedding_lookup(self.embed_tokens, ids, "Id")
        if scale == 1.0:
            return hidden
        return hidden * torch.tensor(scale, dtype=hidden.dtype)  # rounded to the weights' dtype

    def initialise(self, seed: int) -> None:
        """Draw every matrix from `INITIAL_STD` with a generator of this seed; norms scale by 1."""
        generator = torch.Generator().manual_seed(seed)
        ordered = sorted(self.named_parameters(), key=lambda p: p[0] != "embed_tokens.weight")
        with torch.no_grad():
            for name, weight in ordered:  # the order decides the draws: token embedding first
                if name.endswith(("bias", "sinks")):
                    weight.zero_()
                elif weight.ndim == 1:
                    weight.fill_(0.0 if self.config.norm.zero_centred else 1.0)
                else:
                    drawn = torch.randn(weight.shape, generator=generator)
                    own = name.removesuffix(".weight").rpartition(".")[2]
                    share = _query_init_scale(self.config.attention) if own == "q_proj" else 1.0
                    weight.copy_(drawn * self.initial_std(own, weight.shape[-1]) * share)

    def initial_std(self, own: str, inputs: int) -> float:
        """Initial standard deviation of a matrix by its name."""
        if own == "embed_tokens" and (self.lm_head is not None or self.config.output.scale != 1.0):
            return 1.0
        return INITIAL_STD.get(own, 1 / math.sqrt(inputs))

    def compile_blocks(self) -> bool:
        """Compile the blocks for training; return whether that was possible.

        All layers share one compiled function, so compilation (about 10 s on two cores) happens
        once per shape, not per layer, and is cached for later processes. Without a C++ compiler
        this does nothing and returns False. Evaluation and cached calls, whose shapes vary, are
        never compiled; nor are experts, whose shapes depend on the router.
        """
        works = next(self.parameters()).device.type != "cpu" or bool(device.compiler())
        self.is_compiled = works and self.config.feedforward.experts is None
        if self.encoder is not None:
            self.encoder.is_compiled = self.is_compiled
        return self.is_compiled

    def recompute_blocks(self, kind: Recompute) -> None:
        """Enable activation checkpointing of the blocks in training.

        kind  none, selective or all: see `groundup.kernels.recompute`
        """
        self.recompute = kind
        if self.encoder is not None:
            self.encoder.recompute = kind

    def set_dropout(self, rate: float) -> None:
        """Set the dropout of embeddings and residual updates in training (Vaswani et al., §5.4)."""
        for module in self.modules():
            if isinstance(module, TransformerBlock | Stack):
                module.dropout = rate


def _query_init_scale(part: AttentionConfig) -> float:
    """Factor of the initial query projection, so that scores start at unit scale (T5).

    >>> _query_init_scale(AttentionConfig(head_dim=64, scale=1.0))
    0.125
    """
    return 1.0 if part.scale is None else 1 / (part.scale * math.sqrt(part.head_dim))


def _empty_embedding(size: int, width: int) -> nn.Embedding:
    return nn.Embedding(size, width, _weight=torch.empty(size, width))  # draws nothing


def _run_checkpointed(
    forward: Callable[..., Tensor], kind: Recompute, block: nn.Module, hidden: Tensor,
    context: Context,
) -> Tensor:  # fmt: skip
    """Run a block with activation checkpointing.

    The recomputation records no routing: the first pass did.
    """
    first = [context]

    def layer(hidden: Tensor) -> Tensor:
        return forward(block, hidden, first.pop() if first else context._replace(routing=None))

    return with_recompute(layer, kind)(hidden)


@functools.cache
def compiled_block(kind: Recompute = "none") -> Callable[..., Tensor]:
    """The compiled forward of a block; one code object serves every layer of every model."""
    if kind == "none":
        return compiled_once(TransformerBlock.forward)

    def forward(block: TransformerBlock, hidden: Tensor, context: Context) -> Tensor:
        return with_recompute(lambda hidden: block.forward(hidden, context), kind)(hidden)

    return compiled_once(forward)
