"""Beam search: of the sequences that could be written, keep the likeliest few at every step.

    score(y) = log p(y | x) / length(y)^penalty

Each step grows every kept sequence by every token and keeps the best. One that ends among the best
is an answer; those that have not ended go on until none of them can, or is thought to, become
better than the answers there are. A search of width 1 is greedy; one as wide as all sequences
finds the best. Knows nothing of text; see engine.py for prompts and sources.
Source: Lowerre 1976; lengths as in Wu et al. 2016, arXiv:1609.08144, without its constant; when to
stop as in transformers 5.24, `_beam_search`.
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
    """How wide to search, what to prefer, when to stop."""

    width: int = Field(default=4, ge=1)
    """Sequences kept at every step."""
    best: int = Field(default=1, ge=1)
    """Answers given, best first."""
    length_penalty: float = 1.0
    """0 compares sums of log-probabilities, 1 their means; more prefers longer answers."""
    stop: Literal["full", "estimate", "bound"] = "estimate"
    """full      as soon as `width` answers have ended
    estimate  when the best unfinished one, at its present length, beats none of them
    bound     when it could beat none at any length"""
    max_tokens: int = Field(default=256, ge=1)
    """Most tokens of an answer, its end included."""

    @model_validator(mode="after")
    def check(self) -> "BeamConfig":
        """Refuse more answers than are kept."""
        if self.best > self.width:
            raise ConfigError(
                f"BeamConfig.best={self.best} is more than width={self.width}; search as wide."
            )
        return self


class Beam(NamedTuple):
    """An answer and its score."""

    generation: Generation
    score: float
    """Log-probability in nats over the length to the power of the penalty."""


class Ended(NamedTuple):
    """Ids of an answer, their log-probabilities and its score."""

    score: float
    ids: list[int]
    logprobs: list[float]


class Kept(NamedTuple):
    """Sequences of N sources, W of each, best first."""

    scores: Float[Tensor, "N W"]
    """Sums of log-probabilities; -inf where there is no sequence."""
    ids: Int[Tensor, "N W T"]
    logprobs: Float[Tensor, "N W T"]
    parents: Int[Tensor, "N W"]
    """Place of what each was grown from."""

    def at(self, places: Int[Tensor, "N w"]) -> "Kept":
        """The sequences at these places of each source."""
        wide = places[..., None].expand(-1, -1, self.ids.shape[-1])
        return Kept(
            self.scores.gather(1, places), self.ids.gather(1, wide),
            self.logprobs.gather(1, wide), self.parents.gather(1, places),
        )  # fmt: skip

    def of(self, sources: Int[Tensor, " n"]) -> "Kept":
        """The sequences of these sources."""
        return Kept(*(tensor[sources] for tensor in self))


def beams(engine: Engine, prompts: Sequence[Sequence[int]], config: BeamConfig) -> list[list[Beam]]:
    """The likeliest answers to each prompt or source, best first.

    Raises CapacityError if a prompt leaves no room for an answer; see `Engine.plain` for texts.
    """
    sampling = Sampling(max_tokens=config.max_tokens)
    for prompt in prompts:
        engine.room(prompt, sampling)
    answers: dict[int, list[Beam]] = {}
    for batch in engine.batches(prompts, config.max_tokens):
        size = max(1, len(batch) // config.width)
        for first in range(0, len(batch), size):
            chosen = batch[first : first + size]
            for place, ended in zip(
                chosen, searched(engine, [prompts[i] for i in chosen], config), strict=True
            ):
                answers[place] = [
                    Beam(engine.generation(each.ids, each.logprobs), each.score) for each in ended
                ]
    return [answers[i] for i in range(len(prompts))]


@torch.inference_mode()
def searched(
    engine: Engine, prompts: Sequence[Sequence[int]], config: BeamConfig
) -> list[list[Ended]]:
    """The best answers to each prompt of one batch."""
    limit = min(engine.room(prompt, Sampling(max_tokens=config.max_tokens)) for prompt in prompts)
    with evaluating(engine.model):
        found = search(engine.decoding(prompts, limit), engine.end_ids, config, limit)
    return [ended[: config.best] for ended in found]


def search(
    decoding: Decoding, ends: Sequence[int], config: BeamConfig, limit: int
) -> list[list[Ended]]:
    """At most `width` answers for each row of a decoding that has read its prompts."""
    place, rows = decoding.logits.device, len(decoding.logits)
    found: list[list[Ended]] = [[] for _ in range(rows)]
    running = torch.arange(rows, device=place)
    kept, flat = first(rows, config.width, place), running.repeat_interleave(config.width)
    stops = torch.tensor(ends, dtype=torch.long, device=place)
    for length in range(1, limit + 1):
        decoding.select(flat)
        if length > 1:
            decoding.write(kept.ids[..., -1].flatten())
        grown = grow(kept, decoding.logits, most=max(2, 1 + len(ends)) * config.width)
        has_ended = torch.isin(grown.ids[..., -1], stops) | (length == limit)
        for row, source in enumerate(running.tolist()):
            found[source] = collect(found[source], grown, has_ended, row, config)
        best = grown.scores.masked_fill(has_ended, -math.inf).topk(config.width)
        kept = grown.at(best.indices)._replace(scores=best.values)
        goes_on = [
            not is_done(found[source], score, length, config, limit)
            for source, score in zip(running.tolist(), kept.scores[:, 0].tolist(), strict=True)
        ]
        left = torch.tensor(goes_on, device=place).nonzero()[:, 0]
        if len(left) == 0:
            break
        running, kept = running[left], kept.of(left)
        flat = (left[:, None] * config.width + kept.parents).flatten()
    return found


def first(rows: int, width: int, place: torch.device) -> Kept:
    """One empty sequence a source, and nothing beside it: else all would grow alike."""
    scores = torch.full((rows, width), -math.inf, dtype=torch.float64, device=place)
    scores[:, 0] = 0
    empty = torch.zeros(rows, width, 0, device=place)
    parents = torch.zeros(rows, width, dtype=torch.long, device=place)
    return Kept(scores, empty.long(), empty.double(), parents)


def grow(kept: Kept, logits: Float[Tensor, "NW V"], most: int) -> Kept:
    """The best `most` of all sequences that are one token longer."""
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
    """The answers there were and those that end now among the best `width`; the best of both."""
    ended = has_ended[row, : config.width] & grown.scores[row, : config.width].isfinite()
    length = grown.ids.shape[-1]
    new = [
        Ended(
            float(grown.scores[row, place]) / length**config.length_penalty,
            grown.ids[row, place].tolist(),
            grown.logprobs[row, place].tolist(),
        )
        for place in ended.nonzero()[:, 0].tolist()
    ]
    return sorted([*answers, *new], key=lambda each: -each.score)[: config.width]


def is_done(answers: list[Ended], best: float, length: int, config: BeamConfig, limit: int) -> bool:
    """Whether nothing that goes on is to become an answer.

    best  highest score of what has not ended, -inf if all has
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
