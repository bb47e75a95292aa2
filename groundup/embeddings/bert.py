"""BERT in numpy: a question's vector in less time than importing torch takes.

    ids  ->  embeddings  ->  layers (attention, feed-forward, each with a norm behind)  ->  mean

Of the encoders that `groundup.model.load_encoder` opens these are the most frequent: directories of
Sentence Transformers whose model is a `bert` (MiniLM, BGE, E5, GTE), in float32 or float16. Both
give the same vectors (tests/embeddings/test_bert.py); for many texts the model is the faster one.
Source: Devlin et al. 2019, arXiv:1810.04805; Hendrycks and Gimpel 2016, arXiv:1606.08415 (GELU).
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from groundup.core import GroundupError

KINDS = (["Transformer", "Pooling"], ["Transformer", "Pooling", "Normalize"])
EXPECTED = {
    "model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute",
    "is_decoder": False, "add_cross_attention": False, "quantization_config": None,
}  # fmt: skip
"""What config.json says of a model that is computed here; what it leaves out is so by default."""
FLAGS = {"pooling_mode_mean_tokens": "mean", "pooling_mode_cls_token": "cls"}
"""Poolings by the flags of older files; newer ones have their name."""
TABLES = ("word", "position", "token_type")


class BertEncoder:
    """Embeds texts one by one; its `embed` is that of the LanguageModel contract."""

    def __init__(
        self, weights: Mapping[str, np.ndarray], config: Mapping[str, Any],
        input_ids: Callable[[str], list[int]], pooling: str, unit: bool,
    ) -> None:  # fmt: skip
        """Take tensors by BERT's names, config.json, and how a text becomes ids.

        input_ids  gives all ids of a text, with special ones, truncated
        pooling    mean or cls
        unit       whether vectors are made one long
        """
        self.weights, self.input_ids, self.pooling, self.prompt = weights, input_ids, pooling, ""
        self.layers, self.heads = config["num_hidden_layers"], config["num_attention_heads"]
        self.unit, self.epsilon = unit, config.get("layer_norm_eps", 1e-12)

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """One vector per text, float32 (texts, width)."""
        return np.stack([self._vector(self.input_ids(self.prompt + text)) for text in texts])

    def _vector(self, ids: Sequence[int]) -> np.ndarray:
        words, positions, types = (
            self.weights[f"embeddings.{table}_embeddings.weight"] for table in TABLES
        )
        x = self._norm("embeddings", words[ids] + positions[: len(ids)] + types[0])
        for layer in range(self.layers):
            name = f"encoder.layer.{layer}"
            x = self._norm(f"{name}.attention.output", x + self._attention(f"{name}.attention", x))
            inner = gelu(self._linear(f"{name}.intermediate.dense", x))
            x = self._norm(f"{name}.output", x + self._linear(f"{name}.output.dense", inner))
        vector = x[0] if self.pooling == "cls" else x.mean(0)
        return vector / max(float(np.linalg.norm(vector)), 1e-12) if self.unit else vector

    def _attention(self, name: str, x: np.ndarray) -> np.ndarray:
        q, k, v = (
            self._linear(f"{name}.self.{part}", x).reshape(len(x), self.heads, -1).swapaxes(0, 1)
            for part in ("query", "key", "value")
        )
        scores = q @ k.swapaxes(1, 2) / np.float32(q.shape[-1] ** 0.5)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (weights / weights.sum(-1, keepdims=True)) @ v
        return self._linear(f"{name}.output.dense", mixed.swapaxes(0, 1).reshape(len(x), -1))

    def _linear(self, name: str, x: np.ndarray) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: np.ndarray) -> np.ndarray:
        x = x - x.mean(-1, keepdims=True)
        x /= np.sqrt((x * x).mean(-1, keepdims=True) + self.epsilon)
        return x * self.weights[f"{name}.LayerNorm.weight"] + self.weights[f"{name}.LayerNorm.bias"]


def gelu(x: np.ndarray) -> np.ndarray:
    """x times the normal distribution's share below it, within 2e-7 of erf's.

    Source: Abramowitz and Stegun 1964, 7.1.26.
    """
    z = np.abs(x) * np.float32(0.5**0.5)
    t = 1 / (1 + np.float32(0.3275911) * z)
    series = np.float32(1.061405429)
    for factor in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        series = series * t + np.float32(factor)
    erf = 1 - series * t * np.exp(-z * z)
    return x * (1 + np.copysign(erf, x)) / 2


def open_bert_encoder(path: Path) -> BertEncoder | None:
    """Open a directory of Sentence Transformers; None if its model is not one of these."""
    try:
        modules = json.loads((path / "modules.json").read_bytes())
        folders = [path / Path(each["path"]).name for each in modules]
        kinds = [each["type"].rpartition(".")[2] for each in modules]
        config = json.loads((folders[0] / "config.json").read_bytes())
        pooling = _read_pooling(folders[1] / "config.json")
        is_known = all(config.get(key, value) == value for key, value in EXPECTED.items())
        input_ids = _open_tokenizer(folders[0], config["max_position_embeddings"])
        if kinds not in KINDS or not is_known or pooling is None or input_ids is None:
            return None
        with safe_open(folders[0] / "model.safetensors", framework="numpy") as file:
            weights = {
                name.removeprefix("bert."): file.get_tensor(name).astype(np.float32, copy=False)
                for name in file.keys()  # noqa: SIM118 (a file is no mapping)
            }
        encoder = BertEncoder(weights, config, input_ids, pooling, unit=kinds == KINDS[1])
        encoder.embed(["?"])  # every tensor is there and fits
    except (OSError, SafetensorError, GroundupError, LookupError, TypeError, ValueError,
            AttributeError):  # fmt: skip
        return None  # whoever opens it as a model says what is wrong
    return encoder


def _read_pooling(file: Path) -> str | None:
    """mean or cls, from a name in newer files, from flags in older ones; None for another."""
    values = json.loads(file.read_bytes())
    flags = (name for name, is_set in values.items() if "_mode_" in name and is_set is True)
    names = [values["pooling_mode"]] if "pooling_mode" in values else list(map(FLAGS.get, flags))
    is_known = names in (["mean"], ["cls"]) and values.get("include_prompt", True)
    return names[0] if is_known else None


def _open_tokenizer(folder: Path, context: int) -> Callable[[str], list[int]] | None:
    """What gives the ids of a text, cut at the directory's limit."""
    from groundup.tokenizer import ImportedTokenizer, load_tokenizer

    file, tokenizer = folder / "sentence_bert_config.json", load_tokenizer(folder)
    if not isinstance(tokenizer, ImportedTokenizer):
        return None
    limit = json.loads(file.read_bytes()).get("max_seq_length") if file.is_file() else None
    before, after = (list(ids) for ids in tokenizer.frame)
    room = min(limit or context, context) - len(before) - len(after)
    return lambda text: [*before, *tokenizer.encode(text)[:room], *after]
