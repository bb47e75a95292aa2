"""The text of an answer as it comes: characters of several tokens, and what ends it.

Nothing here computes, so a process that only talks can import it in a moment.
"""

import codecs
from collections.abc import Callable, Iterable, Sequence

from groundup.core import Sampling, Tokenizer

Decode = Callable[[Sequence[int]], str]
"""Text of ids, in which stop strings are searched."""


def find_stop(text: str, until: Sequence[str]) -> int | None:
    """Position of the first stop string; None if there is none.

    >>> find_stop("one two three", ["three", "two", ""])
    4
    """
    positions = [text.find(stop) for stop in until if stop]
    return min((position for position in positions if position >= 0), default=None)


def stop_position(ids: Sequence[int], sampling: Sampling, decode: Decode) -> int | None:
    """Position in a text of the stop string that ends it: the first after `min_tokens`, if any."""
    if not sampling.stop or len(ids) < sampling.min_tokens:
        return None
    begin = len(decode(ids[: sampling.min_tokens - 1])) if sampling.min_tokens > 1 else 0
    at = find_stop(decode(ids)[begin:], sampling.stop)
    return None if at is None else begin + at


class StopBuffer:
    """Streams a text up to a stop string, of which no part is let through."""

    def __init__(self, stop: Sequence[str]) -> None:
        self.stop, self.held = stop, ""

    def add(self, text: str) -> str:
        """What can be shown after a further piece: all but what may begin a stop string.

        >>> buffer = StopBuffer(["END"])
        >>> buffer.add("the E"), buffer.add("ast, EN"), buffer.add("D. More")
        ('the ', 'East, ', '')
        """
        self.held += text
        at = find_stop(self.held, self.stop)
        if at is None:
            begins = range(
                max(0, len(self.held) - max(map(len, self.stop), default=0)), len(self.held)
            )
            at = next(
                (i for i in begins if any(s.startswith(self.held[i:]) for s in self.stop)),
                len(self.held),
            )
        shown, self.held = self.held[:at], self.held[at:]
        return shown


class IncrementalDetokenizer:
    """Decodes a stream of tokens.

    A byte-level token may end inside a character: its first half is held back, and an incomplete
    last character is dropped. Each token is decoded after its predecessor, because some tokenizers
    drop a leading space.
    """

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


class TextStream:
    """The text of an answer, token by token, up to the stop string that ends it."""

    def __init__(self, tokenizer: Tokenizer, sampling: Sampling) -> None:
        self.sampling, self.count = sampling, 0
        self.pieces, self.buffer = IncrementalDetokenizer(tokenizer), StopBuffer(sampling.stop)

    def add(self, token: int, is_last: bool) -> str:
        """Text that a token completes and that can begin no stop string."""
        self.count += 1
        text = "" if token in self.sampling.stop_tokens else self.pieces.add(token)
        if self.count >= self.sampling.min_tokens:
            text = self.buffer.add(text)
        if is_last and find_stop(self.buffer.held, self.sampling.stop) is None:
            text += self.buffer.held
        return text


def decode_text(ids: Iterable[int], tokenizer: Tokenizer) -> str:
    """Text of all tokens at once, equal to the joined output of `IncrementalDetokenizer`."""
    specials = frozenset(tokenizer.specials.values())
    data = tokenizer.decode_bytes([token for token in ids if token not in specials])
    return codecs.getincrementaldecoder("utf-8")(errors="replace").decode(data)
