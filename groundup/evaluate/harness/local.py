"""Local models for evaluation: text in, likelihoods or text out.

Text is tokenized as in lm-eval's Hugging Face backend, so that scores are equal:

    pair        trailing spaces of a context move to the continuation; both are encoded together,
                and the ids after the context's own are the continuation's
    no context  bos, else eos, is the context
    too long    a context is truncated on the left, and the answer says by how many ids
    rolling     the same first id, then windows of the context's length: disjoint ones, of which the
                last is full, or overlapping ones that start `stride` ids apart

`invariant` computes every request alone and without padding: scores do not depend on batching.
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
"""Tokens computed at a time by device type. More exceed a CPU's caches and take a fifth longer per
token."""
OTHER_BATCH_TOKENS = 32_768


@runtime_checkable
class Codec(Voice, Protocol):
    """What evaluation needs of a tokenizer."""

    @property
    def first(self) -> int:
        """Id that replaces an empty context."""
        ...

    @property
    def signature(self) -> str:
        """What affects the ids: `tokenizer:…|specials:plain`."""
        ...

    def encode(self, text: str, whole: bool = True) -> list[int]:
        """Ids of a text, by default with the special tokens that the tokenizer puts before it."""
        ...

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's chat format; ConfigError if it has none."""
        ...


class Reading(NamedTuple):
    """How a local model computes scores."""

    batch_tokens: int = 0
    """Tokens computed at a time; 0 chooses by device."""
    invariant: bool = False
    """Compute every request alone, so that scores do not depend on batching."""
    window: int = 0
    """Window of `rolling` in ids; 0 is the model's context."""
    stride: int = 0
    """Ids between the starts of overlapping windows; 0 is disjoint windows."""


AS_USUAL = Reading()


class LocalModel:
    """A network and its tokenizer; fulfils `groundup.core.TextModel`."""

    def __init__(
        self, network: BranchingModel, codec: Codec, *, name: str, digest: str,
        reading: Reading = AS_USUAL,
    ) -> None:  # fmt: skip
        """Combine them; ConfigError for a window or stride that does not fit the model."""
        context = network.context_length
        if not 0 <= reading.window <= context:
            raise ConfigError(
                f"window={reading.window} does not fit the model's context_length={context}; "
                f"set window={context} or omit it."
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
        """What else affects a score."""
        context, reading = self.network.context_length, self.reading
        dtype = str(self.network.head.dtype).removeprefix("torch.")
        batch = f"alone|threads:{torch.get_num_threads()}" if reading.invariant else "shared"
        return (
            f"{self.codec.signature}|dtype:{dtype}|context:{context}|too_long:cut_left|"
            f"window:{reading.window or context}|stride:{reading.stride or 'disjoint'}|"
            f"first:{self.codec.first}|batch:{batch}"
        )

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's own chat format, with the generation prompt."""
        return self.codec.render(conversation)

    def loglikelihood(self, pairs: Sequence[Pair]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation after its context."""
        requests = Asked()
        encode = encoder(self.codec)
        for index, pair in enumerate(pairs):
            truncated = self.token_pair(pair, encode)
            if isinstance(truncated, Reason):
                yield index, truncated
            else:
                requests.add(index, truncated.ids, len(truncated.ids.continuation), truncated.cut)
        yield from requests.answers(self.pair_scores(requests.rows))

    def token_pair(self, pair: Pair, encode: "Encode") -> "CutPair | Reason":
        """Ids of a pair, its context truncated to what the model can read."""
        context, continuation = pair
        stripped = context.rstrip()
        continuation, context = context[len(stripped) :] + continuation, stripped
        if not is_text(context + continuation):
            return NOT_TEXT
        if context:
            context_ids = encode(context)
            ids = self.codec.encode(context + continuation)[len(context_ids) :]
        else:
            context_ids, ids = [self.codec.first], self.codec.encode(continuation, whole=False)
            if ids[:1] == context_ids:
                ids = ids[1:]
        if not context_ids or not ids:
            return Reason("empty_continuation", "The continuation has no ids of its own to score.")
        limit = self.network.context_length
        if len(ids) > limit:
            return too_long(f"The continuation has {len(ids)} tokens", limit)
        num_truncated = max(0, len(context_ids) + len(ids) - limit - 1)
        return CutPair(TokenPair(context_ids[num_truncated:], ids), num_truncated)

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of complete texts, each token scored exactly once."""
        requests = Asked()
        for index, text in enumerate(texts):
            ids = self.codec.encode(text) if is_text(text) else []
            if ids:
                requests.add(index, [self.codec.first, *ids], len(ids))
            else:
                yield index, NOT_TEXT if text else Reason("empty_text", "The text is empty.")
        yield from requests.answers(self.row_scores(requests.rows))

    def row_scores(self, rows: Sequence[list[int]]) -> Iterator[RowScore]:
        """Score sequences in windows; each is yielded once its last window is computed."""
        window, stride = self.reading.window or self.network.context_length, self.reading.stride
        pairs, owners = list[TokenPair](), list[int]()
        for number, row in enumerate(rows):
            size = len(row)
            spans = windows(size, window, stride) if stride else disjoint(size, window)
            for start, end, first in spans:
                pairs.append(TokenPair(row[start:first], row[first : end + 1]))
                owners.append(number)
        remaining, nats, misses = Counter(owners), [0.0] * len(rows), [0] * len(rows)
        for index, window_nats, is_greedy in self.pair_scores(pairs):
            number = owners[index]
            nats[number] += window_nats
            misses[number] += not is_greedy
            remaining[number] -= 1
            if not remaining[number]:
                yield RowScore(number, nats[number], not misses[number])

    def pair_scores(self, pairs: Sequence[TokenPair]) -> Iterator[RowScore]:
        """Score tokenized pairs with this model's options."""
        share = not self.reading.invariant
        return pair_scores(self.network, pairs, batch_tokens=self.batch_tokens, share=share)

    def complete(
        self, prompts: Sequence[str], stops: Stops
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Complete each prompt, truncated on the left to leave room for `max_tokens`."""
        new, context = stops.sampling.max_tokens, self.network.context_length
        if new < 1:
            raise ConfigError(f"Sampling.max_tokens must be 1 or more; got {new}.")
        indices, sequences, truncated = list[int](), list[list[int]](), list[int]()
        for index, prompt in enumerate(prompts):
            if not is_text(prompt):
                yield index, NOT_TEXT
            elif new >= context:
                yield index, too_long(f"An answer of max_tokens={new}", context - 1)
            else:
                ids = self.codec.encode(prompt) or [self.codec.first]
                indices.append(index)
                sequences.append(ids[new - context :])
                truncated.append(len(ids) - len(sequences[-1]))
        answers = completions(
            self.network, self.codec, sequences, stops, batch_tokens=self.batch_tokens,
            share=not self.reading.invariant,
        )  # fmt: skip
        for number, answer in answers:
            if isinstance(answer, Completion):
                answer = answer._replace(cut=truncated[number])
            yield indices[number], answer


class CutPair(NamedTuple):
    """A tokenized pair and how many ids its context lost."""

    ids: TokenPair
    cut: int


class Asked:
    """Requests to compute, with the indices of their answers."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.known: list[tuple[int, int, int]] = []

    def add(self, place: int, row: Any, tokens: int, cut: int = 0) -> None:
        """Add a request with its number of scored tokens."""
        self.rows.append(row)
        self.known.append((place, tokens, cut))

    def answers(self, scores: Iterator[RowScore]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Convert scores to likelihoods with their indices."""
        for row, nats, is_greedy in scores:
            place, tokens, cut = self.known[row]
            is_finite = abs(nats) < float("inf")
            yield place, Likelihood(-nats, is_greedy, tokens, cut) if is_finite else NOT_FINITE


Encode = Callable[[str], list[int]]

NOT_TEXT = Reason("not_text", "The text has a lone surrogate, which UTF-8 cannot encode.")


def too_long(what: str, limit: int) -> Reason:
    """The Reason of a request that does not fit the context."""
    return Reason("too_long", f"{what} and the model reads {limit}; shorten it.")


def is_text(text: str) -> bool:
    """Whether UTF-8 can encode the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def encoder(codec: Codec) -> Encode:
    """A memoized `encode`: options share their context."""
    cache: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in cache:
            if len(cache) >= 64:
                cache.pop(next(iter(cache)))
            cache[text] = codec.encode(text)
        return cache[text]

    return encode
