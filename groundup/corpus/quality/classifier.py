"""A linear text classifier on hashed words and characters, and the step that applies it.

    p(good | text) = σ(a (w · x + b) + c)      x = ln(1 + counts), of length 1, of hashed features

Features are words, pairs of words and runs of characters, hashed into a table of 2^bits weights,
as in fastText and Vowpal Wabbit. Words are runs of letters and digits; every other symbol, and
every character of scripts without spaces, is a word by itself. Case is folded and every digit is 0,
as in CCNet. All is numpy over code points, on long documents five times as fast as scikit-learn's
HashingVectorizer. a and c are calibrated on texts that w was not trained on (Platt 1999). What
"good" means is defined by the two sets of training texts; see training.py.
The step `quality.scorer` scores with any Scorer instead, named as `FILE.py:name` or `module:name`:
metrics, judge models and reward models are Scorers. The record is the answer, its metadata are the
sample's; one that cannot be scored is kept, with the reason.
Source: Wenzek et al. 2020, arXiv:1911.00359 (folding); Steele et al. 2014 (splitmix64).
"""

import json
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field

from groundup.core import (
    Answer,
    ArtifactError,
    Config,
    ConfigError,
    InputPath,
    Reason,
    Sample,
    hash_file,
    write_json,
)
from groundup.documents import Record, StepResult
from groundup.measure import load_scorer

from ..dedup.sketch import HASH_FACTOR as MULTIPLIER
from ..dedup.sketch import mix64

WEIGHTS_FILE = "classifier.safetensors"
SPACE, WORD, STANDALONE, DIGIT = 0, 1, 2, 3
BMP_SIZE = 0x10000
UNSPACED_SCRIPTS = ((0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0x3040, 0x30FF),
            (0x3400, 0x9FFF), (0xF900, 0xFAFF))  # fmt: skip
"""Thai, Lao, Burmese, Khmer, kana and Han."""


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
        start = text[: config.characters]
        words = _hash_words(start) ^ np.uint64(1)  # so that no word n-gram equals a character one
        letters = _mix_bits(_code_points(" ".join(start.split())).astype(np.uint64))
        keys = [*_ngrams(words, config.word_orders), *_ngrams(letters, config.character_orders)]
        flat = np.concatenate(keys) if keys else np.zeros(0, np.uint64)
        buckets, counts = np.unique(_mix_bits(flat) >> shift, return_counts=True)
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


@cache
def _character_classes() -> np.ndarray:
    """Character class of every code point of the Basic Multilingual Plane; takes 30 ms, once."""
    table = np.full(BMP_SIZE, STANDALONE, np.uint8)
    for code in range(BMP_SIZE):
        character = chr(code)
        if character.isspace() or unicodedata.category(character) in ("Cc", "Cf", "Cs"):
            table[code] = SPACE
        elif character.isdecimal():
            table[code] = DIGIT
        elif character.isalnum() or unicodedata.category(character)[0] == "M":
            table[code] = WORD
    table[ord("_")] = WORD
    for first, last in UNSPACED_SCRIPTS:
        block = table[first : last + 1]
        block[block == WORD] = STANDALONE
    return table


def _code_points(text: str) -> np.ndarray:
    """The code points of a text with case folded, uint32; a lone surrogate counts as a space."""
    return np.frombuffer(text.lower().encode("utf-32-le", "surrogatepass"), np.uint32)


def _hash_words(text: str) -> np.ndarray:
    """Hashes of a text's words in order; equal words have equal hashes, others but for 2^-64."""
    codes = _code_points(text)
    kind = np.where(
        codes < BMP_SIZE, _character_classes()[np.minimum(codes, BMP_SIZE - 1)], STANDALONE
    )
    codes = np.where(kind == DIGIT, np.uint32(ord("0")), codes)
    positions = np.flatnonzero(kind)
    if not len(positions):
        return np.zeros(0, np.uint64)
    inside = (kind == WORD) | (kind == DIGIT)
    begins = ~inside  # a symbol always starts a word; a letter does unless a letter precedes it
    begins[0] = True
    begins[1:] |= ~inside[:-1]
    starts = np.flatnonzero(begins[positions])
    lengths = np.diff(starts, append=len(positions))
    offsets = np.arange(len(positions)) - np.repeat(starts, lengths)
    letters = codes[positions].astype(np.uint64) | (offsets.astype(np.uint64) << np.uint64(32))
    return _mix_bits(np.add.reduceat(_mix_bits(letters), starts))


def _ngrams(hashes: np.ndarray, orders: Sequence[int]) -> list[np.ndarray]:
    """Keys of all n-grams of the given orders: key(a b) = M key(a) + h(b)."""
    selected, keys = [], hashes
    for order in range(1, min(max(orders, default=0), len(hashes)) + 1):
        if order > 1:
            keys = keys[: len(hashes) - order + 1] * MULTIPLIER + hashes[order - 1 :]
        if order in orders:
            selected.append(keys)
    return selected


def _mix_bits(values: np.ndarray) -> np.ndarray:
    return mix64(values + MULTIPLIER)


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
                f"{folder} is not a classifier ({error}); `groundup corpus classifier` makes one."
            ) from None
        return cls(config, weights, *parameters)


class ClassifierConfig(Config):
    """Which classifier scores records, and which are dropped."""

    model: InputPath
    """Folder of a classifier; see `groundup corpus classifier`."""
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
        config = self.config
        score = round(float(self.model.predict_texts([record.text])[0]), 4)
        reason, least, most = f"classifier: {config.name}", config.min_score, config.max_score
        if least is not None and score < least:
            return StepResult(f"{reason} low", score, f"at least {least}")
        if most is not None and score > most:
            return StepResult(f"{reason} high", score, f"at most {most}")
        return StepResult(metadata={config.name: score})


class ScorerConfig(Config):
    """Which scorer rates records, and which are dropped."""

    scorer: str
    """`module:name` or `FILE.py:name` of a Scorer, or of what creates one from `settings`."""
    settings: str = ""
    """JSON object of keyword arguments for what creates one; empty: the name is a Scorer."""
    reads: tuple[InputPath, ...] = ()
    """Files and folders that the scorer reads; the corpus id depends on their content. Their names
    replace `{0}`, `{1}` … in `settings`."""
    name: str = "score"
    """Metadata key of the score."""
    min_score: float | None = None
    """Score below which a record is dropped; None: no limit."""
    max_score: float | None = None
    """Score above which a record is dropped; None: no limit."""
    characters: int = Field(default=50_000, ge=1)
    """Characters that are scored, from the start. Own choice."""


class ScorerStep:
    """The step `quality.scorer`: score a record and drop it by the limits."""

    def __init__(self, config: ScorerConfig) -> None:
        self.config = config
        settings = config.settings
        for number, path in enumerate(config.reads):
            settings = settings.replace(f"{{{number}}}", json.dumps(str(path))[1:-1])
        self.scorer = load_scorer(config.scorer, settings)

    def __call__(self, record: Record) -> StepResult:
        config = self.config
        sample = Sample(record.id, (), group=record.path, metadata=dict(record.metadata))
        result = self.scorer(sample, Answer(record.text[: config.characters]))
        if isinstance(result, Reason):
            return StepResult(metadata={f"{config.name}_missing": result.code})
        value = float(result.value)
        if config.min_score is not None and value < config.min_score:
            return StepResult(f"scorer: {config.name} low", value, result.signature)
        if config.max_score is not None and value > config.max_score:
            return StepResult(f"scorer: {config.name} high", value, result.signature)
        return StepResult(
            metadata={config.name: value, f"{config.name}_signature": result.signature}
        )
