"""Text of generated tokens as they come: characters whose bytes are split wait for the rest.

A byte-level token may end inside a character. Decoded alone, both halves would be U+FFFD; here the
first half is kept back. A last character that never became whole is left out. A token is decoded
after the one before it: some tokenizers drop a space at the beginning of what they decode.
"""

import codecs
from collections.abc import Iterable

from groundup.core import Tokenizer


class Pieces:
    """Decodes one token after the other."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.specials = frozenset(tokenizer.specials.values())
        self.last: list[int] = []
        self.decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def add(self, token: int) -> str:
        """Text that became whole with this token; special tokens have none."""
        if token in self.specials:
            return ""
        known = len(self.tokenizer.decode_bytes(self.last))
        after = self.tokenizer.decode_bytes([*self.last, token])[known:]
        self.last = [token]
        return self.decoder.decode(after)


def text_of(ids: Iterable[int], tokenizer: Tokenizer) -> str:
    """Text of all tokens: what `Pieces` gives one by one, joined."""
    specials = frozenset(tokenizer.specials.values())
    whole = tokenizer.decode_bytes([token for token in ids if token not in specials])
    return codecs.getincrementaldecoder("utf-8")(errors="replace").decode(whole)
