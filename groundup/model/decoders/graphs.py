"""A decoding step whose tensors stay in place, so that CUDA replays it as one graph.

    GraphStep(model, cache, positions).run(ids)      hidden states; the cache grows by a token

Launching its kernels one by one takes a step of a small model longer than computing them. The
number of the column that a step writes lies on the device; all columns up to the capacity are read,
and those that are not written yet are hidden. `Transformer.forward` is the reference. Tests compare
the step on CPUs and see that nothing waits for the device; no GPU has captured it yet.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from groundup.kernels import Mask, ScoreOptions

from ..attention import Cache, Context, KeysValues
from ..transformer import Transformer, TransformerBlock, has_adapters

POSITIONS, PATTERNS = ("rope", "learned", "none"), ("full", "window")
WARM_UP_RUNS = 3


def fits_graph(model: Transformer) -> bool:
    """Whether a step's shapes depend on no number: dense decoders without biases or adapters."""
    config = model.config
    return (
        config.kind == "decoder" and not config.prefix and config.feedforward.experts is None
        and config.position.kind in POSITIONS and config.attention.softcap is None
        and not config.attention.sinks and config.attention.latent is None
        and all(each.kind in PATTERNS for each in config.attention.patterns)
        and not has_adapters(model)
    )  # fmt: skip


class _FixedCache(Cache):
    """The memory of a cache, written at a column that lies on the device."""

    def __init__(self, cache: Cache) -> None:
        self.keys, self.values, self.length = cache.keys, cache.values, 0
        self.document_indices, self.capacity = cache.document_indices, cache.capacity
        device = self.keys[0].device
        self.columns = torch.arange(cache.capacity, device=device)
        self.column = torch.tensor([cache.length], device=device)

    def update(
        self, layer: int, k: Float[Tensor, "B G 1 K"], v: Float[Tensor, "B G 1 K"]
    ) -> KeysValues:
        """Write a layer's new keys and values; return all columns."""
        pair = KeysValues(self.keys[layer], self.values[layer])
        for kept, new in zip(pair, (k, v), strict=True):
            kept.index_copy_(2, self.column, new)
        return pair

    def advance(self, tokens: int) -> None:
        """Nothing: the column is moved between runs, as runs before a capture repeat a step."""

    def attend(
        self, q: Float[Tensor, "B H 1 K"], k: Float[Tensor, "B G C K"],
        v: Float[Tensor, "B G C K"], *, mask: Mask, scores: ScoreOptions,
    ) -> Float[Tensor, "B H 1 K"]:  # fmt: skip
        """Attention to the columns that are written, within the layer's window."""
        seen = self.columns <= self.column
        if mask.pattern.kind == "window":
            seen = seen & (self.columns > self.column - mask.pattern.window)
        seen = seen[None] if self.document_indices is None else seen & (self.document_indices >= 0)
        folded = q.unflatten(1, (k.shape[1], -1)).flatten(2, 3)  # heads of a key head are queries
        out = scaled_dot_product_attention(
            folded, k, v, attn_mask=seen[:, None, None], scale=scores.scale
        )
        return out.flatten(1, 2)[:, :, None]


class GraphStep:
    """Steps of one token for each sequence of a cache."""

    def __init__(self, model: Transformer, cache: Cache, positions: Int[Tensor, " B"]) -> None:
        """Begin behind what the cache holds; `positions` are those of the next tokens."""
        self.model, self.cache, self.fixed = model, cache, _FixedCache(cache)
        self.positions, self.length = positions[:, None].clone(), cache.length
        self.ids = torch.zeros_like(self.positions)
        self.graph: torch.cuda.CUDAGraph | None = None
        self.hidden = torch.empty(0)

    def run(self, ids: Int[Tensor, "B 1"]) -> Float[Tensor, "B 1 D"]:
        """Append a token to each sequence; its hidden state. CapacityError if it does not fit."""
        self.cache.begin(1, None)
        self.ids.copy_(ids)
        if self.ids.device.type == "cuda":
            self._replay()
        else:
            self.hidden = self.compute()
        self.cache.advance(1)
        self.length += 1
        self.fixed.column += 1
        self.positions += 1
        return self.hidden.clone()

    @property
    def is_current(self) -> bool:
        """Whether the cache ends where the last run left it."""
        return self.length == self.cache.length

    def compute(self) -> Float[Tensor, "B 1 D"]:
        """The step, whose kernels a graph records."""
        blocks = [each for each in self.model.layers if isinstance(each, TransformerBlock)]
        plain = [block.attention.attend for block in blocks]
        for block in blocks:
            block.attention.attend = self.fixed.attend
        try:
            context = Context(cache=self.fixed)
            return self.model.run(self.model.embed(self.ids), context, positions=self.positions)
        finally:
            for block, attend in zip(blocks, plain, strict=True):
                block.attention.attend = attend

    def _replay(self) -> None:
        if self.graph is None:
            beside = torch.cuda.Stream()
            beside.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(beside):
                for _ in range(WARM_UP_RUNS):
                    self.compute()
            torch.cuda.current_stream().wait_stream(beside)
            self.graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(self.graph):
                self.hidden = self.compute()
        self.graph.replay()
