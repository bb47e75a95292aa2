"""A linear text classifier on hashed words and characters, and the step that applies it.

    p(good | text) = σ(a (w · x + b) + c)      x = ln(1 + counts), of length 1, of hashed features

Features are words, pairs of words and runs of characters, hashed into a table of 2^bits weights,
as in fastText and Vowpal Wabbit. a and c are calibrated on texts that w was not trained on (Platt
1999). What "good" means is defined by the two sets of training texts; see training.py.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import ArtifactError, Config, ConfigError, InputPath, hash_file, write_json
from groundup.documents import Record, StepResult

from .hashing import character_ngrams, extend_ngrams, hash_words, mix_bits

WEIGHTS_FILE = "classifier.safetensors"


class FeaturesConfig(Config):
    """Features of a text."""

    bits: int = Field(default=18, ge=8, le=26)
    """The table has 2^bits weights; source: scikit-learn's HashingVectorizer has 2^20, Vowpal
    Wabbit 2^18."""
    word_orders: tuple[int, ...] = (1, 2)
    """Orders of word n-grams. Source: FineWeb-Edu-like fastText filters use up to pairs."""
    character_orders: tuple[int, ...] = (4,)
    """Orders of character n-grams. Own choice, by benchmarks/corpus/quality_models.py."""
    characters: int = Field(default=20_000, ge=100)
    """Characters of a text that are used, from the start."""


class SparseFeatures(NamedTuple):
    """Features of a batch of texts, one sparse row each."""

    columns: np.ndarray
    """(N,) int64: indices in the table."""
    values: np.ndarray
    """(N,) float32; each row has length 1."""
    row_sizes: np.ndarray
    """(B,) number of features of each row."""


def extract_features(texts: Sequence[str], config: FeaturesConfig) -> SparseFeatures:
    """The hashed features of texts; a text without words has none."""
    shift = np.uint64(64 - config.bits)
    columns, values, sizes = [], [], []
    for text in texts:
        keys = [*_word_ngrams(text, config), *character_ngrams(
            text, config.character_orders, config.characters)]  # fmt: skip
        flat = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        buckets, counts = np.unique(mix_bits(flat) >> shift, return_counts=True)
        weights = np.log1p(counts).astype(np.float32)
        columns.append(buckets.astype(np.int64))
        values.append(weights / max(float(np.linalg.norm(weights)), 1e-12))
        sizes.append(len(buckets))
    empty = np.zeros(0, np.int64)
    return SparseFeatures(
        np.concatenate([empty, *columns]),
        np.concatenate([empty.astype(np.float32), *values]),
        np.array(sizes, np.int64),
    )


def _word_ngrams(text: str, config: FeaturesConfig) -> list[np.ndarray]:
    """Keys of a text's word n-grams, salted so that none equals a character n-gram."""
    hashes = hash_words(text[: config.characters]).hashes ^ np.uint64(1)
    selected, keys = [], hashes
    for order in range(1, max(config.word_orders, default=0) + 1):
        if order > len(hashes):
            break
        keys = hashes if order == 1 else extend_ngrams(keys, hashes, order)
        if order in config.word_orders:
            selected.append(keys)
    return selected


def decision_values(features: SparseFeatures, weights: np.ndarray, bias: float) -> np.ndarray:
    """w · x + b of every row."""
    products = features.values * weights[features.columns]
    ends = np.concatenate([[0.0], np.cumsum(products, dtype=np.float64)])
    offsets = np.concatenate([[0], np.cumsum(features.row_sizes)])
    return ends[offsets[1:]] - ends[offsets[:-1]] + bias


@dataclass(frozen=True)
class TextClassifier:
    """A trained classifier."""

    features: FeaturesConfig
    weights: np.ndarray
    bias: float
    scale: float = 1.0
    """a of the calibration."""
    offset: float = 0.0
    """c of the calibration."""

    def predict_texts(self, texts: Sequence[str]) -> np.ndarray:
        """Probability that each text is of the positive kind."""
        return self.predict_proba(extract_features(texts, self.features))

    def predict_proba(self, features: SparseFeatures) -> np.ndarray:
        """Probability that each row is of the positive kind."""
        logits = self.scale * decision_values(features, self.weights, self.bias) + self.offset
        return 1.0 / (1.0 + np.exp(-np.clip(logits, -500, 500)))

    def save(self, folder: Path, report: dict[str, Any] | None = None) -> None:
        """Write the classifier and its training report to a folder."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        save_file({"weights": self.weights.astype(np.float32)}, folder / WEIGHTS_FILE)
        saved = {
            "format": 1, "features": self.features.to_dict(), "bias": self.bias,
            "scale": self.scale, "offset": self.offset, "report": report or {},
        }  # fmt: skip
        write_json(folder / "classifier.json", saved)

    @classmethod
    def load(cls, folder: Path) -> "TextClassifier":
        """Read a classifier; ArtifactError if there is none or it is damaged."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            saved = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
            config = FeaturesConfig(**saved["features"])
            weights = load_file(folder / WEIGHTS_FILE)["weights"]
            parameters = [float(saved[name]) for name in ("bias", "scale", "offset")]
            if weights.shape != (2**config.bits,):
                raise ValueError(f"{weights.shape} weights for {config.bits} bits")
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise ArtifactError(
                f"{folder} is not a classifier ({error}); make one with `train_classifier`."
            ) from None
        return cls(config, weights, *parameters)


class ClassifierConfig(Config):
    """Which classifier scores records, and which are dropped."""

    model: InputPath
    """Folder of a classifier; see `train_classifier`."""
    sha256: str = ""
    """Expected hash of the safetensors file; empty: not checked. It is in the corpus id anyway."""
    name: str = "quality"
    """Metadata key of the score."""
    min_score: float | None = Field(default=None, ge=0, le=1)
    """Probability below which a record is dropped; None: no limit. Choose it from the report."""
    max_score: float | None = Field(default=None, ge=0, le=1)
    """Probability above which a record is dropped, for classifiers of unwanted text."""


class ClassifierStep:
    """The step `quality.classifier`: score a record and drop it by the limits."""

    def __init__(self, config: ClassifierConfig) -> None:
        self.config = config
        self.model = TextClassifier.load(config.model)
        if config.sha256 and hash_file(config.model / WEIGHTS_FILE) != config.sha256:
            raise ConfigError(f"{config.model} is not the model with sha256={config.sha256}.")

    def __call__(self, record: Record) -> StepResult:
        """Score one record."""
        config = self.config
        score = round(float(self.model.predict_texts([record.text])[0]), 4)
        if config.min_score is not None and score < config.min_score:
            return StepResult(
                f"classifier: {config.name} low", score, f"at least {config.min_score}"
            )
        if config.max_score is not None and score > config.max_score:
            return StepResult(
                f"classifier: {config.name} high", score, f"at most {config.max_score}"
            )
        return StepResult(metadata={config.name: score})
