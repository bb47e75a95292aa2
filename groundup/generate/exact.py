"""Log-probabilities for training, with the bits that sampling on the native stack has.

Reinforcement learning compares the trainer's log-probabilities of an answer with the sampler's.
Where they differ by rounding, importance weights correct for a policy that never existed. Here both
come from the same code with sums in one order, and their difference is exactly zero. Gradients are
those of the model's own forward pass but for rounding; see `groundup.kernels.replay`.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from groundup.core import CapacityError, ConfigError, ShapeError
from groundup.kernels import (
    BlockCache,
    LayerProducts,
    LossSum,
    NativeStack,
    ReplayedProducts,
    complete_batch,
    document_starts,
    native_logprobs,
)
from groundup.model import NativeDecoder, PagedBatch, Transformer, supports
from groundup.train import MicroBatch

from .batching.native import fingerprint_weights


class ExactForward:
    """A model's forward pass in training, with the values that sampling has.

    Float32 decoders that the native stack computes, in one process, not compiled.
    """

    def __init__(self, model: Transformer, *, vocab_size: int | None = None) -> None:
        """Pack nothing yet; weights that an optimizer changes are packed again at the next call.

        vocab_size  ids that can be drawn: the tokenizer's, as in `Engine`; None: all

        Raises ConfigError for a model that cannot be computed so.
        """
        self.model, self.vocab_size = model, vocab_size
        self._decoder: NativeDecoder | None = None
        self._stack: NativeStack | None = None
        self._version: object = None
        self._check_model()

    def loss(self, model: nn.Module, batch: MicroBatch) -> LossSum:
        """Cross-entropy of the weighted targets, in nats: a loss for `groundup.train.train`.

        Raises ConfigError for another model, or a batch with a prefix, types or positions.
        """
        if model is not self.model:
            raise ConfigError("This loss belongs to another model: make an ExactForward of this.")
        if not (batch.prefix is batch.types is batch.positions is batch.source is None):
            raise ConfigError("Exact log-probabilities are of causal batches; use causal_batch.")
        logprobs = self.log_probs(
            batch.ids, batch.targets, documents=batch.documents, wanted=batch.weights != 0
        )
        return LossSum(-(batch.weights * logprobs).sum(), batch.weights.sum(dtype=torch.float64))

    def log_probs(
        self, ids: Int[Tensor, "B T"], targets: Int[Tensor, "B T"], *,
        documents: Int[Tensor, "B T"] | None = None, wanted: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T"]:  # fmt: skip
        """log p(target | ids so far) at each position, in nats, with gradients; 0 if not wanted.

        documents  number of each position's document, -1 for padding; each begins at position 0,
                   as if it were alone. None: each sequence is one document
        wanted     positions whose log-probabilities to compute; None: all but padding

        The logits of wanted positions are kept until backward, which runs once. Raises ConfigError
        for what cannot be computed so, ShapeError for shapes and ids that do not fit, CapacityError
        beyond the context.
        """
        self._check_model()
        context, length = self.model.config.context_length, ids.shape[1]
        if length > context:
            raise CapacityError(f"Rows of {length} tokens exceed the context of {context}.")
        starts, kept = document_starts(torch.zeros_like(ids) if documents is None else documents)
        stack, products, output = self._run_stack(ids, starts, kept)
        has_grad = torch.is_grad_enabled()
        states = self._replay(ids, documents, products, kept) if has_grad else output
        is_wanted = kept.view_as(ids) if wanted is None else wanted & kept.view_as(ids)
        rows = is_wanted.flatten()
        own = rows[kept]
        logprobs = native_logprobs(
            stack, output[own], states[rows if has_grad else own], targets.flatten()[rows],
            head=self.model.head, bias=self.model.lm_bias, vocab_size=self.vocab_size,
        )  # fmt: skip
        return logprobs.new_zeros(len(rows)).masked_scatter(rows, logprobs).view_as(ids)

    def answer_logprobs(
        self, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]]
    ) -> list[Float[Tensor, " n"]]:
        """Log-probability of each token of each answer: what sampling reported, with gradients.

        Raises ShapeError if a prompt or an answer is empty, and as `log_probs` does.
        """
        if not min(map(len, (*prompts, *answers)), default=0):
            raise ShapeError("Prompts and answers need at least one token each.")
        texts = [torch.tensor([*a, *b]) for a, b in zip(prompts, answers, strict=True)]
        ids = pad_sequence(texts, batch_first=True)  # (B, T + 1)
        at = torch.arange(ids.shape[1] - 1)
        ends = torch.tensor([len(each) - 1 for each in texts])[:, None]
        begins = torch.tensor([len(each) - 1 for each in prompts])[:, None]
        logprobs = self.log_probs(
            ids[:, :-1], ids[:, 1:], documents=torch.where(at < ends, 0, -1), wanted=at >= begins
        )
        return [
            row[first:end] for row, [first], [end] in
            zip(logprobs, begins.tolist(), ends.tolist(), strict=True)
        ]  # fmt: skip

    def _check_model(self) -> None:
        model = self.model
        weights = list(model.parameters())
        if not supports(model) or any(
            type(each) is not nn.Parameter or each.dtype != torch.float32 for each in weights
        ):
            raise ConfigError(
                "Exact log-probabilities need a float32 decoder on a CPU, in one process, that the "
                "native stack computes (groundup.model.supports); use the model's own forward pass."
            )
        if model.is_compiled or model.recompute != "none" or model.dropout:
            raise ConfigError(
                "Exact log-probabilities are of a model that is not compiled, recomputes nothing "
                "and has no dropout; turn these off."
            )
        if torch.is_autocast_enabled("cpu"):
            raise ConfigError("Exact log-probabilities are in float32; turn autocast off.")

    @torch.no_grad()
    def _run_stack(
        self, ids: Int[Tensor, "B T"], starts: Int[Tensor, " n"], kept: Bool[Tensor, " N"]
    ) -> tuple[NativeStack, list[LayerProducts], Tensor]:
        """The stack, the products of its layers, and the output of the last, of kept tokens."""
        batch = complete_batch(starts)
        decoder, stack = self._refresh(batch.blocks.shape[1], int(batch.blocks.max()) + 1)
        tokens = PagedBatch(
            ids.flatten()[kept], batch.positions, batch.starts, batch.blocks, batch.selected
        )
        output = decoder.embed(tokens)
        return stack, stack.run_with_products(output, batch), output

    def _refresh(self, longest: int, count: int) -> tuple[NativeDecoder, NativeStack]:
        """The packed weights and a stack with room for so many blocks of tokens."""
        version, decoder = fingerprint_weights(self.model), self._decoder
        if decoder is None:
            decoder = NativeDecoder(self.model, longest)
        elif self._version != version:
            decoder.refresh()
        if decoder.num_blocks < longest:
            decoder = decoder.resized(longest)
        stack, cache = self._stack, None if self._stack is None else self._stack.cache
        if cache is None or cache.num_blocks < count:
            cache = BlockCache(decoder.weights, count, torch.float32, is_shared=True)
        if stack is None or stack.cache is not cache or stack.weights is not decoder.weights:
            stack = NativeStack(decoder.weights, cache)
        self._decoder, self._stack, self._version = decoder, stack, version
        return decoder, stack

    def _replay(
        self, ids: Int[Tensor, "B T"], documents: Int[Tensor, "B T"] | None,
        products: list[LayerProducts], kept: Bool[Tensor, " N"],
    ) -> Float[Tensor, "N D"]:  # fmt: skip
        """The head's input by torch's forward pass, with the recorded products in it."""
        model, shape = self.model, (*ids.shape, -1)
        is_all = bool(kept.all())

        def on_all_rows(value: Tensor) -> Tensor:
            if is_all:
                return value.view(shape)
            full = value.new_zeros(len(kept), value.shape[1])
            full[kept] = value
            return full.view(shape)

        pairs = [
            (weight, on_all_rows(value))
            for block, own in zip(model.layers, products, strict=True)
            for weight, value in _split_products(block, own)
        ]
        products.clear()  # each is freed once it has been used
        with ReplayedProducts(pairs) as replay:
            hidden = model(ids, documents=documents)
        if replay.values:
            raise ConfigError(
                "Exact log-probabilities need the model's own linear layers; detach adapters, "
                "hooks and other wrappers of its weights."
            )
        return model.output_states(hidden).flatten(0, 1)


PRODUCTS = (
    ("attention.q_proj", "attention.k_proj", "attention.v_proj"),
    ("attention.o_proj",),
    ("feedforward.gate_proj", "feedforward.up_proj"),
    ("feedforward.down_proj",),
)
"""A block's linear layers whose outputs lie beside each other in each of `LayerProducts`."""


def _split_products(block: nn.Module, own: LayerProducts) -> Iterator[tuple[Tensor, Tensor]]:
    """The weight and the value of each linear layer of a block."""
    tensors = block.state_dict(keep_vars=True)
    for names, value in zip(PRODUCTS, own, strict=True):
        weights = [tensors[f"{name}.weight"] for name in names if f"{name}.weight" in tensors]
        yield from zip(weights, value.split([len(each) for each in weights], dim=1), strict=True)
