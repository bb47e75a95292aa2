"""The plainest paged decoder: a model's own forward pass on a copy of each sequence's blocks.

A reference for engines in float64, where it is the model's within 1e-12 however a prompt is cut.
"""

from itertools import pairwise

import torch

from groundup.kernels import BLOCK_TOKENS
from groundup.model import Cache, PagedShape


class PagedTransformer:
    """Fulfils `PagedDecoder`; sequences run alone."""

    def __init__(self, model, num_blocks):
        config, weight = model.config, model.head
        self.model, self.config, self.num_blocks = model, config, num_blocks
        self.shape = PagedShape.of(config)
        heads, *features = config.attention.cache_row
        shapes = [(num_blocks, heads, BLOCK_TOKENS, width) for width in features]
        self.keys, self.values = (
            [torch.zeros(shape, dtype=weight.dtype) for _ in range(config.layers)]
            for shape in shapes
        )

    def copy_block(self, source, target):
        for tensor in self.keys + self.values:
            tensor[target] = tensor[source]

    def run(self, batch):
        states = []
        for i, (first, end) in enumerate(pairwise(batch.starts.tolist())):
            past = int(batch.positions[first])
            hidden = self.run_sequence(batch.ids[first:end].long(), past, batch.blocks[i].long())
            own = batch.selected[(batch.selected >= first) & (batch.selected < end)] - first
            states.append(hidden[own.long()])
        return self.model.project(torch.cat(states))

    def run_sequence(self, ids, past, blocks):
        config, end = self.config, past + len(ids)
        cache = Cache(config, 1, end, self.keys[0].dtype)
        blocks = blocks[: -(-end // BLOCK_TOKENS)]
        pairs = list(zip(self.keys + self.values, cache.keys + cache.values, strict=True))
        for kept, own in pairs:
            own[0, :, :past] = kept[blocks].transpose(0, 1).flatten(1, 2)[:, :past]
        cache.length = past
        is_prefix = config.prefix and past == 0
        prefix = torch.ones_like(ids[None], dtype=torch.bool) if is_prefix else None
        hidden = self.model(ids[None], cache=cache, prefix=prefix)
        places = torch.arange(past, end)
        slots, rows = blocks[places // BLOCK_TOKENS], places % BLOCK_TOKENS
        for kept, own in pairs:
            kept[slots, :, rows] = own[0, :, past:].transpose(0, 1)
        return hidden[0]
