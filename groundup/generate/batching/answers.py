"""Answers: what was chosen for a request so far, and what ends it.

A sequence ends at an end id, at a stop string, or after its limit, and with a Reason if its logits
are not finite or no token may be chosen.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from groundup.core import FinishReason, Reason, Sampling, TokenLogprob

from ..sampling import TokenSampler, top_logprobs
from .text import Decode, find_stop, stop_position

NOT_FINITE = Reason("not_finite", "The model's logits are not finite; its weights are damaged.")


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
