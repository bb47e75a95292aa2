"""Answers: what was chosen for a request so far, and what ends it.

A sequence ends at an end id, at a stop string, or after its limit, and with a Reason if its logits
are not finite or no token may be chosen.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import FinishReason, Reason, Sampling, TokenLogprob

from ..sampling import TokenSampler, top_logprobs

NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are damaged.")
Decode = Callable[[Sequence[int]], str]
"""Text of ids, in which stop strings are searched."""


class DecodedSequence(NamedTuple):
    """The continuation of one prompt."""

    ids: list[int]
    """Generated ids, the end id included."""
    logprobs: list[float]
    """Log-probability of each, nats; empty unless they were asked for."""
    finish_reason: FinishReason
    alternatives: list[tuple[TokenLogprob, ...]] = []
    """The most likely tokens at each place; empty unless they were asked for."""


class PartialAnswer:
    """The tokens of one request so far."""

    def __init__(self, sampler: TokenSampler, limit: int, decode: Decode) -> None:
        """Begin without tokens; `limit` is their maximum number."""
        self.sampler, self.limit, self.decode = sampler, limit, decode
        self.ids: list[int] = []
        self.logprobs: list[float] = []
        self.alternatives: list[tuple[TokenLogprob, ...]] = []
        stop = sampler.sampling.stop
        self._window = max((len(text.encode()) for text in stop), default=0) + 1
        """Number of last ids that must contain a stop string that the newest id completes."""

    def append(
        self, token: int, logits: Float[Tensor, " V"], logprob: float | None = None
    ) -> DecodedSequence | None:
        """Append a chosen token; the whole answer if it ends it."""
        sampling = self.sampler.sampling
        self.ids.append(token)
        self.sampler.add(token)
        if logprob is not None:
            self.logprobs.append(logprob)
        if sampling.logprobs:
            self.alternatives.append(top_logprobs(logits, sampling.logprobs))
        reason = self._finish_reason(sampling)
        if reason is None:
            return None
        return DecodedSequence(self.ids, self.logprobs, reason, self.alternatives)

    def _finish_reason(self, sampling: Sampling) -> FinishReason | None:
        ids, stop = self.ids, sampling.stop
        if ids[-1] in self.sampler.ends:
            return "stop"
        # A cheap look at the last ids first: what they spell alone may differ from the whole text.
        if stop and find_stop(self.decode(ids[-self._window :]), stop) is not None:
            if stop_position(ids, sampling, self.decode) is not None:
                return "stop"
        return "length" if len(ids) == self.limit else None


def is_finite(logits: Float[Tensor, "B V"]) -> bool:
    """Whether all logits are finite; a sum of finite ones may overflow."""
    return bool(torch.isfinite(logits.sum())) or bool(torch.isfinite(logits).all())


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
