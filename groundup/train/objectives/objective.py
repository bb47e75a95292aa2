"""A training objective: how token sequences become a batch, and the loss on it.

A batch is a pure function of the sequences, the seed and the step. A step belongs to one epoch, so
masks are drawn again each time a text is seen; `dynamic=False` draws once per text.
Every objective respects packing: it masks, moves and predicts within one document.
Draws derive from the raw stream of a counter-based generator (Philox), which numpy keeps stable,
while its distributions may change between versions.
Byte-level tokens split words: "unbeliev|able". A token continues the word before it if both sides
of the boundary are letters, where the tokenizer's pattern would not have split. Bytes beyond ASCII
count as letters: most of them are.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float64, Int, Int64
from pydantic import Field
from torch import nn

from groundup.core import Config, ConfigError, DataError, Tokenizer, digest
from groundup.kernels import LossSum
from groundup.model import ModelConfig
from groundup.tokenizer import SENTINELS, SPECIAL_SETS
from groundup.tokenizer import TextBatch as Windows

from ..batches import MicroBatch


class KeyedRandom:
    """A random number stream for each key.

    >>> first, second = (KeyedRandom("seed", 0).permutation(4).tolist() for _ in range(2))
    >>> first == second
    True
    """

    def __init__(self, *key: int | str | list[int]) -> None:
        self.stream = np.random.Philox(key=int(digest(list(key)), 16) % 2**128)

    def uniform(self, count: int) -> Float64[np.ndarray, " count"]:
        """Numbers in [0, 1), with all 53 bits of a float's mantissa."""
        raw = np.atleast_1d(self.stream.random_raw(count))
        return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def uniform_scalar(self) -> float:
        """One number in [0, 1)."""
        return float(self.uniform(1)[0])

    def random_integer(self, limit: int) -> int:
        """An integer from 0 to limit - 1."""
        return int(self.uniform_scalar() * limit)

    def round_stochastically(self, number: float) -> int:
        """Stochastic rounding: the mean is the number itself."""
        return int(number + self.uniform_scalar())

    def permutation(self, count: int) -> Int64[np.ndarray, " count"]:
        """A permutation."""
        return np.argsort(self.uniform(count), kind="stable")

    def sorted_sample(self, count: int, limit: int) -> Int64[np.ndarray, " count"]:
        """`count` distinct integers from 0 to limit - 1, sorted."""
        return np.sort(self.permutation(limit)[:count])

    def random_composition(self, total: int, count: int) -> Int64[np.ndarray, " count"]:
        """A random composition of `total` into `count` lengths of at least 1, uniformly.

        >>> int(KeyedRandom(1).random_composition(10, 3).sum())
        10
        """
        cuts = self.sorted_sample(count - 1, total - 1) + 1
        return np.diff(np.concatenate([[0], cuts, [total]]))

    def weighted_choice(
        self, weights: Float64[np.ndarray, " n"], count: int
    ) -> Int64[np.ndarray, " m"]:
        """Sample `count` indices with replacement, in proportion to the weights."""
        bounds = np.cumsum(weights) / weights.sum()
        return np.searchsorted(bounds, self.uniform(count), side="right").clip(max=len(weights) - 1)


SENTENCE_ENDS = b".!?"


class TokenSpan(NamedTuple):
    """Tokens from `start` to before `end`."""

    start: int
    end: int


class TokenProperties(NamedTuple):
    """Properties of a tokenizer's ids."""

    specials: dict[str, int]
    """Special token to id."""
    ordinary_ids: Int64[np.ndarray, " plain"]
    """Ids of all other tokens, in order."""
    is_special: Bool[np.ndarray, " V"]
    starts_with_letter: Bool[np.ndarray, " V"]
    """Whether a token begins with a letter, and so may continue a word."""
    ends_with_letter: Bool[np.ndarray, " V"]
    """Whether a token ends with a letter, so that its word may continue."""
    ends_sentence: Bool[np.ndarray, " V"]
    byte_lengths: Int64[np.ndarray, " V"]
    """Bytes of text per token; 0 for special ones."""

    def special_token_id(self, name: str) -> int:
        """Id of a special token; ConfigError says how to make a tokenizer with it."""
        if name not in self.specials:
            sets = (key for key, names in SPECIAL_SETS.items() if name in names)
            wanted = next(sets, name)
            raise ConfigError(
                f"The tokenizer has no {name}, which this objective needs; make it with "
                f"""--set 'specials=["chat", "{wanted}"]'."""
            )
        return self.specials[name]

    @property
    def sentinels(self) -> list[int]:
        """Ids of T5's sentinels, up to the first that is missing."""
        ids = []
        for name in SENTINELS:
            if name not in self.specials:
                break
            ids.append(self.specials[name])
        return ids


def token_properties_of(tokenizer: Tokenizer) -> TokenProperties:
    """Compute the token properties of a tokenizer.

    >>> from groundup.tokenizer import FastTokenizer
    >>> known = token_properties_of(FastTokenizer([(b"a", b"b")]))
    >>> len(known.ordinary_ids), sorted(known.specials.values())
    (257, [257, 258, 259])
    """
    size = tokenizer.vocab_size
    is_special = np.zeros(size, dtype=bool)
    is_special[list(tokenizer.specials.values())] = True
    spelt = [b"" if is_special[id] else _token_bytes(tokenizer, id) for id in range(size)]
    return TokenProperties(
        specials=dict(tokenizer.specials),
        ordinary_ids=np.flatnonzero(~is_special),
        is_special=is_special,
        starts_with_letter=np.array([_is_letter(token[:1]) for token in spelt]),
        ends_with_letter=np.array([_is_letter(token[-1:]) for token in spelt]),
        ends_sentence=np.array([_is_sentence_end(token) for token in spelt]),
        byte_lengths=np.array([len(token) for token in spelt]),
    )


def _token_bytes(tokenizer: Tokenizer, id: int) -> bytes:
    """Bytes of a token inside a text (some tokenizers strip a space at the beginning).

    Empty for an unused id: imported vocabularies may have holes.
    """
    try:
        return tokenizer.decode_bytes([id, id])[len(tokenizer.decode_bytes([id])) :]
    except DataError:
        return b""


def _is_letter(byte: bytes) -> bool:
    """Whether a byte is an ASCII letter or part of a non-ASCII character."""
    return byte.isalpha() or byte >= b"\x80"


def _is_sentence_end(token: bytes) -> bool:
    """Whether a token ends a sentence: . ! or ?, optionally before quotes and white space.

    >>> [_is_sentence_end(token) for token in (b".", b'."', b"!\\n", b".x", b"")]
    [True, True, True, False, False]
    """
    stripped = token.rstrip(b" \t\r\n\"')")
    return stripped[-1:] != b"" and stripped[-1:] in SENTENCE_ENDS


def document_spans(documents: Int[np.ndarray, " T"] | Sequence[int]) -> list[TokenSpan]:
    """Spans of a sequence's documents, padding excluded.

    >>> document_spans([0, 0, 4, 4, 4, -1])
    [TokenSpan(start=0, end=2), TokenSpan(start=2, end=5)]
    """
    numbers = np.asarray(documents)
    borders = np.flatnonzero(np.diff(numbers)) + 1
    bounds = [0, *borders.tolist(), len(numbers)]
    spans = [TokenSpan(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [span for span in spans if span.end > span.start and numbers[span.start] >= 0]


def word_spans(
    ids: Int64[np.ndarray, " T"], document: TokenSpan, known: TokenProperties
) -> list[TokenSpan]:
    """Spans of the words of a document, special tokens excluded."""
    inside = ids[document.start : document.end]
    continues = known.ends_with_letter[inside[:-1]] & known.starts_with_letter[inside[1:]]
    starts = np.concatenate([[True], ~continues]) if len(inside) else np.zeros(0, dtype=bool)
    bounds = [*np.flatnonzero(starts).tolist(), len(inside)]
    spans = [TokenSpan(start, end) for start, end in zip(bounds, bounds[1:], strict=False)]
    return [
        TokenSpan(document.start + start, document.start + end)
        for start, end in spans
        if not known.is_special[inside[start]]
    ]


def token_spans(
    ids: Int64[np.ndarray, " T"], document: TokenSpan, known: TokenProperties
) -> list[TokenSpan]:
    """Spans of the single tokens of a document, special ones excluded."""
    return [
        TokenSpan(position, position + 1)
        for position in range(document.start, document.end)
        if not known.is_special[ids[position]]
    ]


ObjectiveName = Literal[
    "causal", "prefix", "middle", "masked", "boundary", "next_sentence", "corruption", "denoising"
]
ModelKind = Literal["decoder", "encoder", "encoder_decoder"]


class NoiseConfig(Config):
    """How an objective masks or corrupts text; each reads the fields it needs."""

    rate: float | None = Field(default=None, gt=0, lt=1)
    """Share of the tokens that are masked; None: the paper's, 0.3 for BART and 0.15 otherwise."""
    whole_words: bool = True
    """Mask whole words, not single tokens."""
    dynamic: bool = True
    """Draw masks again each time a text is seen (RoBERTa), not once per text."""
    mean_length: float = Field(default=3.0, ge=1)
    """Mean tokens per span, for T5 and (Poisson) BART."""
    permute: bool = True
    """Shuffle a document's sentences too (BART)."""
    middle_rate: float = Field(default=0.5, ge=0, le=1)
    """Share of the documents transformed to fill-in-the-middle."""
    suffix_first: float = Field(default=0.5, ge=0, le=1)
    """Share of these in suffix-prefix-middle order (SPM); the others are PSM."""
    characters: bool = True
    """Split at characters, even within tokens, not at token boundaries."""


class ObjectiveContext(NamedTuple):
    """What batches depend on, in addition to the sequences."""

    token_properties: TokenProperties
    noise: NoiseConfig
    tokenizer: Tokenizer
    seed: int = 0


class BatchInputs(NamedTuple):
    """Inputs from which to make one batch."""

    context: ObjectiveContext
    rows: Windows
    step: int

    def keyed_random(self, row: int, purpose: str = "noise") -> KeyedRandom:
        """Random numbers of one sequence: by step, or by its text alone."""
        seed = self.context.seed
        if self.context.noise.dynamic:
            return KeyedRandom(seed, purpose, self.step, row)
        return KeyedRandom(seed, purpose, self.rows.ids[row].tolist())


class Objective(NamedTuple):
    """A training objective for one kind of model."""

    name: ObjectiveName
    kind: ModelKind
    """Kind of model that it trains."""
    description: str
    """What the model predicts, in one line."""
    make_batch: Callable[[BatchInputs], MicroBatch]
    loss: Callable[..., LossSum]
    """(model with its head, batch, optional Routing to fill) -> loss sum."""
    required_specials: tuple[str, ...] = ()
    """Special tokens that the tokenizer must have."""
    head: Callable[[ModelConfig], nn.Module] | None = None
    """Builds the head that is trained with the model."""
    sentinels: Callable[[int, NoiseConfig], int] | None = None
    """Number of sentinels for a document of a length."""

    def check(self, config: ModelConfig, setting: ObjectiveContext, length: int) -> None:
        """Raise ConfigError if the model or the tokenizer does not fit the objective."""
        if config.kind != self.kind:
            raise ConfigError(
                f"The objective {self.name!r} trains models of kind {self.kind!r}, but this one "
                f"is of kind {config.kind!r}; choose another objective or preset."
            )
        for name in self.required_specials:
            setting.token_properties.special_token_id(name)
        if self.sentinels is not None:
            self.check_sentinels(self.sentinels, setting, length)

    def check_sentinels(
        self, needed: Callable[[int, NoiseConfig], int], setting: ObjectiveContext, length: int
    ) -> None:
        """Raise ConfigError if a document of `length` tokens has more spans than sentinels."""
        wanted, available = needed(length, setting.noise), len(setting.token_properties.sentinels)
        if wanted <= available:
            return
        problem = (
            f"The objective {self.name!r} needs {wanted} sentinels for sequences of {length} "
            f"tokens, but the tokenizer has {available}; "
        )
        if available < 2:
            raise ConfigError(problem + """make it with --set 'specials=["chat", "sentinels"]'.""")
        fitting = length * available // wanted
        raise ConfigError(problem + f"set length and context_length to at most {fitting}.")

    def batch(self, setting: ObjectiveContext, rows: Windows, step: int) -> MicroBatch:
        """The batch of a step."""
        return self.make_batch(BatchInputs(setting, rows, step))
