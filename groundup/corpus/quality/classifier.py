"""A linear classifier of texts on hashed words and characters, and the step that asks it.

    p(good | text) = σ(a (w · x + b) + c)      x = ln(1 + counts), of length 1, of hashed features

Features are words, pairs of words and runs of characters, hashed into a table of 2^bits weights,
as in fastText and Vowpal Wabbit. a and c calibrate on texts that w has not seen (Platt 1999). What
"good" means is whatever the two sets of texts that it is trained on say; see training.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import ArtifactError, Config, ConfigError, File, hash_file, write_json
from groundup.documents import Record, Ruling

from .hashing import character_runs, extended, mixed, words

NAME = "classifier.safetensors"


class FeaturesConfig(Config):
    """What of a text a classifier sees."""

    bits: int = Field(default=18, ge=8, le=26)
    """The table has 2^bits weights; source: scikit-learn's HashingVectorizer has 2^20, Vowpal
    Wabbit 2^18."""
    word_orders: tuple[int, ...] = (1, 2)
    """Lengths of runs of words. Source: FineWeb-Edu-like fastText filters use up to pairs."""
    character_orders: tuple[int, ...] = (4,)
    """Lengths of runs of characters. Own choice, by benchmarks/quality_models.py."""
    characters: int = Field(default=20_000, ge=100)
    """Characters that are looked at, from the start."""


class Features(NamedTuple):
    """The features of some texts: one sparse row each."""

    columns: np.ndarray
    """(N,) int64: places in the table."""
    values: np.ndarray
    """(N,) float32; each row has length 1."""
    sizes: np.ndarray
    """(B,) features of each row."""


def features_of(texts: Sequence[str], config: FeaturesConfig) -> Features:
    """The hashed features of texts; a text without words has none."""
    shift = np.uint64(64 - config.bits)
    columns, values, sizes = [], [], []
    for text in texts:
        keys = [*word_runs(text, config), *character_runs(
            text, config.character_orders, config.characters)]  # fmt: skip
        flat = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        places, counts = np.unique(mixed(flat) >> shift, return_counts=True)
        weights = np.log1p(counts).astype(np.float32)
        columns.append(places.astype(np.int64))
        values.append(weights / max(float(np.linalg.norm(weights)), 1e-12))
        sizes.append(len(places))
    none = np.zeros(0, np.int64)
    return Features(
        np.concatenate([none, *columns]),
        np.concatenate([none.astype(np.float32), *values]),
        np.array(sizes, np.int64),
    )


def word_runs(text: str, config: FeaturesConfig) -> list[np.ndarray]:
    """Keys of a text's runs of words, salted so that no word is a run of characters."""
    hashes = words(text[: config.characters]).hashes ^ np.uint64(1)
    found, keys = [], hashes
    for order in range(1, max(config.word_orders, default=0) + 1):
        if order > len(hashes):
            break
        keys = hashes if order == 1 else extended(keys, hashes, order)
        if order in config.word_orders:
            found.append(keys)
    return found


def margins(features: Features, weights: np.ndarray, bias: float) -> np.ndarray:
    """w · x + b of every row."""
    products = features.values * weights[features.columns]
    ends = np.concatenate([[0.0], np.cumsum(products, dtype=np.float64)])
    at = np.concatenate([[0], np.cumsum(features.sizes)])
    return ends[at[1:]] - ends[at[:-1]] + bias


@dataclass(frozen=True)
class Classifier:
    """A trained classifier."""

    features: FeaturesConfig
    weights: np.ndarray
    bias: float
    scale: float = 1.0
    """a of the calibration."""
    offset: float = 0.0
    """c of the calibration."""

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Probability that each text is of the positive kind."""
        return self.probabilities(features_of(texts, self.features))

    def probabilities(self, features: Features) -> np.ndarray:
        """The same of features that are at hand."""
        logits = self.scale * margins(features, self.weights, self.bias) + self.offset
        return 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))

    def save(self, folder: Path, report: dict[str, Any] | None = None) -> None:
        """Write the classifier into a folder, with the report of its training if there is one."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weights": self.weights.astype(np.float32)}, folder / NAME)
        facts = {
            "format": 1, "features": self.features.plain(), "bias": self.bias,
            "scale": self.scale, "offset": self.offset, "report": report or {},
        }  # fmt: skip
        write_json(folder / "classifier.json", facts)

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Read a classifier; ArtifactError if the folder holds none or a damaged one."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
            config = FeaturesConfig(**facts["features"])
            weights = load_file(folder / NAME)["weights"]
            numbers = [float(facts[name]) for name in ("bias", "scale", "offset")]
            if weights.shape != (2**config.bits,):
                raise ValueError(f"{weights.shape} weights for {config.bits} bits")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(
                f"{folder} is not a classifier ({error}); make one with `train_classifier`."
            ) from None
        return cls(config, weights, *numbers)


class ClassifierConfig(Config):
    """Which classifier is asked, and what goes."""

    model: File
    """Folder of a classifier; see `train_classifier`."""
    sha256: str = ""
    """Of the classifier's safetensors file: another one is refused. Empty: not checked; a corpus
    is named by what its classifier holds in any case."""
    name: str = "quality"
    """The score's name in the metadata."""
    least: float | None = Field(default=None, ge=0, le=1)
    """Probability below which a record goes; None: only scored. Read it off the report."""
    most: float | None = Field(default=None, ge=0, le=1)
    """Probability above which a record goes, for classifiers of what is unwanted."""


class ClassifierStep:
    """The step `quality.classifier`: scores a record, drops it by policy."""

    def __init__(self, config: ClassifierConfig) -> None:
        self.config = config
        self.model = Classifier.load(config.model)
        if config.sha256 and hash_file(config.model / NAME) != config.sha256:
            raise ConfigError(f"{config.model} is not the model with sha256={config.sha256}.")

    def __call__(self, record: Record) -> Ruling:
        """Rule about one record."""
        config = self.config
        score = round(float(self.model.scores([record.text])[0]), 4)
        if config.least is not None and score < config.least:
            return Ruling(f"classifier: {config.name} low", score, f"at least {config.least}")
        if config.most is not None and score > config.most:
            return Ruling(f"classifier: {config.name} high", score, f"at most {config.most}")
        return Ruling(metadata={config.name: score})
