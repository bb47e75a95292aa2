"""Beam search: keep the most likely sequences at every step.

    score(y) = log p(y | x) / length(y)^penalty

Each step extends every running sequence by every token and keeps the best. A sequence that ends
among the best is finished; the others run until none can (or is estimated to) beat the finished
ones. Width 1 is greedy search; a width of all sequences is exhaustive. No text here, only ids; see
engine.py for prompts and sources.
Source: Lowerre 1976; length penalty as in Wu et al. 2016, arXiv:1609.08144, without its constant;
stopping as in transformers 5.24, `_beam_search`.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import groupby
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from groundup.core import ArtifactError, Config, ConfigError, Generation, Sampling
from groundup.kernels import BLOCK_TOKENS

from .batching.answers import DecodedSequence, is_finite
from .batching.forks import ForkingSequences
from .batching.native import MAX_CACHE_POSITIONS
from .cached import CachedBatch, CachedTransformer, default_batch_tokens, eval_mode, prefill
from .decoding import MAX_BATCH_SIZE
from .engine import NOT_FINITE_MESSAGE, Engine


class BeamConfig(Config):
    """Beam width, length penalty and stopping rule."""

    width: int = Field(default=4, ge=1)
    """Sequences kept at every step."""
    num_return_sequences: int = Field(default=1, ge=1)
    """Answers returned, best first."""
    length_penalty: float = 1.0
    """0 compares sums of log-probabilities, 1 their means; larger values prefer longer answers."""
    stop: Literal["full", "estimate", "bound"] = "estimate"
    """full      as soon as `width` answers have ended
    estimate  when the best unfinished one, at its current length, beats none of them
    bound     when it could beat none at any length"""
    max_tokens: int = Field(default=256, ge=1)
    """Maximum tokens of an answer, its end token included."""

    @model_validator(mode="after")
    def check(self) -> "BeamConfig":
        """Check that no more answers are returned than beams are kept."""
        if self.num_return_sequences > self.width:
            count, width = self.num_return_sequences, self.width
            raise ConfigError(f"num_return_sequences={count} exceeds width={width}; raise width.")
        return self


class Beam(NamedTuple):
    """An answer and its score."""

    generation: Generation
    score: float
    """Log-probability in nats / length^penalty."""


class FinishedSequence(NamedTuple):
    """A finished sequence with its score."""

    score: float
    ids: list[int]
    logprobs: list[float]

    def as_decoded(self, end_ids: Sequence[int]) -> DecodedSequence:
        """The sequence without its score."""
        reason = "stop" if self.ids and self.ids[-1] in end_ids else "length"
        return DecodedSequence(self.ids, self.logprobs, reason)


class BeamState(NamedTuple):
    """Running sequences of N sources, W of each, best first."""

    scores: Float[Tensor, "N W"]
    """Sums of log-probabilities; -inf where there is no sequence."""
    ids: Int[Tensor, "N W T"]
    logprobs: Float[Tensor, "N W T"]
    parents: Int[Tensor, "N W"]
    """Index of the beam that each one extends."""

    def gather(self, indices: Int[Tensor, "N w"]) -> "BeamState":
        """The sequences at these indices of each source."""
        wide = indices[..., None].expand(-1, -1, self.ids.shape[-1])
        return BeamState(
            self.scores.gather(1, indices), self.ids.gather(1, wide),
            self.logprobs.gather(1, wide), self.parents.gather(1, indices),
        )  # fmt: skip

    def select_sources(self, sources: Int[Tensor, " n"]) -> "BeamState":
        """The sequences of these sources."""
        return BeamState(*(tensor[sources] for tensor in self))


def beam_search(
    engine: Engine, prompts: Sequence[Sequence[int]], config: BeamConfig
) -> list[list[Beam]]:
    """The most likely answers to each prompt or source, best first.

    Raises CapacityError if a prompt leaves no room for an answer; see `Engine.encode_prompt`.
    """
    sampling = Sampling(max_tokens=config.max_tokens)
    limits = [engine.max_new_tokens(prompt, sampling) for prompt in prompts]  # a batch has one
    answers: dict[int, list[Beam]] = {}
    for chosen in _batches(prompts, limits, config.width):
        with engine.cached.native.lock, eval_mode(engine.model):
            found = search_ids(
                engine.cached, [prompts[i] for i in chosen], config, end_ids=engine.end_ids,
                vocab_size=engine.tokenizer.vocab_size, limit=limits[chosen[0]],
            )  # fmt: skip
        for index, finished in zip(chosen, found, strict=True):
            answers[index] = [
                Beam(engine.build_generation(each.as_decoded(engine.end_ids)), each.score)
                for each in finished[: config.num_return_sequences]
            ]
    return [answers[i] for i in range(len(prompts))]


def _batches(
    prompts: Sequence[Sequence[int]], limits: Sequence[int], width: int
) -> Iterator[list[int]]:
    """Indices of prompts whose answers may be equally long, the longest prompts first."""
    order = sorted(range(len(prompts)), key=lambda i: (-limits[i], -len(prompts[i])))
    for limit, group in groupby(order, key=limits.__getitem__):
        waiting = list(group)
        while waiting:
            positions = width * (len(prompts[waiting[0]]) + limit)
            size = max(1, min(MAX_CACHE_POSITIONS // positions, MAX_BATCH_SIZE // width))
            yield waiting[:size]
            waiting = waiting[size:]


@torch.inference_mode()
def search_ids(
    model: CachedTransformer, prompts: Sequence[Sequence[int]], config: BeamConfig, *,
    end_ids: Sequence[int], vocab_size: int, limit: int,
) -> list[list[FinishedSequence]]:  # fmt: skip
    """At most `width` finished sequences of at most `limit` tokens for each prompt, best first.

    prompts  longest first; the sources of an encoder–decoder
    """
    with closing(_begin(model, prompts, config, vocab_size, limit)) as sequences:
        return _search(sequences, prompts, config, end_ids, limit)


def _search(
    sequences: "ForkingSequences | CachedBeams", prompts: Sequence[Sequence[int]],
    config: BeamConfig, end_ids: Sequence[int], limit: int,
) -> list[list[FinishedSequence]]:  # fmt: skip
    num_sources, logits = len(prompts), sequences.prefill(prompts)
    finished: list[list[FinishedSequence]] = [[] for _ in range(num_sources)]
    device = logits.device
    running = torch.arange(num_sources, device=device)
    running_beams = _initial_beams(num_sources, config.width, device)
    flat = running.repeat_interleave(config.width)
    stops = torch.tensor(end_ids, dtype=torch.long, device=device)
    for length in range(1, limit + 1):
        sequences.select(flat.tolist())
        if length > 1:
            logits = sequences.extend(running_beams.ids[..., -1].flatten().tolist())
        else:
            logits = logits[flat]
        if not is_finite(logits):
            raise ArtifactError(NOT_FINITE_MESSAGE)
        max_candidates = max(2, 1 + len(end_ids)) * config.width
        extended = _extend_beams(running_beams, logits, max_candidates)
        has_ended = torch.isin(extended.ids[..., -1], stops) | (length == limit)
        for row, source in enumerate(running.tolist()):
            finished[source] = _collect_finished(finished[source], extended, has_ended, row, config)
        best = extended.scores.masked_fill(has_ended, -math.inf).topk(config.width)
        running_beams = extended.gather(best.indices)._replace(scores=best.values)
        best_scores = zip(running.tolist(), running_beams.scores[:, 0].tolist(), strict=True)
        is_unfinished = [
            not _is_done(finished[source], score, length, config, limit)
            for source, score in best_scores
        ]
        unfinished = torch.tensor(is_unfinished, device=device).nonzero()[:, 0]
        if len(unfinished) == 0:
            break
        running, running_beams = running[unfinished], running_beams.select_sources(unfinished)
        flat = (unfinished[:, None] * config.width + running_beams.parents).flatten()
    return finished


def _begin(
    model: CachedTransformer, prompts: Sequence[Sequence[int]], config: BeamConfig,
    vocab_size: int, limit: int,
) -> "ForkingSequences | CachedBeams":  # fmt: skip
    """Sequences that fork, in blocks where the native stack runs."""
    forks = [limit + 2 * BLOCK_TOKENS] * config.width
    lengths = [length for ids in prompts for length in (len(ids) + BLOCK_TOKENS, *forks)]
    engine = model.native.with_room([sum(lengths)], vocab_size)
    if engine is None:
        return CachedBeams(model, vocab_size, limit)
    return ForkingSequences(engine.decoder, engine.pool, vocab_size)


class CachedBeams:
    """Sequences that fork on a contiguous cache, which each step copies."""

    def __init__(self, model: CachedTransformer, vocab_size: int, limit: int) -> None:
        """Begin without sequences; answers have at most `limit` tokens."""
        self.model, self.limit, self.project = model, limit, model.projection(vocab_size)
        self.state: CachedBatch | None = None

    def prefill(self, prompts: Sequence[Sequence[int]]) -> Float[Tensor, "N V"]:
        """Begin with these prompts or sources; the logits behind each."""
        budget = default_batch_tokens(self.model.head.device)
        self.state, last = prefill(self.model, prompts, self.limit, budget)
        return self.project(last)

    def select(self, rows: Sequence[int]) -> None:
        """Keep these sequences, each as often as it is named."""
        assert self.state is not None, "called after prefill"
        rows_tensor = torch.tensor(rows, device=self.model.head.device)
        self.state = self.model.branch(self.state, rows_tensor)

    def extend(self, ids: Sequence[int]) -> Float[Tensor, "N V"]:
        """Append one token to each sequence; the logits behind it."""
        assert self.state is not None, "called after prefill"
        column = torch.tensor(ids, device=self.model.head.device)
        hidden = self.model.extend(self.state, column[:, None], torch.ones_like(column))
        return self.project(hidden[:, -1])

    def close(self) -> None:
        """Drop all sequences."""
        self.state = None


def _initial_beams(num_sources: int, width: int, device: torch.device) -> BeamState:
    """One empty sequence per source; the other beams start at -inf, or all would be equal."""
    scores = torch.full((num_sources, width), -math.inf, dtype=torch.float64, device=device)
    scores[:, 0] = 0
    empty = torch.zeros(num_sources, width, 0, device=device)
    parents = torch.zeros(num_sources, width, dtype=torch.long, device=device)
    return BeamState(scores, empty.long(), empty.double(), parents)


def _extend_beams(
    beams_state: BeamState, logits: Float[Tensor, "NW V"], max_candidates: int
) -> BeamState:
    N, W = beams_state.scores.shape
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logprobs = exact.log_softmax(-1).unflatten(0, (N, W)).double()  # (N, W, V)
    totals = (beams_state.scores[..., None] + logprobs).flatten(1)  # (N, W * V)
    best = totals.topk(min(max_candidates, totals.shape[1]))
    parents, tokens = best.indices // logprobs.shape[-1], best.indices % logprobs.shape[-1]
    grown = beams_state.gather(parents)
    added = logprobs.flatten(1).gather(1, best.indices)
    return BeamState(
        best.values,
        torch.cat([grown.ids, tokens[..., None]], dim=-1),
        torch.cat([grown.logprobs, added[..., None]], dim=-1),
        parents,
    )


def _collect_finished(
    answers: list[FinishedSequence],
    extended: BeamState,
    has_ended: Bool[Tensor, "N C"],
    source: int,
    config: BeamConfig,
) -> list[FinishedSequence]:
    """Add the sequences that end now among the best `width`; keep the best `width` of all."""
    ended = has_ended[source, : config.width] & extended.scores[source, : config.width].isfinite()
    length = extended.ids.shape[-1]
    new = [
        FinishedSequence(
            float(extended.scores[source, index]) / length**config.length_penalty,
            extended.ids[source, index].tolist(),
            extended.logprobs[source, index].tolist(),
        )
        for index in ended.nonzero()[:, 0].tolist()
    ]
    return sorted([*answers, *new], key=lambda answer: -answer.score)[: config.width]


def _is_done(
    answers: list[FinishedSequence], best: float, length: int, config: BeamConfig, limit: int
) -> bool:
    """Whether no running sequence can become an answer.

    best  highest score of the running sequences; -inf if there are none
    """
    if best == -math.inf:
        return True
    if len(answers) < config.width:
        return False
    if config.stop == "full":
        return True
    penalty = config.length_penalty
    reach = limit if config.stop == "bound" and penalty > 0 else length
    return best / reach**penalty <= answers[-1].score
