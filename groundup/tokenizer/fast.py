"""The default tokenizer: the ids of bpe.py, encoded by compiled code.

Encoding uses compiled.py (C++) or, without a compiler, tiktoken. tiktoken merges the neighbours
whose *merged token* has the lowest id; bpe.py and `tokenizers` those whose *merge* has the lowest
rank. The two agree on every text if and only if each token has one merge, and applying the earlier
merges to the token's own bytes ends in that merge's two halves. Trained merges always satisfy this;
imported ones may not and are then encoded by `tokenizers`, which is slower but correct. Special
tokens have the last ids and never result from text.
"""

import json
import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, pairwise

import numpy as np
import tiktoken
import tokenizers
from jaxtyping import Int

from groundup.core import ConfigError, DataError, device, digest

from . import compiled
from .bpe import PATTERNS, SPECIALS, ReferenceBPE, byte_to_character, well_formed
from .imported.content import added_token, byte_level_steps

MIN_COMPILED_CHARACTERS = 256
"""Minimum number of characters for which a call into C++ pays off."""
MAX_SPACE_RUN = 500_000
"""Maximum run of white space passed to tiktoken: its splitter panics at 999,999 characters."""
UNDECODABLE = re.compile("([\udc80-\udcff]+)")
"""Bytes that are not UTF-8, as decoded by `surrogateescape`."""


class FastTokenizer:
    """Byte-level BPE; implements the Tokenizer protocol.

    >>> tokenizer = FastTokenizer([(b"a", b"b"), (b"ab", b"c")])
    >>> tokenizer.vocab_size, tokenizer.specials["<|im_end|>"]
    (261, 260)
    >>> [tokenizer.decode([id]) for id in tokenizer.encode("abcab!")]
    ['abc', 'ab', '!']

    Raises ConfigError for an unknown pattern or an empty or duplicate special token.
    """

    def __init__(
        self,
        merges: Iterable[tuple[bytes, bytes]],
        pattern: str = "qwen2",
        specials: Sequence[str] = SPECIALS,
    ) -> None:
        self.reference = ReferenceBPE(merges, pattern)
        self.pattern = pattern
        if len(set(specials)) != len(specials) or not all(specials):
            raise ConfigError(f"specials={list(specials)} must be distinct, non-empty texts.")
        tokens = self.reference.tokens
        self.special_ids = {name: len(tokens) + index for index, name in enumerate(specials)}
        self._tiktoken = tiktoken.Encoding(
            "groundup",
            pat_str=PATTERNS[pattern],
            mergeable_ranks=self.reference.ids,
            special_tokens=self.special_ids,
        )

    @property
    def vocab_size(self) -> int:
        """Number of ids, special tokens included."""
        return len(self.reference.tokens) + len(self.special_ids)

    @property
    def specials(self) -> dict[str, int]:
        """Special token text to id."""
        return dict(self.special_ids)

    @property
    def merges(self) -> list[tuple[bytes, bytes]]:
        """The merges in the order in which they were learned."""
        return self.reference.merges

    @property
    def digest(self) -> str:
        """sha256 hex of pattern, merges and special tokens: equal digests give equal ids."""
        return self._digest

    @cached_property
    def _digest(self) -> str:
        merges = [[left.hex(), right.hex()] for left, right in self.merges]
        return digest([PATTERNS[self.pattern], merges, self.special_ids])

    @cached_property
    def is_tiktoken_exact(self) -> bool:
        """Whether tiktoken gives the same ids on every text (see the module docstring)."""
        reference = self.reference
        return len(reference.tokens) == 256 + len(reference.merges) and all(
            reference.merge_piece(left + right, limit=rank) == [left, right]
            for rank, (left, right) in enumerate(reference.merges)
        )

    @cached_property
    def _compiled(self) -> compiled.CompiledEncoder | None:
        library = compiled.load_bpe_library()
        return None if library is None else compiled.CompiledEncoder(self.reference, self.pattern)

    @cached_property
    def _tokenizers(self) -> tokenizers.Tokenizer:
        """The same tokenizer in Hugging Face's library, without special tokens."""
        content = to_tokenizer_json(self) | {"added_tokens": []}
        return tokenizers.Tokenizer.from_str(json.dumps(content))

    def special_id(self, name: str) -> int:
        """Id of a special token; ConfigError lists the existing ones."""
        if name not in self.special_ids:
            known = ", ".join(self.specials)
            raise ConfigError(f"The tokenizer has no special token {name!r}; it has {known}.")
        return self.special_ids[name]

    def encode(self, text: str) -> list[int]:
        """Ids of a text; special tokens written in it are plain text.

        Surrogate pairs are joined and a lone surrogate becomes U+FFFD: `decode` returns
        `well_formed(text)`.
        """
        if len(text) >= MIN_COMPILED_CHARACTERS and self._compiled is not None:
            return self._compiled.encode([text])[0].tolist()
        text = well_formed(text)
        if self.is_tiktoken_exact and not _has_long_space_run(text):
            return self._tiktoken.encode_ordinary(text)
        return self._tokenizers.encode(text, add_special_tokens=False).ids

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Ids of many texts, in order."""
        return [row.tolist() for row in self.encode_arrays(texts)]

    def encode_arrays(self, texts: Sequence[str]) -> list[Int[np.ndarray, "..."]]:
        """Ids of many texts as arrays, in order, on all cores."""
        if self._compiled is not None:
            return self._compiled.encode(texts, device.available_cores())
        return [np.array(self.encode(text), np.int32) for text in texts]

    def encode_bytes(self, content: bytes) -> list[int]:
        r"""Ids of arbitrary bytes; `decode_bytes` returns exactly these bytes.

        UTF-8 parts get the ids of their text, other bytes one id each.

        >>> tokenizer = FastTokenizer([])
        >>> tokenizer.decode_bytes(tokenizer.encode_bytes(b"caf\xc3\xa9 \xff\x00"))
        b'caf\xc3\xa9 \xff\x00'
        """
        ids: list[int] = []
        for index, part in enumerate(UNDECODABLE.split(content.decode("utf-8", "surrogateescape"))):
            if index % 2:
                single = part.encode("utf-8", "surrogateescape")
                ids += [self.reference.ids[single[at : at + 1]] for at in range(len(single))]
            elif part:
                ids += self.encode(part)
        return ids

    def decode(self, ids: Iterable[int]) -> str:
        """Text of the ids, special tokens included; bytes that are not UTF-8 become U+FFFD."""
        return self.decode_bytes(ids).decode("utf-8", "replace")

    def decode_bytes(self, ids: Iterable[int]) -> bytes:
        """Exact bytes of the ids; DataError names an id that is not in the vocabulary."""
        ids, size = [int(id) for id in ids], self.vocab_size
        wrong = next((id for id in ids if not 0 <= id < size), None)
        if wrong is not None:
            what = f"id {wrong} is not in the vocabulary (0 to {size - 1})"
            raise DataError(f"{what}; were these ids made by another tokenizer?")
        return self._tiktoken.decode_bytes(ids)

    def offsets(self, text: str) -> list[tuple[int, int]]:
        """Byte range in the UTF-8 of `well_formed(text)` of each id of `encode(text)`."""
        tokens = self.reference.tokens
        lengths = (len(tokens[id]) for id in self.encode(text))
        return list(pairwise(accumulate(lengths, initial=0)))


def _has_long_space_run(text: str) -> bool:
    """Whether a run of white space is too long for tiktoken's splitter."""
    if len(text) < MAX_SPACE_RUN:
        return False
    return any(run.end() - run.start() >= MAX_SPACE_RUN for run in re.finditer(r"\s+", text))


def to_tokenizer_json(tokenizer: FastTokenizer) -> dict[str, object]:
    """The tokenizer as the value of Hugging Face's `tokenizer.json`.

    There is no normaliser: Qwen's NFC would conflate different spellings of a text.
    """
    shown = byte_to_character()

    def spell(token: bytes) -> str:
        return "".join(shown[byte] for byte in token)

    steps = byte_level_steps([PATTERNS[tokenizer.pattern]])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            added_token(id, name, special=True) for name, id in tokenizer.special_ids.items()
        ],
        "normalizer": None,
        "pre_tokenizer": steps["pre_tokenizer"],
        "post_processor": None,
        "decoder": steps["decoder"],
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {spell(token): id for token, id in tokenizer.reference.ids.items()},
            "merges": [[spell(left), spell(right)] for left, right in tokenizer.merges],
        },
    }
