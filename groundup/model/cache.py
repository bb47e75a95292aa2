"""A contiguous key/value cache: the keys and values of all tokens so far, one tensor per layer.

It also holds the keys and values of an encoder's output, which are computed once. All sequences of
a batch have the same length; shorter prompts are padded on the left, with -1 in `documents`. Memory
for `capacity` tokens is allocated at once. Knows no ids and no text.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import CapacityError

from .config import ModelConfig


class KeysValues(NamedTuple):
    """Keys and values of all tokens so far."""

    keys: Tensor
    values: Tensor


class Cache:
    """Keys and values of a batch of sequences during generation."""

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        capacity: int,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        shape = (batch, config.attention.kv_heads, capacity, config.attention.head_dim)
        self.keys = [torch.zeros(shape, dtype=dtype, device=device) for _ in range(config.layers)]
        self.values = [torch.zeros_like(keys) for keys in self.keys]
        self.length, self.capacity = 0, capacity
        self.document_indices: Tensor | None = None
        self.encoder_keys_values: dict[int, KeysValues] = {}

    @property
    def documents(self) -> Int[Tensor, "B S"] | None:
        """Document index of every position so far, -1 for padding; None: one document."""
        return None if self.document_indices is None else self.document_indices[:, : self.length]

    @property
    def bytes(self) -> int:
        """Memory of the keys and values."""
        read = [tensor for pair in self.encoder_keys_values.values() for tensor in pair]
        return sum(t.numel() * t.element_size() for t in self.keys + self.values + read)

    def begin(self, tokens: int, documents: Int[Tensor, "B T"] | None) -> Int[Tensor, "B S"] | None:
        """Reserve space for a call's tokens; return the document indices that attention needs.

        Tokens without document indices belong to document 0.

        Raises CapacityError if the tokens do not fit.
        """
        end = self.length + tokens
        if end > self.capacity:
            raise CapacityError(
                f"The cache has capacity for {self.capacity} tokens and {end} are needed; "
                "increase it or shorten the prompt."
            )
        if documents is not None and self.document_indices is None:
            shape = (self.keys[0].shape[0], self.capacity)
            self.document_indices = torch.zeros(
                shape, dtype=documents.dtype, device=documents.device
            )
        if self.document_indices is None:
            return None
        self.document_indices[:, self.length : end] = 0 if documents is None else documents
        return self.document_indices[:, :end]

    def update(
        self, layer: int, k: Float[Tensor, "B G T K"], v: Float[Tensor, "B G T K"]
    ) -> KeysValues:
        """Write a layer's new keys and values; return all of them, as views (B, G, S, K)."""
        end = self.length + k.shape[2]
        self.keys[layer][:, :, self.length : end] = k
        self.values[layer][:, :, self.length : end] = v
        return KeysValues(self.keys[layer][:, :, :end], self.values[layer][:, :, :end])

    def once(self, layer: int, make: Callable[[], KeysValues]) -> KeysValues:
        """A layer's keys and values of an encoder's output; `make` runs only in the first call."""
        if layer not in self.encoder_keys_values:
            self.encoder_keys_values[layer] = make()
        return self.encoder_keys_values[layer]

    def advance(self, tokens: int) -> None:
        """Commit a call's tokens once every layer has written them."""
        self.length += tokens

    def truncate(self, length: int) -> None:
        """Discard everything from position `length` on."""
        self.length = min(self.length, length)

    def select(self, rows: Int[Tensor, " rows"]) -> None:
        """Keep these sequences of the batch, in this order, such as the unfinished ones."""
        self.keys = [keys[rows] for keys in self.keys]
        self.values = [values[rows] for values in self.values]
        self.encoder_keys_values = {
            layer: KeysValues(k[rows], v[rows])
            for layer, (k, v) in self.encoder_keys_values.items()
        }
        if self.document_indices is not None:
            self.document_indices = self.document_indices[rows]
