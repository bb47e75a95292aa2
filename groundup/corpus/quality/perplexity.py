"""The step `quality.perplexity`: bits a character under an n-gram model, and a bucket.

A model of good text finds good text likely. As in CCNet the score is cut into head, middle and
tail: the thirds of a sample of the texts to be sorted, which `cuts` measures. Very low bits mean
boilerplate rather than quality, so there is a floor too. Nothing is dropped but by policy.
"""

from collections.abc import Iterable

import numpy as np
from pydantic import Field

from groundup.core import Config, ConfigError, DataError, File, hash_file
from groundup.documents import Record, Ruling

from .ngram import NAME, NgramModel

BUCKETS = ("head", "middle", "tail")


class PerplexityConfig(Config):
    """Which model measures, and what goes."""

    model: File
    """Folder of an n-gram model; see `train_ngrams`."""
    sha256: str = ""
    """Of the model's safetensors file: another model is refused. Empty: not checked; a corpus is
    named by what its model holds in any case."""
    cuts: tuple[float, float] | None = None
    """Bits a character where the middle and the tail begin: `cuts` of a sample. None: no buckets.
    Source of thirds: CCNet, Wenzek et al. 2020, section 3."""
    drop: tuple[str, ...] = ()
    """Buckets whose records go, such as ["tail"]."""
    most_bits: float | None = Field(default=None, gt=0)
    """Bits a character above which a record goes; None: no limit."""
    least_bits: float | None = Field(default=None, ge=0)
    """Bits a character below which a record goes, as what everybody says; None: no limit."""
    characters: int = Field(default=50_000, ge=100)
    """Characters that are measured, from the start. Source: own judgement."""


class PerplexityStep:
    """Measures how surprising a record is, and drops it by policy."""

    def __init__(self, config: PerplexityConfig) -> None:
        unknown = sorted(set(config.drop) - set(BUCKETS))
        if unknown:
            raise ConfigError(f"drop={unknown} are no buckets; there are {', '.join(BUCKETS)}.")
        if config.drop and config.cuts is None:
            raise ConfigError("drop needs `cuts`, the two bounds between the buckets; see `cuts`.")
        if config.cuts and config.cuts[0] > config.cuts[1]:
            raise ConfigError(f"cuts={config.cuts} must rise: head below the first, tail above.")
        self.config = config
        self.model = NgramModel.load(config.model)
        if config.sha256 and hash_file(config.model / NAME) != config.sha256:
            raise ConfigError(f"{config.model} is not the model with sha256={config.sha256}.")

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        config = self.config
        try:
            found = self.model.measure(record.text[: config.characters])
        except DataError:
            return Ruling("perplexity: no words")
        bits = round(found.bits_per_character, 4)
        metadata: dict[str, float | str] = {"bits_per_character": bits}
        if config.most_bits is not None and bits > config.most_bits:
            return Ruling("perplexity: too surprising", bits, f"at most {config.most_bits}")
        if config.least_bits is not None and bits < config.least_bits:
            return Ruling("perplexity: too predictable", bits, f"at least {config.least_bits}")
        if config.cuts is not None:
            bucket = BUCKETS[sum(bits > cut for cut in config.cuts)]
            if bucket in config.drop:
                return Ruling(f"perplexity: {bucket}", bits, f"cuts at {config.cuts}")
            metadata["perplexity_bucket"] = bucket
        return Ruling(metadata=metadata)


def cuts(
    model: NgramModel, texts: Iterable[str], shares: tuple[float, float] = (1 / 3, 2 / 3)
) -> tuple[float, float]:
    """Bits a character below which these shares of the texts lie; texts without words are left out.

    Raises DataError if none has words.
    """
    bits = []
    for text in texts:
        try:
            bits.append(model.measure(text).bits_per_character)
        except DataError:
            continue
    if not bits:
        raise DataError("No text of the sample has words; give texts of the kind to be sorted.")
    low, high = np.quantile(bits, shares)
    return (round(float(low), 4), round(float(high), 4))
