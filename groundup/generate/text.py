"""Incremental detokenization: a character split over two tokens waits for its last byte.

A byte-level token may end inside a character. Decoded alone, both halves would be U+FFFD, so the
first half is held back; an incomplete last character is dropped. Each token is decoded after its
predecessor, because some tokenizers drop a leading space.
"""

import codecs
from collections.abc import Iterable

from groundup.core import Tokenizer


class IncrementalDetokenizer:
    """Decodes a stream of tokens."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.specials = frozenset(tokenizer.specials.values())
        self.last: list[int] = []
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token: int) -> str:
        """Text that this token completes; special tokens have none."""
        if token in self.specials:
            return ""
        num_bytes = len(self.tokenizer.decode_bytes(self.last))
        after = self.tokenizer.decode_bytes([*self.last, token])[num_bytes:]
        self.last = [token]
        return self.decoder.decode(after)


def decode_text(ids: Iterable[int], tokenizer: Tokenizer) -> str:
    """Text of all tokens at once, equal to the joined output of `IncrementalDetokenizer`."""
    specials = frozenset(tokenizer.specials.values())
    data = tokenizer.decode_bytes([token for token in ids if token not in specials])
    return codecs.getincrementaldecoder("utf-8")(errors="replace").decode(data)
