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
from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from pydantic import Field, model_validator
from torch import Tensor

from groundup.core import Config, ConfigError, Generation, Sampling

from .decoding import Decoding, evaluating
from .engine import Engine


class BeamConfig(Config):
    """Beam width, length penalty and stopping rule."""

    width: int = Field(default=4, ge=1)
    """Sequences kept at every step."""
    best: int = Field(default=1, ge=1)
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
        if self.best > self.width:
            raise ConfigError(
                f"BeamConfig.best={self.best} exceeds width={self.width}; raise width."
            )
        return self


class Beam(NamedTuple):
    """An answer and its score."""

    generation: Generation
    score: float
    """Log-probability in nats / length^penalty."""


class Ended(NamedTuple):
    """A finished sequence with its score."""

    score: float
    ids: list[int]
    logprobs: list[float]


class Kept(NamedTuple):
    """Running sequences of N sources, W of each, best first."""

    scores: Float[Tensor, "N W"]
    """Sums of log-probabilities; -inf where there is no sequence."""
    ids: Int[Tensor, "N W T"]
    logprobs: Float[Tensor, "N W T"]
    parents: Int[Tensor, "N W"]
    """Index of the beam that each one extends."""

    def at(self, places: Int[Tensor, "N w"]) -> "Kept":
        """The sequences at these indices of each source."""
        wide = places[..., None].expand(-1, -1, self.ids.shape[-1])
        return Kept(
            self.scores.gather(1, places), self.ids.gather(1, wide),
            self.logprobs.gather(1, wide), self.parents.gather(1, places),
        )  # fmt: skip

    def of(self, sources: Int[Tensor, " n"]) -> "Kept":
        """The sequences of these sources."""
        return Kept(*(tensor[sources] for tensor in self))


def beams(engine: Engine, prompts: Sequence[Sequence[int]], config: BeamConfig) -> list[list[Beam]]:
    """The most likely answers to each prompt or source, best first.

    Raises CapacityError if a prompt leaves no room for an answer; see `Engine.encode_prompt`.
    """
    sampling = Sampling(max_tokens=config.max_tokens)
    for prompt in prompts:
        engine.room(prompt, sampling)
    answers: dict[int, list[Beam]] = {}
    for batch in engine.batches(prompts, config.max_tokens):
        size = max(1, len(batch) // config.width)
        for first in range(0, len(batch), size):
            chosen = batch[first : first + size]
            for index, finished in zip(
                chosen, searched(engine, [prompts[i] for i in chosen], config), strict=True
            ):
                answers[index] = [
                    Beam(engine.generation(sequence.ids, sequence.logprobs), sequence.score)
                    for sequence in finished
                ]
    return [answers[i] for i in range(len(prompts))]


@torch.inference_mode()
def searched(
    engine: Engine, prompts: Sequence[Sequence[int]], config: BeamConfig
) -> list[list[Ended]]:
    limit = min(engine.room(prompt, Sampling(max_tokens=config.max_tokens)) for prompt in prompts)
    with evaluating(engine.model):
        finished = search(engine.decoding(prompts, limit), engine.end_ids, config, limit)
    return [sequences[: config.best] for sequences in finished]


def search(
    decoding: Decoding, ends: Sequence[int], config: BeamConfig, limit: int
) -> list[list[Ended]]:
    """At most `width` finished sequences for each prompt of a prefilled batch."""
    device, num_sources = decoding.logits.device, len(decoding.logits)
    finished: list[list[Ended]] = [[] for _ in range(num_sources)]
    running = torch.arange(num_sources, device=device)
    running_beams, flat = (
        first(num_sources, config.width, device),
        running.repeat_interleave(config.width),
    )
    stops = torch.tensor(ends, dtype=torch.long, device=device)
    for length in range(1, limit + 1):
        decoding.select(flat)
        if length > 1:
            decoding.write(running_beams.ids[..., -1].flatten())
        extended = grow(running_beams, decoding.logits, most=max(2, 1 + len(ends)) * config.width)
        has_ended = torch.isin(extended.ids[..., -1], stops) | (length == limit)
        for row, source in enumerate(running.tolist()):
            finished[source] = collect(finished[source], extended, has_ended, row, config)
        best = extended.scores.masked_fill(has_ended, -math.inf).topk(config.width)
        running_beams = extended.at(best.indices)._replace(scores=best.values)
        is_unfinished = [
            not is_done(finished[source], score, length, config, limit)
            for source, score in zip(
                running.tolist(), running_beams.scores[:, 0].tolist(), strict=True
            )
        ]
        unfinished = torch.tensor(is_unfinished, device=device).nonzero()[:, 0]
        if len(unfinished) == 0:
            break
        running, running_beams = running[unfinished], running_beams.of(unfinished)
        flat = (unfinished[:, None] * config.width + running_beams.parents).flatten()
    return finished


def first(rows: int, width: int, place: torch.device) -> Kept:
    """One empty sequence per source; the other beams start at -inf, or all would be equal."""
    scores = torch.full((rows, width), -math.inf, dtype=torch.float64, device=place)
    scores[:, 0] = 0
    empty = torch.zeros(rows, width, 0, device=place)
    parents = torch.zeros(rows, width, dtype=torch.long, device=place)
    return Kept(scores, empty.long(), empty.double(), parents)


def grow(kept: Kept, logits: Float[Tensor, "NW V"], most: int) -> Kept:
    """The best of all one-token extensions."""
    N, W = kept.scores.shape
    exact = logits.to(torch.promote_types(logits.dtype, torch.float32))
    logprobs = exact.log_softmax(-1).unflatten(0, (N, W)).double()  # (N, W, V)
    totals = (kept.scores[..., None] + logprobs).flatten(1)  # (N, W * V)
    best = totals.topk(min(most, totals.shape[1]))
    parents, tokens = best.indices // logprobs.shape[-1], best.indices % logprobs.shape[-1]
    grown = kept.at(parents)
    added = logprobs.flatten(1).gather(1, best.indices)
    return Kept(
        best.values,
        torch.cat([grown.ids, tokens[..., None]], dim=-1),
        torch.cat([grown.logprobs, added[..., None]], dim=-1),
        parents,
    )


def collect(
    answers: list[Ended], grown: Kept, has_ended: Bool[Tensor, "N C"], row: int, config: BeamConfig
) -> list[Ended]:
    """Add the sequences that end now among the best `width`; keep the best `width` of all."""
    ended = has_ended[row, : config.width] & grown.scores[row, : config.width].isfinite()
    length = grown.ids.shape[-1]
    new = [
        Ended(
            float(grown.scores[row, index]) / length**config.length_penalty,
            grown.ids[row, index].tolist(),
            grown.logprobs[row, index].tolist(),
        )
        for index in ended.nonzero()[:, 0].tolist()
    ]
    return sorted([*answers, *new], key=lambda answer: -answer.score)[: config.width]


def is_done(answers: list[Ended], best: float, length: int, config: BeamConfig, limit: int) -> bool:
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
