"""The batch engine of a model on the native stack, kept as long as its weights stay as they are."""

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from groundup.kernels import BLOCK_TOKENS
from groundup.model import Bits, NativeDecoder, Transformer, supports

from .engine import BatchEngine
from .speculative import NgramDrafter

MIN_CACHE_POSITIONS, MAX_CACHE_POSITIONS = 2048, 32_768
"""Room for some prompts, so that later ones find earlier ones; and for all that decode together,
unless one needs more."""


class NativeEngine:
    """Makes the engine, and makes it anew when weights change or more room is needed.

    Whoever computes holds `lock`: the stack's kernels run for one caller at a time.
    """

    def __init__(self, model: Transformer, bits: Bits | None = None) -> None:
        """Make nothing yet.

        bits  of the weights; default: the model's
        """
        self.model = model
        self.bits: Bits | None = bits
        self.decoder: NativeDecoder | None = None
        self.engine: BatchEngine | None = None
        self._version: object = None
        self.lock = threading.RLock()

    def with_room(self, lengths: Sequence[int], vocab_size: int) -> BatchEngine | None:
        """The engine with room for sequences of these lengths; None where it cannot run."""
        # Autocast asks for arithmetic in another dtype, which is torch's.
        if torch.is_autocast_enabled(self.model.head.device.type) or not supports(self.model):
            return None
        with self.lock:
            is_busy = self.engine is not None and not self.engine.is_idle
            version = fingerprint_weights(self.model)
            if self._version != version:
                self.engine, self._version = None, version
                if is_busy:  # whoever still reads keeps the former weights and cache
                    self.decoder, is_busy = None, False
                elif self.decoder is not None:
                    self.decoder.refresh()
            tokens = max(*lengths, min(sum(lengths), MAX_CACHE_POSITIONS), MIN_CACHE_POSITIONS)
            num_blocks = -(-tokens // BLOCK_TOKENS)
            if self.decoder is None:
                self.decoder = NativeDecoder(self.model, num_blocks, bits=self.bits)
            needs_engine = self.engine is None or self.engine.vocab_size != vocab_size
            if self.decoder.num_blocks < num_blocks or (needs_engine and is_busy):
                size = max(num_blocks, self.decoder.num_blocks)
                self.decoder, needs_engine = self.decoder.resized(size), True
            if needs_engine:
                self.engine = BatchEngine(
                    self.decoder, vocab_size=vocab_size, drafter=NgramDrafter, lock=self.lock
                )
            assert self.engine is not None, "made above"
            return self.engine


SAMPLED = 64
"""Numbers of each weight that are compared: an optimizer's step changes nearly all of them."""


@torch.no_grad()
def fingerprint_weights(model: Transformer) -> object:
    """What changes when weights do: their places, versions and some of their numbers.

    Fused optimizers and writes through `.data` count no version.
    """
    weights = [each.detach() for each in model.parameters()]
    some = [each.view(-1)[:: max(1, each.numel() // SAMPLED)].float() for each in weights]
    versions = tuple(0 if each.is_inference() else each._version for each in weights)
    return tuple(map(Tensor.data_ptr, weights)), versions, torch.cat(some).numpy().tobytes()
