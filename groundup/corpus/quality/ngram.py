"""Our own n-gram language model: interpolated modified Kneser–Ney over hashed words.

    p_k(w | c) = max(a(c w) - D(a(c w)), 0) / Σ_v a(c v)  +  γ(c) p_{k-1}(w | c without its first)
    γ(c)       = 1 - Σ of the terms on the left over the v that are kept

a is the count for the highest order and for runs that begin a text, else the number of different
words seen before the run. γ is taken after pruning, so the probabilities over all words sum to 1
whatever was pruned. An unknown word costs its probability and its letters at the training text's
entropy of single characters, so that bits a character are comparable over texts. A model is sorted
arrays, and scoring a text is `searchsorted`: no loop over words. Knows nothing of records.
Source: Chen and Goodman 1999, section 3; Heafield et al. 2013 (KenLM) for starts and pruning.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from groundup.core import ArtifactError, DataError, write_json

from .hashing import extended, mixed, words

START, END = mixed(np.array([1, 2], np.uint64))
NAME = "ngrams.safetensors"


class Order(NamedTuple):
    """One order of a model, as it is looked up."""

    keys: np.ndarray
    terms: np.ndarray
    """Discounted share of each key's run, float32."""
    contexts: np.ndarray
    backoffs: np.ndarray
    """γ of each context, float32; 1 for contexts that are not here."""


class Perplexity(NamedTuple):
    """How surprising a text is."""

    bits_per_character: float
    """Of the text, spaces included; comparable between texts."""
    perplexity: float
    """Two to the bits a word, the end of the text counted as a word."""
    words: int


@dataclass(frozen=True)
class NgramModel:
    """A trained model: read-only arrays."""

    orders: tuple[Order, ...]
    vocabulary: int
    """Different words, the end and the unknown word included."""
    spelling_bits: float
    """Bits that each letter of an unknown word costs."""
    forgotten: int = 0
    """Runs that did not fit into `max_ngrams`."""

    def probabilities(self, hashes: np.ndarray) -> np.ndarray:
        """Probability of each word given those before it, the text's end included.

        hashes   (N,) words of one text
        returns  (N + 1,) float64
        """
        padded = np.concatenate([[START], hashes, [END]]).astype(np.uint64)
        found = np.full(len(padded), 1.0 / self.vocabulary)
        keys = np.zeros(len(padded) + 1, np.uint64)
        for order, table in enumerate(self.orders, 1):
            if order > len(padded):
                break
            contexts, keys = keys, next_keys(keys, padded, order)
            last = slice(order - 1, None)
            backoffs = looked_up(table.contexts, table.backoffs, contexts[: len(keys)], 1.0)
            found[last] = found[last] * backoffs + looked_up(table.keys, table.terms, keys, 0.0)
        return found[1:]

    def measure(self, text: str) -> Perplexity:
        """How surprising a text is; DataError if it has no words."""
        found = words(text)
        if not len(found.hashes):
            raise DataError("The text has no words, so it has no perplexity; drop it first.")
        bits = -np.log2(self.probabilities(found.hashes)).sum()
        perplexity = 2.0 ** min(bits / (len(found.hashes) + 1), 1000.0)
        unknown = looked_up(self.orders[0].keys, self.orders[0].terms, found.hashes, -1.0) < 0
        bits += self.spelling_bits * found.lengths[unknown].sum()
        return Perplexity(float(bits / found.characters), float(perplexity), len(found.hashes))

    def save(self, folder: Path) -> None:
        """Write the model into a folder: one safetensors file and one of facts."""
        from safetensors.numpy import save_file

        folder.mkdir(parents=True, exist_ok=True)
        tensors = {
            f"{number}.{name}": array
            for number, order in enumerate(self.orders, 1)
            for name, array in order._asdict().items()
        }
        facts = {"format": 1, "order": len(self.orders), "vocabulary": self.vocabulary,
                 "spelling_bits": self.spelling_bits, "forgotten": self.forgotten}  # fmt: skip
        save_file(tensors, folder / NAME)
        write_json(folder / "ngrams.json", facts)

    @classmethod
    def load(cls, folder: Path) -> "NgramModel":
        """Read a model; ArtifactError if the folder holds none or a damaged one."""
        import json

        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        try:
            facts = json.loads((folder / "ngrams.json").read_text(encoding="utf-8"))
            tensors = load_file(folder / NAME)
            orders = tuple(
                Order(*(tensors[f"{number}.{name}"] for name in Order._fields))
                for number in range(1, facts["order"] + 1)
            )
            kept = (facts["vocabulary"], facts["spelling_bits"], facts["forgotten"])
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise ArtifactError(
                f"{folder} is not an n-gram model ({error}); make one with `train_ngrams`."
            ) from None
        return cls(orders, *kept)


def next_keys(keys: np.ndarray, padded: np.ndarray, order: int) -> np.ndarray:
    """Keys of the runs of `order` words in one text; those of order 1 are the words."""
    return padded * np.uint64(1) if order == 1 else extended(keys, padded, order)


def looked_up(
    keys: np.ndarray, values: np.ndarray, wanted: np.ndarray, otherwise: float
) -> np.ndarray:
    """Values of the wanted keys, float64; `otherwise` where a key is not there."""
    if not len(keys):
        return np.full(len(wanted), otherwise)
    places = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[places] == wanted, values[places].astype(np.float64), otherwise)
