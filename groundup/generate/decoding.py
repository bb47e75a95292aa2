"""Decoding: batches of prompts are continued token by token, each until it stops.

    p = softmax(logits / temperature);  top-k keeps the k most likely tokens;  top-p renormalises
    and keeps the most likely ones until their sum reaches p, the token that crosses p included

In this order. Temperature 0 is greedy and draws nothing. Each sequence inverts its cumulative
distribution at one uniform number per token from its own generator, so other sequences of the
batch do not affect it.
Source: top-p: Holtzman et al. 2020, arXiv:1904.09751, as in transformers' TopPLogitsWarper.

Prompts of similar length share a batch, the prefix of nearly all of them is computed once, and
finished sequences leave the batch. A sequence ends at an end id, at a stop string, or after
`max_tokens`, and with a Reason if its logits are not finite.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from groundup.core import ConfigError, FinishReason, Reason, Sampling

from .cached import (
    MAX_CACHE_POSITIONS,
    NO_PREFIX,
    CachedModel,
    CachedTransformer,
    SharedPrefix,
    eval_mode,
    find_shared_prefix,
    prefill,
    prefill_prefix,
)

MAX_BATCH_SIZE = 128
COMPACT_BELOW = 0.75
"""Drop finished sequences once at most this share still runs: dropping copies the cache."""
NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are damaged.")


class Candidates(NamedTuple):
    """Tokens that may be drawn, with probabilities that sum to one."""

    probabilities: Float[Tensor, "B C"]
    ids: Int[Tensor, "B C"] | None
    """None if the candidates are the whole vocabulary in order."""


def check_sampling(sampling: Sampling) -> None:
    """Raise ConfigError naming the first invalid setting."""
    wrong = [
        ("temperature", sampling.temperature, sampling.temperature < 0, "0 or more"),
        ("top_k", sampling.top_k, sampling.top_k < 0, "0 (all) or more"),
        ("top_p", sampling.top_p, not 0 < sampling.top_p <= 1, "above 0 and at most 1"),
        ("max_tokens", sampling.max_tokens, sampling.max_tokens < 1, "1 or more"),
    ]
    for name, value, is_wrong, expected in wrong:
        if is_wrong:
            raise ConfigError(f"Sampling.{name} must be {expected}; got {value}.")


def sampling_distribution(logits: Float[Tensor, "B V"], sampling: Sampling) -> Candidates:
    """The distribution that sampling draws from, in float64, at a temperature above 0.

    >>> sampling = Sampling(temperature=1.0, top_p=0.45)
    >>> sampling_distribution(torch.tensor([[0.1, 0.5, 0.4]]).log(), sampling).probabilities
    tensor([[1., 0., 0.]], dtype=torch.float64)
    """
    values, ids = logits, None
    if 0 < sampling.top_k < logits.shape[-1]:
        values, ids = logits.topk(sampling.top_k)  # (B, k), most likely first
    elif sampling.top_p < 1:
        values, ids = logits.sort(descending=True, stable=True)
    exact = values.double()
    exact = (exact - exact.amax(-1, keepdim=True)) / sampling.temperature
    probabilities = exact.softmax(-1)
    if sampling.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        before[:, 0] = 0
        kept = probabilities.masked_fill(before >= sampling.top_p, 0)
        probabilities = kept / kept.sum(-1, keepdim=True)
    return Candidates(probabilities, ids)


def sample_from_uniforms(
    logits: Float[Tensor, "B V"], sampling: Sampling, uniforms: Float[Tensor, " B"] | None
) -> Int[Tensor, " B"]:
    """Next token of each sequence, given its uniform number in [0, 1); greedy needs none."""
    if sampling.temperature == 0:
        return logits.argmax(-1)
    if uniforms is None:
        raise ConfigError(f"Sampling at temperature {sampling.temperature} needs uniform numbers.")
    probabilities, ids = sampling_distribution(logits, sampling)
    sums = probabilities.cumsum(-1)
    total = sums[:, -1]
    below = torch.minimum(uniforms * total, torch.nextafter(total, torch.zeros_like(total)))
    index = torch.searchsorted(sums, below[:, None], right=True)  # (B, 1), first sum above
    return (index if ids is None else ids.gather(-1, index))[:, 0]


def draw_uniforms(seeds: Sequence[int], num_tokens: int) -> Float[Tensor, "B count"]:
    """Uniform numbers in [0, 1), float64: one per token, from a generator per seed."""
    rows = []
    for seed in seeds:
        generator = torch.Generator().manual_seed(seed)
        rows.append(torch.rand(num_tokens, generator=generator, dtype=torch.float64))
    return torch.stack(rows)


class DecodingOptions(NamedTuple):
    """How prompts are continued."""

    sampling: Sampling
    end_ids: Sequence[int]
    """Ids that end a sequence."""
    vocab_size: int
    """Ids from this one on are never chosen."""
    batch_tokens: int
    """Prompt tokens computed at a time, padding included."""
    until: Sequence[str] = ()
    """Strings that end a sequence."""
    decode: Callable[[Sequence[int]], str] = str
    """Text of ids, in which `until` is searched."""
    logprobs: bool = False
    """Whether to compute log-probabilities."""
    invariant: bool = False
    """Continue each prompt alone: bitwise independent of the others."""


class DecodedSequence(NamedTuple):
    """The continuation of one prompt."""

    ids: list[int]
    """Generated ids, the end id included."""
    logprobs: list[float]
    """Log-probability of each, nats; empty unless they were asked for."""
    finish_reason: FinishReason


def decode_prompts(
    model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
    seeds: Sequence[int] = (),
) -> Iterator[tuple[int, DecodedSequence | Reason]]:  # fmt: skip
    """Continue tokenized prompts; yield each index and answer as it finishes.

    A prompt leaves room for at least one token; an answer ends where the context ends.

    seeds  one per prompt; they replace `sampling.seed`
    """
    seeds = seeds or [options.sampling.seed] * len(prompts)
    prefix = [] if options.invariant or not model.is_causal else find_shared_prefix(prompts)
    by_prefix: list[list[int]] = [[], []]
    for index, ids in enumerate(prompts):
        by_prefix[len(ids) > len(prefix) > 0 and ids[: len(prefix)] == prefix].append(index)
    for ids, indices in (([], by_prefix[0]), (prefix, by_prefix[1])):
        longest = max((len(prompts[i]) for i in indices), default=0)
        with torch.inference_mode(), eval_mode(model.model):
            shared = prefill_prefix(model, ids, longest)
        inside, new = [prompts[i] for i in indices], options.sampling.max_tokens
        for batch in batch_prompts(model, inside, new, alone=options.invariant):
            chosen = [indices[i] for i in batch]
            run = DecodingRun(
                model, [prompts[i] for i in chosen], options, [seeds[i] for i in chosen], shared
            )
            for finished in run.steps():
                for row, answer in finished:
                    yield chosen[row], answer


def has_sources(model: CachedModel) -> bool:
    """Whether prompts are sources, which use no context of the answers."""
    return isinstance(model, CachedTransformer) and model.start is not None


def batch_prompts(
    model: CachedModel, prompts: Sequence[Sequence[int]], new_tokens: int, *, alone: bool = False
) -> Iterator[list[int]]:
    """Yield the indices of the prompts of each batch, longest first.

    A prompt whose answer the context would truncate runs only with prompts of the same length: a
    longer one would truncate it further.

    alone  one prompt in each
    """
    new, lengths = 0 if has_sources(model) else new_tokens, [len(prompt) for prompt in prompts]
    order = sorted(range(len(prompts)), key=lambda i: -lengths[i])

    def batch_key(i: int) -> int:  # the length if the context would truncate the answer, else 0
        return lengths[i] if lengths[i] + new > model.context_length else 0

    for _, group in groupby(order, key=batch_key):
        waiting = list(group)
        while waiting:
            size = MAX_CACHE_POSITIONS // max(lengths[waiting[0]] + new, 1)
            size = 1 if alone else min(max(size, 1), MAX_BATCH_SIZE)
            yield waiting[:size]
            waiting = waiting[size:]


class DecodingRun:
    """Decodes one batch."""

    def __init__(
        self, model: CachedModel, prompts: Sequence[list[int]], options: DecodingOptions,
        seeds: Sequence[int], prefix: SharedPrefix = NO_PREFIX,
    ) -> None:  # fmt: skip
        """Prepare; see `steps`.

        prompts  of one batch; see `batch_prompts`
        prefix   its ids are the first of every prompt
        """
        self.model, self.prompts, self.options, self.prefix = model, prompts, options, prefix
        used = 0 if has_sources(model) else len(prompts[0])
        self.limit = min(options.sampling.max_tokens, model.context_length - used)
        self.ids: list[list[int]] = [[] for _ in prompts]
        self.logprobs: list[list[float]] = [[] for _ in prompts]
        self.active = list(range(len(prompts)))
        """Index of each sequence in the state; some may have finished."""
        self.running = set(self.active)
        self.ends = frozenset(options.end_ids)
        self.project = model.projection(options.vocab_size)
        self.uniforms = None
        if options.sampling.temperature > 0:
            drawn = draw_uniforms(seeds, self.limit)
            self.uniforms = drawn.to(model.head.device)
        self.stop_window = max((len(text.encode()) for text in options.until), default=0) + 1
        """Number of last ids that must contain a stop string that the newest id completes."""

    @torch.inference_mode()
    def steps(self) -> Iterator[list[tuple[int, DecodedSequence | Reason]]]:
        """Yield what finishes at each new token; `ids` holds the tokens so far."""
        with eval_mode(self.model.model):
            state, last = prefill(
                self.model, self.prompts, self.limit, self.options.batch_tokens, self.prefix
            )
            logits = self.project(last)
            for step in range(self.limit):
                finished = []
                if not is_finite(logits):
                    finished, logits = self.end_non_finite(logits), logits.nan_to_num()
                ids = self.sample(logits, step)
                yield finished + self.append(ids, logits)
                if not self.running:
                    return
                if len(self.running) <= COMPACT_BELOW * len(self.active):
                    kept = [at for at, row in enumerate(self.active) if row in self.running]
                    indices = torch.tensor(kept, device=ids.device)
                    state, ids = self.model.branch(state, indices), ids[indices]
                    self.active = [self.active[at] for at in kept]
                hidden = self.model.extend(state, ids[:, None], torch.ones_like(ids))
                logits = self.project(hidden[:, -1])

    def end_non_finite(
        self, logits: Float[Tensor, "B V"]
    ) -> list[tuple[int, DecodedSequence | Reason]]:
        """End the sequences whose logits are not finite."""
        finite = torch.isfinite(logits).all(-1).tolist()
        ended = [row for row, each in zip(self.active, finite, strict=True) if not each]
        ended = [row for row in ended if row in self.running]
        self.running.difference_update(ended)
        return [(row, NOT_FINITE) for row in ended]

    def sample(self, logits: Float[Tensor, "B V"], step: int) -> Int[Tensor, " B"]:
        """The next id of each sequence in the state."""
        if self.uniforms is None:
            return logits.argmax(-1)
        uniforms = self.uniforms[self.active, step]
        return sample_from_uniforms(logits, self.options.sampling, uniforms)

    def append(
        self, ids: Int[Tensor, " B"], logits: Float[Tensor, "B V"]
    ) -> list[tuple[int, DecodedSequence | Reason]]:
        """Append the chosen ids; return the sequences that they finish."""
        logprobs = [0.0] * len(ids)
        if self.options.logprobs:
            logprobs = gather_logprobs(logits, ids).double().tolist()
        finished: list[tuple[int, DecodedSequence | Reason]] = []
        for row, token, logprob in zip(self.active, ids.tolist(), logprobs, strict=True):
            if row in self.running:
                self.ids[row].append(token)
                if self.options.logprobs:
                    self.logprobs[row].append(logprob)
                if (reason := self.finish_reason(row)) is not None:
                    self.running.discard(row)
                    answer = DecodedSequence(self.ids[row], self.logprobs[row], reason)
                    finished.append((row, answer))
        return finished

    def finish_reason(self, row: int) -> FinishReason | None:
        """Why the newest id ends a sequence; None if it does not."""
        ids, until, text = self.ids[row], self.options.until, self.options.decode
        if ids[-1] in self.ends:
            return "stop"
        # A cheap look at the last ids first: what they spell alone may differ from the whole text.
        if until and find_stop(text(ids[-self.stop_window :]), until) is not None:
            if find_stop(text(ids), until) is not None:
                return "stop"
        return "length" if len(ids) == self.limit else None


def is_finite(logits: Float[Tensor, "B V"]) -> bool:
    """Whether all logits are finite; a sum of finite ones may overflow."""
    return bool(torch.isfinite(logits.sum())) or bool(torch.isfinite(logits).all())


def gather_logprobs(logits: Float[Tensor, "N V"], ids: Int[Tensor, " N"]) -> Float[Tensor, " N"]:
    """Log-probability of each sequence's id, in float32 or better."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    return exact.gather(-1, ids[:, None])[:, 0] - exact.logsumexp(-1)


def find_stop(text: str, until: Sequence[str]) -> int | None:
    """Position of the first stop string; None if there is none.

    >>> find_stop("one two three", ["three", "two", ""])
    4
    """
    positions = [text.find(stop) for stop in until if stop]
    return min((position for position in positions if position >= 0), default=None)
