"""The batch engine of a model on the native stack, kept as long as its weights stay as they are."""

from collections.abc import Sequence

import torch

from groundup.kernels import BLOCK_TOKENS
from groundup.model import Bits, NativeDecoder, Transformer, supports

from .engine import BatchEngine
from .speculative import NgramDrafter

MIN_CACHE_POSITIONS, MAX_CACHE_POSITIONS = 2048, 32_768
"""Room for some prompts, so that later ones find earlier ones; and for all that decode together,
unless one needs more."""


class NativeEngine:
    """Makes the engine, and makes it anew when weights change or more room is needed."""

    def __init__(self, model: Transformer, bits: Bits | None = None) -> None:
        """Make nothing yet.

        bits  of the weights; default: the model's
        """
        self.model = model
        self.bits: Bits | None = bits
        self.decoder: NativeDecoder | None = None
        self.engine: BatchEngine | None = None
        self._version: object = None

    def with_room(self, lengths: Sequence[int], vocab_size: int) -> BatchEngine | None:
        """The engine with room for sequences of these lengths; None where it cannot run."""
        # Autocast asks for arithmetic in another dtype, which is torch's.
        if torch.is_autocast_enabled(self.model.head.device.type) or not supports(self.model):
            return None
        version = tuple((each.data_ptr(), each._version) for each in self.model.parameters())
        if self._version != version:
            self.engine, self._version = None, version
            if self.decoder is not None:
                self.decoder.refresh()
        tokens = max(*lengths, min(sum(lengths), MAX_CACHE_POSITIONS), MIN_CACHE_POSITIONS)
        num_blocks = -(-tokens // BLOCK_TOKENS)
        if self.decoder is None:
            self.decoder = NativeDecoder(self.model, num_blocks, bits=self.bits)
        elif self.decoder.num_blocks < num_blocks:  # whoever still reads keeps the former one
            self.decoder, self.engine = self.decoder.resized(num_blocks), None
        if self.engine is None or self.engine.vocab_size != vocab_size:
            self.engine = BatchEngine(self.decoder, vocab_size=vocab_size, drafter=NgramDrafter)
        return self.engine
