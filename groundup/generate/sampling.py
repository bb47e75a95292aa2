"""Sampling: how is the next token chosen from a model's logits?

    bias         logit + logit_bias of the token
    repetition   of tokens in prompt or answer: logit / penalty if positive, else logit * penalty
    presence     of tokens in the answer: logit - presence_penalty
    frequency    of tokens in the answer: logit - frequency_penalty * count
    masks        -inf for banned tokens, all but the allowed ones, and ends before min_tokens
    grammar      -inf for tokens after which no answer of the schema, expression or grammar is left
    temperature  logit / temperature; 0 takes the largest, as top-k 1 does, and draws nothing
    top-k        the k most likely tokens
    top-p        the most likely tokens until their sum reaches p, which the last one crosses
    min-p        tokens at least min_p times as likely as the most likely one

In this order, that of transformers 5. vLLM applies min-p before top-k and top-p, and llama.cpp the
temperature last, so the same numbers keep other tokens there. The last three renormalise. Reported
log-probabilities are the model's own, before all this.

Each sequence inverts its cumulative distribution at one uniform number per token from its own
generator, so the other sequences of a batch do not affect it.
Source: penalties: Keskar et al. 2019, arXiv:1909.05858, and OpenAI's API; top-p: Holtzman et al.
2020, arXiv:1904.09751; min-p: Nguyen et al. 2024, arXiv:2407.01082.
"""

import copy
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import pad

from groundup.core import ConfigError, Reason, Sampling, TokenLogprob

from .grammar.compiling import Matcher

NO_TOKEN = Reason(
    "no_token",
    "No token is left to choose: allowed_tokens, banned_tokens, min_tokens or the grammar exclude "
    "all.",
)

BLOCK = 64
"""Tokens whose probabilities are summed before a draw looks at single ones."""


class Candidates(NamedTuple):
    """Tokens that may be drawn, with probabilities that sum to one."""

    probabilities: Float[Tensor, "B C"]
    ids: Int[Tensor, "B C"] | None
    """None if the candidates are the whole vocabulary in order."""


class TokenSampler:
    """Chooses the tokens of one sequence, whatever runs beside it."""

    def __init__(
        self, sampling: Sampling, prompt: Iterable[int] = (), end_ids: Iterable[int] = (),
        seed: int | None = None, limit: int | None = None, matcher: Matcher | None = None,
    ) -> None:  # fmt: skip
        """Begin a sequence.

        prompt   its ids, which the repetition penalty counts
        end_ids  ids that end an answer
        seed     replaces `sampling.seed`
        limit    tokens that are drawn at most; default: `sampling.max_tokens`
        matcher  of the grammar of `sampling`

        Raises ConfigError for a grammar without a matcher, which would be ignored.
        """
        if sampling.constraint and matcher is None:
            raise ConfigError(
                f"Sampling.{sampling.constraint} is not supported here; leave it out."
            )
        self.matcher = matcher
        self.sampling, self.prompt = sampling, frozenset(prompt)
        self.ends = frozenset(end_ids) | frozenset(sampling.stop_tokens)
        self.counts = Counter[int]()
        """How often each token is in the answer."""
        self.length = 0
        self.uniforms = None
        if sampling.temperature > 0 and sampling.top_k != 1:
            generator = torch.Generator().manual_seed(sampling.seed if seed is None else seed)
            count = sampling.max_tokens if limit is None else limit
            self.uniforms = torch.rand(count, generator=generator, dtype=torch.float64)

    def copy(self) -> "TokenSampler":
        """The same settings, counts and uniform numbers, to look ahead with."""
        copied = copy.copy(self)
        copied.counts, copied.matcher = self.counts.copy(), None  # a matcher cannot look ahead
        return copied

    def add(self, token: int) -> None:
        """Count a token of the answer."""
        self.counts[token] += 1
        self.length += 1
        if self.matcher is not None:
            accepted = self.matcher.accept(token)
            assert accepted, "the grammar's mask has the token"

    @property
    def adjusts(self) -> bool:
        """Whether a setting changes the next logits before the temperature does."""
        s = self.sampling
        return bool(
            s.logit_bias or s.banned_tokens or s.allowed_tokens is not None
            or s.repetition_penalty != 1 or s.presence_penalty or s.frequency_penalty
            or self.length < s.min_tokens or self.matcher is not None
        )  # fmt: skip

    def adjustments(self, logits: Float[Tensor, " V"]) -> Iterator[tuple[str, Float[Tensor, " V"]]]:
        """Yield the logits after each setting that changes some, by the setting's name."""
        s = self.sampling
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
        if s.logit_bias:
            ids = _known_ids(s.logit_bias, logits)
            values = [s.logit_bias[token] for token in ids.tolist()]
            logits = logits.index_add(0, ids, logits.new_tensor(values))
            yield "logit_bias", logits
        if s.repetition_penalty != 1:
            ids = _known_ids({*self.prompt, *self.counts}, logits)
            values = logits[ids]
            penalised = torch.where(
                values > 0, values / s.repetition_penalty, values * s.repetition_penalty
            )
            logits = logits.index_copy(0, ids, penalised)
            yield f"repetition_penalty {s.repetition_penalty:g}", logits
        if s.presence_penalty or s.frequency_penalty:
            ids = _known_ids(self.counts, logits)
            counts = logits.new_tensor([self.counts[token] for token in ids.tolist()])
            logits = logits.index_add(0, ids, -s.presence_penalty - s.frequency_penalty * counts)
            yield f"presence {s.presence_penalty:g}, frequency {s.frequency_penalty:g}", logits
        for name, ids in self._excluded(logits):
            logits = logits.index_fill(0, ids, -torch.inf)
            yield name, logits
        if self.matcher is not None:
            mask = self.matcher.mask(len(logits)).to(logits.device)
            logits = logits.masked_fill(~mask, -torch.inf)
            yield s.constraint, logits

    def _excluded(self, logits: Float[Tensor, " V"]) -> Iterator[tuple[str, Int[Tensor, " n"]]]:
        s = self.sampling
        if s.banned_tokens:
            yield "banned_tokens", _known_ids(s.banned_tokens, logits)
        if s.allowed_tokens is not None:
            others = torch.ones(len(logits), dtype=torch.bool, device=logits.device)
            others[_known_ids(s.allowed_tokens, logits)] = False
            yield "allowed_tokens", others.nonzero()[:, 0]
        if self.length < s.min_tokens:
            yield f"min_tokens {s.min_tokens}", _known_ids(self.ends, logits)


def choose_tokens(
    logits: Float[Tensor, "B V"], samplers: Sequence[TokenSampler]
) -> list[int | Reason]:
    """The next token of each sequence, or NO_TOKEN; `TokenSampler.add` is left to the caller."""
    adjusted: dict[int, Float[Tensor, " V"]] = {}
    for row, sampler in enumerate(samplers):
        if sampler.adjusts:
            *_, (_, adjusted[row]) = sampler.adjustments(logits[row])
    if adjusted:
        logits = logits.to(torch.promote_types(logits.dtype, torch.float32), copy=True)
        for row, values in adjusted.items():
            logits[row] = values
    by_settings: dict[tuple[float, ...], list[int]] = {}
    for row, sampler in enumerate(samplers):
        settings = () if sampler.uniforms is None else _filters(sampler.sampling)
        by_settings.setdefault(settings, []).append(row)
    chosen: list[int | Reason] = [NO_TOKEN] * len(samplers)
    for settings, group in by_settings.items():
        own, first = logits if len(group) == len(logits) else logits[group], samplers[group[0]]
        if settings:
            uniforms = torch.stack([_next_uniform(samplers[row]) for row in group])
            found = sample_from_uniforms(own, first.sampling, uniforms.to(own.device))
        else:
            found = own.argmax(-1)
        for row, token in zip(group, found.tolist(), strict=True):
            chosen[row] = token
    for row, values in adjusted.items():
        if values.amax() == -torch.inf:
            chosen[row] = NO_TOKEN
    return chosen


def _filters(sampling: Sampling) -> tuple[float, ...]:
    return (sampling.temperature, sampling.top_k, sampling.top_p, sampling.min_p)


def _next_uniform(sampler: TokenSampler) -> Float[Tensor, ""]:
    assert sampler.uniforms is not None, "a greedy sequence draws nothing"
    return sampler.uniforms[sampler.length]


def _known_ids(ids: Iterable[int], logits: Float[Tensor, " V"]) -> Int[Tensor, " n"]:
    """The ids of the vocabulary among these, ascending."""
    known = sorted(token for token in ids if 0 <= token < len(logits))
    return torch.tensor(known, dtype=torch.long, device=logits.device)


def sampling_distribution(logits: Float[Tensor, "B V"], sampling: Sampling) -> Candidates:
    """The distribution after temperature, top-k, top-p and min-p, in float64.

    >>> sampling = Sampling(temperature=1.0, top_p=0.45)
    >>> sampling_distribution(torch.tensor([[0.1, 0.5, 0.4]]).log(), sampling).probabilities
    tensor([[1., 0., 0.]], dtype=torch.float64)
    """
    values, ids = logits, None
    if 0 < sampling.top_k < logits.shape[-1]:
        values, ids = logits.topk(sampling.top_k)  # (B, k), most likely first
    elif sampling.top_p < 1:
        values, ids = logits.sort(descending=True, stable=True)
    probabilities = _tempered(values, sampling).softmax(-1, dtype=torch.float64)
    if sampling.top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        before[:, 0] = 0
        kept = probabilities.masked_fill(before >= sampling.top_p, 0)
        probabilities = kept / kept.sum(-1, keepdim=True)
    if sampling.min_p > 0:
        least = sampling.min_p * probabilities.amax(-1, keepdim=True)
        kept = probabilities.masked_fill(probabilities < least, 0)
        probabilities = kept / kept.sum(-1, keepdim=True)
    return Candidates(probabilities, ids)


def _tempered(logits: Float[Tensor, "B V"], sampling: Sampling) -> Float[Tensor, "B V"]:
    if sampling.temperature == 1:
        return logits
    values = logits.double()  # a temperature may be 1e-300
    return (values - values.amax(-1, keepdim=True)) / sampling.temperature


def sample_from_uniforms(
    logits: Float[Tensor, "B V"], sampling: Sampling, uniforms: Float[Tensor, " B"]
) -> Int[Tensor, " B"]:
    """Next token of each sequence, given its uniform number in [0, 1), at a temperature above 0."""
    if sampling.top_k or sampling.top_p < 1 or sampling.min_p:
        weights, ids = sampling_distribution(logits, sampling)
    else:  # nothing is cut off: float32 will do
        weights, ids = _tempered(logits, sampling).softmax(-1, dtype=torch.float32), None
    index = _first_above(weights, uniforms)
    return index if ids is None else ids.gather(-1, index[:, None])[:, 0]


def _first_above(weights: Float[Tensor, "B V"], shares: Float[Tensor, " B"]) -> Int[Tensor, " B"]:
    """Where the running sum of each row first exceeds a share of its total.

    In two steps, of which only the first reads all weights: a running sum is slow.
    """
    rest = -weights.shape[-1] % BLOCK
    blocks = (pad(weights, (0, rest)) if rest else weights).unflatten(-1, (-1, BLOCK))
    sums = blocks.sum(-1).double().cumsum(-1)
    total = sums[:, -1:]
    below = torch.minimum(shares[:, None] * total, total.nextafter(torch.zeros_like(total)))
    block = torch.searchsorted(sums, below, right=True)  # (B, 1), of which the sum is above
    block = block.clamp(max=sums.shape[-1] - 1)  # NaN, where no token is left
    before = pad(sums, (1, 0)).gather(-1, block)
    own = blocks.gather(1, block[..., None].expand(-1, -1, BLOCK))[:, 0].double()
    inner = before + own.cumsum(-1)
    last = own.shape[-1] - 1 - (own.flip(-1) > 0).byte().argmax(-1, keepdim=True)
    at = torch.minimum(torch.searchsorted(inner, below, right=True), last)  # rounding may miss it
    return (block * BLOCK + at)[:, 0]


def top_logprobs(logits: Float[Tensor, " V"], count: int) -> tuple[TokenLogprob, ...]:
    """The most likely tokens and their log-probabilities, best first."""
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32)).log_softmax(-1)
    best = exact.topk(min(count, len(exact)))
    pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
    return tuple(TokenLogprob(token, value) for token, value in pairs)
