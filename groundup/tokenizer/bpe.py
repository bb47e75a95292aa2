"""Byte-pair encoding as a readable reference: learn merges, encode, decode.

A pattern splits text into pieces (words, digits, runs of spaces); merges never cross pieces. A
piece starts as single bytes. Training repeatedly merges the most frequent adjacent pair; encoding
applies the merges in the order in which they were learned.

    "aaabdaaabac"  a a a b d a a a b a c     256 single bytes
     merge a+a     aa a b d aa a b a c       (a, a) was seen 4 times
     merge a+b     aa ab d aa ab a c         2 times, as (aa, a) was: older tokens win a tie
     merge aa+ab   aaab d aaab a c

Merges and ids equal those of Hugging Face `tokenizers` (BpeTrainer over ByteLevel), ties included.
fast.py produces the same ids a hundred times faster. Special tokens are added there. Source: Gage
1994; Sennrich et al. 2016, arXiv:1508.07909; bytes instead of characters: GPT-2.

Special tokens come in named sets, by purpose. They have the last ids of a vocabulary, in the order
of the configuration: appending a set does not change the ids of earlier ones.

    chat       ends of documents and turns; in every groundup vocabulary
    encoder    [MASK] hides a token, [CLS] represents a text, [SEP] ends each of two
    sentinels  <extra_id_0> … <extra_id_99> replace the spans that T5 removes
    middle     prefix, middle and suffix for fill-in-the-middle

Source of the sets: BERT: arXiv:1810.04805; T5: arXiv:1910.10683; fill-in-the-middle: Bavarian et
al. 2022, arXiv:2207.14255, spelled as in Qwen's vocabularies.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import regex

from groundup.core import ConfigError, DataError

PATTERNS = {
    # The names are llama.cpp's (`tokenizer.ggml.pre`) for the same expressions.
    "qwen2": (
        r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
        r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+"
    ),
    "gpt-2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
}

Pair = tuple[int, int]


def byte_to_character() -> dict[int, str]:
    """Map each byte to the printable character that represents it in tokenizer files.

    Printable Latin-1 represents itself; the other 68 bytes follow as U+0100, U+0101, … The order of
    the map is the order of the first 256 ids.

    >>> byte_to_character()[ord("A")], byte_to_character()[ord(" ")]
    ('A', 'Ġ')
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    shown = {byte: chr(byte) for byte in printable}
    return shown | {byte: chr(256 + index) for index, byte in enumerate(others)}


BYTE_TOKENS = tuple(bytes([byte]) for byte in byte_to_character())
BYTE_IDS = {token[0]: place for place, token in enumerate(BYTE_TOKENS)}


def well_formed(text: str) -> str:
    r"""Make a text encodable in UTF-8: join surrogate pairs, replace lone surrogates by U+FFFD.

    >>> well_formed("a\ud83d\ude00b\ud800") == "a😀b\ufffd"
    True
    """
    try:
        text.encode("utf-8")
        return text
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def compile_splitter(pattern: str) -> "regex.Pattern[str]":
    """Compile a splitting pattern by name; ConfigError lists the names."""
    if pattern not in PATTERNS:
        raise ConfigError(f"pattern={pattern!r} is not known; choose {' or '.join(PATTERNS)}.")
    return regex.compile(PATTERNS[pattern])


def _count_pieces(texts: Iterable[str], pattern: str) -> dict[bytes, int]:
    """Count each distinct piece: BPE needs nothing else of a corpus."""
    cut, counts = compile_splitter(pattern), Counter[str]()
    for text in texts:
        counts.update(cut.findall(well_formed(text)))
    return {piece.encode("utf-8"): count for piece, count in counts.items()}


class MergeState(NamedTuple):
    """The corpus during training: distinct pieces, pair counts and pair positions."""

    ids: list[list[int]]
    """Token ids of each piece so far."""
    counts: list[int]
    """Number of occurrences of each piece in the corpus."""
    pair_counts: dict[Pair, int]
    """Number of occurrences of each adjacent pair in the corpus."""
    pieces_with_pair: dict[Pair, set[int]]
    """Indices of pieces in which a pair occurs, or once occurred."""

    @classmethod
    def from_counts(cls, piece_counts: dict[bytes, int]) -> "MergeState":
        """Start from single bytes."""
        pieces = cls([], [], defaultdict(int), defaultdict(set))
        for index, (piece, count) in enumerate(piece_counts.items()):
            pieces.ids.append([BYTE_IDS[byte] for byte in piece])
            pieces.counts.append(count)
            for pair in pairwise(pieces.ids[-1]):
                pieces.pair_counts[pair] += count
                pieces.pieces_with_pair[pair].add(index)
        return pieces

    def merge(self, pair: Pair, new_id: int) -> set[Pair]:
        """Replace a pair by the id `new_id` everywhere; return the new pairs."""
        created: set[Pair] = set()
        for index in self.pieces_with_pair.pop(pair):
            count, old = self.counts[index], self.ids[index]
            joined = _merge_pair(old, pair, new_id)
            for pair_before in pairwise(old):
                self.pair_counts[pair_before] -= count
            for pair_after in pairwise(joined):
                self.pair_counts[pair_after] += count
                if new_id in pair_after:
                    self.pieces_with_pair[pair_after].add(index)
                    created.add(pair_after)
            self.ids[index] = joined
        return created


def _merge_pair(ids: list[int], pair: Pair, new_id: int) -> list[int]:
    """Replace every occurrence of a pair, from left to right, by one id.

    >>> _merge_pair([1, 1, 1, 2], (1, 1), 9)
    [9, 1, 2]
    """
    joined: list[int] = []
    first, second = pair
    index, last = 0, len(ids) - 1
    while index <= last:
        if ids[index] == first and index < last and ids[index + 1] == second:
            joined.append(new_id)
            index += 2
        else:
            joined.append(ids[index])
            index += 1
    return joined


def train_bpe(
    texts: Iterable[str], vocab_size: int, pattern: str = "qwen2"
) -> list[tuple[bytes, bytes]]:
    """Learn merges until there are `vocab_size` tokens, the 256 bytes included.

    The most frequent pair is merged first; ties go to the lower ids. Fewer merges are returned when
    every piece has become one token.

    >>> train_bpe(["aaabdaaabac"], 259)
    [(b'a', b'a'), (b'a', b'b'), (b'aa', b'ab')]

    Raises ConfigError for a size below 256 or an unknown pattern.
    """
    if vocab_size < len(BYTE_TOKENS):
        raise ConfigError(f"vocab_size={vocab_size} must be at least 256, for all bytes; try 4096.")
    pieces = MergeState.from_counts(_count_pieces(texts, pattern))
    tokens, merges = list(BYTE_TOKENS), list[tuple[bytes, bytes]]()
    heap = [(-count, pair) for pair, count in pieces.pair_counts.items()]
    heapq.heapify(heap)
    while heap and len(tokens) < vocab_size:
        count, pair = heapq.heappop(heap)
        if -count != pieces.pair_counts[pair]:  # stale: other merges took some of its occurrences
            if pieces.pair_counts[pair] > 0:
                heapq.heappush(heap, (-pieces.pair_counts[pair], pair))
            continue
        for new_pair in pieces.merge(pair, len(tokens)):
            heapq.heappush(heap, (-pieces.pair_counts[new_pair], new_pair))
        merges.append((tokens[pair[0]], tokens[pair[1]]))
        tokens.append(b"".join(merges[-1]))
    return merges


class ReferenceBPE:
    """Encode and decode by merges; the reference against which fast.py is tested.

    >>> pairs = ReferenceBPE([(b"a", b"a"), (b"a", b"b"), (b"aa", b"ab")])
    >>> [pairs.tokens[id] for id in pairs.encode("aaabdaaabac")]
    [b'aaab', b'd', b'aaab', b'a', b'c']
    >>> pairs.decode(pairs.encode("any text ☃")).decode()
    'any text ☃'

    Raises DataError for a merge whose tokens no earlier merge produces.
    """

    def __init__(self, merges: Iterable[tuple[bytes, bytes]], pattern: str = "qwen2") -> None:
        self.merges = list(merges)
        self.ranks = {pair: rank for rank, pair in enumerate(self.merges)}
        self.splitter = compile_splitter(pattern)
        self.ids = {token: id for id, token in enumerate(BYTE_TOKENS)}
        for rank, (left, right) in enumerate(self.merges):
            if left not in self.ids or right not in self.ids:
                what = f"merge {rank} joins {left!r} and {right!r}, but no earlier merge makes one"
                raise DataError(f"{what} of them; give the merges in the order of learning.")
            self.ids.setdefault(left + right, len(self.ids))
        self.tokens = list(self.ids)

    def merge_piece(self, piece: bytes, limit: int | None = None) -> list[bytes]:
        """Apply the first `limit` merges to a piece: lowest rank first, then leftmost."""
        limit = len(self.merges) if limit is None else limit
        parts = [piece[index : index + 1] for index in range(len(piece))]
        while len(parts) > 1:
            ranks = [self.ranks.get(pair, limit) for pair in pairwise(parts)]
            rank = min(ranks)
            if rank >= limit:
                break
            index = ranks.index(rank)
            parts[index : index + 2] = [parts[index] + parts[index + 1]]
        return parts

    def encode(self, text: str) -> list[int]:
        """Ids of a text; a lone surrogate counts as U+FFFD."""
        pieces = [piece.encode("utf-8") for piece in self.splitter.findall(well_formed(text))]
        return [self.ids[part] for piece in pieces for part in self.merge_piece(piece)]

    def decode(self, ids: Iterable[int]) -> bytes:
        """Bytes of the ids."""
        return b"".join(self.tokens[id] for id in ids)


DOCUMENT_END = "<|endoftext|>"
SPECIALS = (DOCUMENT_END, "<|im_start|>", "<|im_end|>")
MASK, CLS, SEPARATOR = "[MASK]", "[CLS]", "[SEP]"
SENTINELS = tuple(f"<extra_id_{number}>" for number in range(100))
PREFIX, MIDDLE, SUFFIX = "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>"
SPECIAL_SETS: dict[str, tuple[str, ...]] = {
    "chat": SPECIALS,
    "encoder": (MASK, CLS, SEPARATOR),
    "sentinels": SENTINELS,
    "middle": (PREFIX, MIDDLE, SUFFIX),
}
"""Sets that a tokenizer configuration can name."""


def expand_special_sets(specials: Iterable[str]) -> tuple[str, ...]:
    """Special tokens with the names of sets expanded.

    >>> expand_special_sets(["chat", "encoder"])
    ('<|endoftext|>', '<|im_start|>', '<|im_end|>', '[MASK]', '[CLS]', '[SEP]')
    >>> expand_special_sets(["<|mine|>"])
    ('<|mine|>',)
    """
    return tuple(name for each in specials for name in SPECIAL_SETS.get(each, (each,)))
