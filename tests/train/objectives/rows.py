"""Rows of real text to try objectives on: what Python's library says of its modules."""

import functools
import pydoc_data.topics

import numpy as np

from groundup.tokenizer import DOCUMENT_END, SPECIAL_SETS, FastTokenizer, Loader, Shard, train_bpe
from groundup.train import NoiseConfig, ObjectiveContext, token_properties_of
from groundup.train.objectives.objective import BatchInputs, TokenProperties

LENGTH = 256


@functools.cache
def texts() -> tuple[str, ...]:
    """About 400 kB of prose in many documents."""
    return tuple(text for _, text in sorted(pydoc_data.topics.topics.items()))


@functools.cache
def tokenizer() -> FastTokenizer:
    """A thousand tokens and every special one."""
    merges = train_bpe(texts()[:30], 700)
    return FastTokenizer(merges, specials=[n for names in SPECIAL_SETS.values() for n in names])


@functools.cache
def shard() -> Shard:
    """The texts as ids."""
    words = tokenizer()
    rows = [
        (f"topic {n}", words.encode(text), len(text.encode())) for n, text in enumerate(texts())
    ]
    return Shard.from_documents("topics", rows, end=words.special_id(DOCUMENT_END))


@functools.cache
def properties() -> TokenProperties:
    """What that tokenizer's tokens are."""
    return token_properties_of(tokenizer())


def setting(seed: int = 0, **noise) -> ObjectiveContext:
    """All that an objective needs besides rows."""
    return ObjectiveContext(properties(), NoiseConfig(**noise), tokenizer(), seed)


def making(
    step: int = 0, rows: int = 8, length: int = LENGTH, seed: int = 0, **noise
) -> BatchInputs:
    """A batch of packed windows to be made."""
    windows = Loader([shard()], rows, length, seed=3).batch(step)
    return BatchInputs(setting(seed, **noise), windows, step)


def many(**noise) -> BatchInputs:
    """At least 100,000 tokens in one batch."""
    return making(rows=400, **noise)


def within(count: int, total: int, rate: float) -> bool:
    """Whether a count is within four standard deviations of a binomial's mean."""
    return abs(count - rate * total) < 4 * np.sqrt(total * rate * (1 - rate))
