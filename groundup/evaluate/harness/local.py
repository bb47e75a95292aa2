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
    LoglikelihoodRequest,
    Reason,
    StopCriteria,
)

from ..likelihood import SequenceScore, check_stride, disjoint_windows, sliding_windows
from .completion import NOT_FINITE, Detokenizer, complete_prompts
from .shared_prefix import BranchingModel, TokenPair, score_pairs

BATCH_TOKENS = {"cpu": 512}
"""Tokens computed at a time by device type. More exceed a CPU's caches and take a fifth longer per
token."""
OTHER_BATCH_TOKENS = 32_768


@runtime_checkable
class TokenizerAdapter(Detokenizer, Protocol):
    """What evaluation needs of a tokenizer."""

    @property
    def context_start_id(self) -> int:
        """Id that replaces an empty context."""
        ...

    @property
    def signature(self) -> str:
        """What affects the ids: `tokenizer:…|specials:plain`."""
        ...

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Ids of a text, by default with the special tokens that the tokenizer puts before it."""
        ...

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's chat format; ConfigError if it has none."""
        ...


class ScoringOptions(NamedTuple):
    """How a local model computes scores."""

    batch_tokens: int = 0
    """Tokens computed at a time; 0 chooses by device."""
    invariant: bool = False
    """Compute every request alone, so that scores do not depend on batching."""
    window: int = 0
    """Window of `rolling` in ids; 0 is the model's context."""
    stride: int = 0
    """Ids between the starts of overlapping windows; 0 is disjoint windows."""


DEFAULT_SCORING = ScoringOptions()


class LocalModel:
    """A network and its tokenizer; fulfils `groundup.core.TextModel`."""

    def __init__(
        self, network: BranchingModel, tokenizer: TokenizerAdapter, *, name: str, digest: str,
        options: ScoringOptions = DEFAULT_SCORING,
    ) -> None:  # fmt: skip
        """Combine them; ConfigError for a window or stride that does not fit the model."""
        context = network.context_length
        if not 0 <= options.window <= context:
            raise ConfigError(
                f"window={options.window} does not fit the model's context_length={context}; "
                f"set window={context} or omit it."
            )
        if options.stride:
            check_stride(options.window or context, options.stride)
        self.network, self.tokenizer, self.name, self.digest = network, tokenizer, name, digest
        self.options = options
        self.batch_tokens = options.batch_tokens or BATCH_TOKENS.get(
            network.head.device.type, OTHER_BATCH_TOKENS
        )

    @property
    def signature(self) -> str:
        """What else affects a score."""
        context, reading = self.network.context_length, self.options
        dtype = str(self.network.head.dtype).removeprefix("torch.")
        batch = f"alone|threads:{torch.get_num_threads()}" if reading.invariant else "shared"
        return (
            f"{self.tokenizer.signature}|dtype:{dtype}|context:{context}|too_long:cut_left|"
            f"window:{reading.window or context}|stride:{reading.stride or 'disjoint'}|"
            f"first:{self.tokenizer.context_start_id}|batch:{batch}"
        )

    def render(self, conversation: Conversation) -> str:
        """The conversation in the model's own chat format, with the generation prompt."""
        return self.tokenizer.render(conversation)

    def loglikelihood(
        self, pairs: Sequence[LoglikelihoodRequest]
    ) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of each continuation after its context."""
        requests = PendingRequests()
        encode = _memoized_encode(self.tokenizer)
        for index, pair in enumerate(pairs):
            truncated = self.encode_pair(pair, encode)
            if isinstance(truncated, Reason):
                yield index, truncated
            else:
                requests.add(
                    index,
                    truncated.ids,
                    len(truncated.ids.continuation),
                    truncated.truncated_tokens,
                )
        yield from requests.answers(self.score_token_pairs(requests.items))

    def encode_pair(self, pair: LoglikelihoodRequest, encode: "Encode") -> "TruncatedPair | Reason":
        """Ids of a pair, its context truncated to what the model can read."""
        context, continuation = pair
        stripped = context.rstrip()
        continuation, context = context[len(stripped) :] + continuation, stripped
        if not _is_encodable(context + continuation):
            return NOT_TEXT
        if context:
            context_ids = encode(context)
            ids = self.tokenizer.encode(context + continuation)[len(context_ids) :]
        else:
            context_ids, ids = (
                [self.tokenizer.context_start_id],
                self.tokenizer.encode(continuation, add_special_tokens=False),
            )
            if ids[:1] == context_ids:
                ids = ids[1:]
        if not context_ids or not ids:
            return Reason("empty_continuation", "The continuation has no ids of its own to score.")
        limit = self.network.context_length
        if len(ids) > limit:
            return _too_long_reason(f"The continuation has {len(ids)} tokens", limit)
        num_truncated = max(0, len(context_ids) + len(ids) - limit - 1)
        return TruncatedPair(TokenPair(context_ids[num_truncated:], ids), num_truncated)

    def rolling(self, texts: Sequence[str]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Likelihood of complete texts, each token scored exactly once."""
        requests = PendingRequests()
        for index, text in enumerate(texts):
            ids = self.tokenizer.encode(text) if _is_encodable(text) else []
            if ids:
                requests.add(index, [self.tokenizer.context_start_id, *ids], len(ids))
            else:
                yield index, NOT_TEXT if text else Reason("empty_text", "The text is empty.")
        yield from requests.answers(self.score_in_windows(requests.items))

    def score_in_windows(self, sequences: Sequence[list[int]]) -> Iterator[SequenceScore]:
        """Score sequences in windows; each is yielded once its last window is computed."""
        window, stride = self.options.window or self.network.context_length, self.options.stride
        pairs, owners = list[TokenPair](), list[int]()
        for number, row in enumerate(sequences):
            size = len(row)
            spans = (
                sliding_windows(size, window, stride) if stride else disjoint_windows(size, window)
            )
            for start, end, first in spans:
                pairs.append(TokenPair(row[start:first], row[first : end + 1]))
                owners.append(number)
        remaining, nats, misses = Counter(owners), [0.0] * len(sequences), [0] * len(sequences)
        for index, window_nats, is_greedy in self.score_token_pairs(pairs):
            number = owners[index]
            nats[number] += window_nats
            misses[number] += not is_greedy
            remaining[number] -= 1
            if not remaining[number]:
                yield SequenceScore(number, nats[number], not misses[number])

    def score_token_pairs(self, pairs: Sequence[TokenPair]) -> Iterator[SequenceScore]:
        """Score tokenized pairs with this model's options."""
        share = not self.options.invariant
        return score_pairs(self.network, pairs, batch_tokens=self.batch_tokens, share=share)

    def complete(
        self, prompts: Sequence[str], stops: StopCriteria
    ) -> Iterator[tuple[int, Completion | Reason]]:
        """Complete each prompt, truncated on the left to leave room for `max_tokens`."""
        new, context = stops.sampling.max_tokens, self.network.context_length
        if new < 1:
            raise ConfigError(f"Sampling.max_tokens must be 1 or more; got {new}.")
        indices, sequences, truncated = list[int](), list[list[int]](), list[int]()
        for index, prompt in enumerate(prompts):
            if not _is_encodable(prompt):
                yield index, NOT_TEXT
            elif new >= context:
                yield index, _too_long_reason(f"An answer of max_tokens={new}", context - 1)
            else:
                ids = self.tokenizer.encode(prompt) or [self.tokenizer.context_start_id]
                indices.append(index)
                sequences.append(ids[new - context :])
                truncated.append(len(ids) - len(sequences[-1]))
        answers = complete_prompts(
            self.network, self.tokenizer, sequences, stops, batch_tokens=self.batch_tokens,
            share_prefix=not self.options.invariant,
        )  # fmt: skip
        for number, answer in answers:
            if isinstance(answer, Completion):
                answer = answer._replace(truncated_tokens=truncated[number])
            yield indices[number], answer


class TruncatedPair(NamedTuple):
    """A tokenized pair and how many ids its context lost."""

    ids: TokenPair
    truncated_tokens: int


class PendingRequests:
    """Requests to compute, with the indices of their answers."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.positions: list[tuple[int, int, int]] = []

    def add(self, index: int, item: Any, num_scored: int, truncated_tokens: int = 0) -> None:
        """Add a request with its number of scored tokens."""
        self.items.append(item)
        self.positions.append((index, num_scored, truncated_tokens))

    def answers(self, scores: Iterator[SequenceScore]) -> Iterator[tuple[int, Likelihood | Reason]]:
        """Convert scores to likelihoods with their indices."""
        for row, nats, is_greedy in scores:
            place, tokens, cut = self.positions[row]
            is_finite = abs(nats) < float("inf")
            yield place, Likelihood(-nats, is_greedy, tokens, cut) if is_finite else NOT_FINITE


Encode = Callable[[str], list[int]]

NOT_TEXT = Reason("not_text", "The text has a lone surrogate, which UTF-8 cannot encode.")


def _too_long_reason(what: str, limit: int) -> Reason:
    """The Reason of a request that does not fit the context."""
    return Reason("too_long", f"{what} and the model reads {limit}; shorten it.")


def _is_encodable(text: str) -> bool:
    """Whether UTF-8 can encode the text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _memoized_encode(tokenizer: TokenizerAdapter) -> Encode:
    """A memoized `encode`: options share their context."""
    cache: dict[str, list[int]] = {}

    def encode(text: str) -> list[int]:
        if text not in cache:
            if len(cache) >= 64:
                cache.pop(next(iter(cache)))
            cache[text] = tokenizer.encode(text)
        return cache[text]

    return encode
