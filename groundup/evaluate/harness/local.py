"""Models on this machine as a measurement asks them: text in, likelihoods or text out.

Text becomes ids by the rule of lm-eval's Hugging Face backend, so that numbers are the same:

    pair       spaces at the end of a context go to the continuation; both are encoded together, and
               what exceeds the context's own ids is the continuation
    no context the id that texts begin with (bos, else eos) stands for it
    too long   a context loses ids at its beginning, and the answer tells how many
    rolling    the same first id, then windows of the context's length: disjoint ones of which the
               last is full, or overlapping ones that start `stride` ids apart

`invariant` computes every request alone and without padding: no batch can move a score by a bit.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch

from groundup.core import (
    Completion,
    ConfigError,
    Conversation,
    Likelihood,
    Pair,
    Reason,
    Stops,
)

from ..likelihood import RowScore, check_stride, disjoint, windows
from .continuing import NOT_FINITE, Voice, completions
from .sharing import BranchingModel, TokenPair, pair_scores

BATCH_TOKENS = {"cpu": 512}
"""Tokens computed at a time by kind of device; more take a fifth longer a token on CPUs, whose
caches they leave."""
OTHER_BATCH_TOKENS = 32_768


@runtime_checkable
class Codec(Voice, Protocol):
    """A tokenizer as measurements use it."""

    @property
    def first(self) -> int:
        """Id that stands for an empty context."""
        ...

    @property
    def signature(self) -> str:
        """What moves the ids: `tokenizer:…|specials:plain`."""
        ...

    def encode(self, text: str, whole: bool = True) -> list[int]:
        """Ids of a text; `whole` adds what the tokenizer puts before every text."""
        ...

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's chat format; ConfigError if it has none."""
        ...


class Reading(NamedTuple):
    """How a model on this machine reads."""

    batch_tokens: int = 0
    """Tokens computed at a time; 0 is what suits the device."""
    invariant: bool = False
    """Compute every request alone, so that batches cannot move a score."""
    window: int = 0
    """Most ids read at a time in `rolling`; 0 is the model's context."""
    stride: int = 0
    """Ids between the starts of overlapping windows; 0 is disjoint ones."""


AS_USUAL = Reading()


class LocalModel:
    """A network and its tokenizer; fulfils `groundup.core.TextModel`."""

    def __init__(
        self, network: BranchingModel, codec: Codec, *, name: str, digest: str,
        reading: Reading = AS_USUAL,
    ) -> None:  # fmt: skip
        """Put them together.

        Raises ConfigError for a window or stride that the model cannot read with.
        """
        context = network.context_length
        if not 0 <= reading.window <= context:
            raise ConfigError(
                f"window={reading.window} does not fit the model's context_length={context}; "
                f"set window={context} or leave it out."
            )
        if reading.stride:
            check_stride(reading.window or context, reading.stride)
        self.network, self.codec, self.name, self.digest = network, codec, name, digest
        self.reading = reading
        self.batch_tokens = reading.batch_tokens or BATCH_TOKENS.get(
            network.head.device.type, OTHER_BATCH_TOKENS
        )

    @property
    def signature(self) -> str:
        """What else moves a score."""
        context, reading = self.network.context_length, self.reading
        dtype = str(self.network.head.dtype).removeprefix("torch.")
        batch = f"alone|threads:{torch.get_num_threads()}" if reading.invariant else "shared"
        return (
            f"{self.codec.signature}|dtype:{dtype}|context:{context}|too_long:cut_left|"
            f"window:{reading.window or context}|stride:{reading.stride or 'disjoint'}|"
            f"first:{self.codec.first}|batch:{batch}"
        )

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's own chat format, up to where its answer begins."""
        return self.codec.render(conversation)

    def loglikelihood(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation after its context."""
        asked = Asked()
        encode = encoder(self.codec)
        for place, pair in enumerate(pairs):
            found = self.token_pair(pair, encode)
            if isinstance(found, Reason):
                yield place, found
            else:
                asked.add(place, found.ids, len(found.ids.continuation), found.cut)
        yield from asked.answers(self.pair_scores(asked.rows))

    def token_pair(self, pair: Pair, encode: "Encode") -> "CutPair | Reason":
        """Ids of a pair, its context cut to what the model reads."""
        context, continuation = pair
        kept = context.rstrip()
        continuation, context = context[len(kept) :] + continuation, kept
        if not is_text(context + continuation):
            return NOT_TEXT
        if context:
            before = encode(context)
            ids = self.codec.encode(context + continuation)[len(before) :]
        else:
            before, ids = [self.codec.first], self.codec.encode(continuation, whole=False)
            if ids[:1] == before:
                ids = ids[1:]
        if not before or not ids:
            return Reason("empty_continuation", "The continuation has no ids of its own to score.")
        limit = self.network.context_length
        if len(ids) > limit:
            return too_long(f"The continuation has {len(ids)} tokens", limit)
        cut = max(0, len(before) + len(ids) - limit - 1)
        return CutPair(TokenPair(before[cut:], ids), cut)

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of whole texts, each token scored exactly once."""
        rows = Asked()
        for place, text in enumerate(texts):
            ids = self.codec.encode(text) if is_text(text) else []
            if ids:
                rows.add(place, [self.codec.first, *ids], len(ids))
            else:
                yield place, NOT_TEXT if text else Reason("empty_text", "The text is empty.")
        yield from rows.answers(self.row_scores(rows.rows))

    def row_scores(self, rows: Sequence[list[int]]) -> Iterator[RowScore]:
        """Score rows of ids in windows; a row comes when its last window is computed."""
        window, stride = self.reading.window or self.network.context_length, self.reading.stride
        pairs, owners = list[TokenPair](), list[int]()
        for number, row in enumerate(rows):
            size = len(row)
            cut = windows(size, window, stride) if stride else disjoint(size, window)
            for start, end, first in cut:
                pairs.append(TokenPair(row[start:first], row[first : end + 1]))
                owners.append(number)
        left, nats, misses = Counter(owners), [0.0] * len(rows), [0] * len(rows)
        for place, some, is_greedy in self.pair_scores(pairs):
            number = owners[place]
            nats[number] += some
            misses[number] += not is_greedy
            left[number] -= 1
            if not left[number]:
                yield RowScore(number, nats[number], not misses[number])

    def pair_scores(self, pairs: Sequence[TokenPair]) -> Iterator[RowScore]:
        """Score pairs of ids as this model reads."""
        share = not self.reading.invariant
        return pair_scores(self.network, pairs, batch_tokens=self.batch_tokens, share=share)

    def complete(
        self, prompts: Sequence[str], stops: Stops
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Continue each prompt; one without room for `max_tokens` is cut at its beginning."""
        new, context = stops.sampling.max_tokens, self.network.context_length
        if new < 1:
            raise ConfigError(f"Sampling.max_tokens must be 1 or more; got {new}.")
        places, rows, cuts = list[int](), list[list[int]](), list[int]()
        for place, prompt in enumerate(prompts):
            if not is_text(prompt):
                yield place, NOT_TEXT
            elif new >= context:
                yield place, too_long(f"An answer of max_tokens={new}", context - 1)
            else:
                ids = self.codec.encode(prompt) or [self.codec.first]
                places.append(place)
                rows.append(ids[new - context :])
                cuts.append(len(ids) - len(rows[-1]))
        found = completions(
            self.network, self.codec, rows, stops, batch_tokens=self.batch_tokens,
            share=not self.reading.invariant,
        )  # fmt: skip
        for row, answer in found:
            if isinstance(answer, Completion):
                answer = answer._replace(cut=cuts[row])
            yield places[row], answer


class CutPair(NamedTuple):
    """Ids of a pair and how many its context lost."""

    ids: TokenPair
    cut: int


class Asked:
    """Requests that can be computed, and where their answers belong."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.known: list[tuple[int, int, int]] = []

    def add(self, place: int, row: Any, tokens: int, cut: int = 0) -> None:
        """Add one with the number of its scored tokens."""
        self.rows.append(row)
        self.known.append((place, tokens, cut))

    def answers(self, scores: Iterator[RowScore]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Turn scores into likelihoods at their places."""
        for row, nats, is_greedy in scores:
            place, tokens, cut = self.known[row]
            is_finite = abs(nats) < float("inf")
            yield place, Likelihood(-nats, is_greedy, tokens, cut) if is_finite else NOT_FINITE


Encode = Callable[[str], list[int]]

NOT_TEXT = Reason("not_text", "The text holds half a surrogate pair, which no UTF-8 can carry.")


def too_long(what: str, limit: int) -> Reason:
    """Why a request does not fit."""
    return Reason("too_long", f"{what} and the model reads {limit}; make it shorter.")


def is_text(text: str) -> bool:
    """Whether a text can be written as UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encoder(codec: Codec) -> Encode:
    """Encode texts, the last few remembered: options share their context."""
    known: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in known:
            if len(known) >= 64:
                known.pop(next(iter(known)))
            known[text] = codec.encode(text)
        return known[text]

    return encode
