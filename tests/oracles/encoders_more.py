"""Encoders whose families are tables, as Transformers computes them: two or three odd shapes each.

Run by `make oracles`. Writes tests/fixtures/<family>/<name>/ as bert_gpt.py does, with gradients of
the first shape, and `encoders_reopened.json`: what Transformers computes from our tiny presets.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM

from groundup.model import Transformer, presets, save
from tests.oracles.bert_gpt import CONTEXT, ROOT, VOCAB, expect, reopen, stirred

PRESETS = ("XLM-RoBERTa", "DistilBERT", "ELECTRA", "ALBERT", "MPNet", "DeBERTa v3")
NOTHING = dict.fromkeys(("bos_token_id", "eos_token_id"))


def size(
    width: int, heads: int, inner: int, layers: int, rows: int = CONTEXT, **more: Any
) -> dict[str, Any]:
    """The keys that most families share."""
    return NOTHING | {
        "hidden_size": width, "num_attention_heads": heads, "intermediate_size": inner,
        "num_hidden_layers": layers, "vocab_size": VOCAB, "max_position_embeddings": rows,
        "pad_token_id": None, **more,
    }  # fmt: skip


def renamed(**values: Any) -> dict[str, Any]:
    """DistilBERT's names."""
    names = {"hidden_size": "dim", "num_attention_heads": "n_heads",
             "num_hidden_layers": "n_layers", "intermediate_size": "hidden_dim"}  # fmt: skip
    return {names.get(key, key): value for key, value in values.items()}


FREE = {"tie_word_embeddings": False}
RELATIVE = {
    "relative_attention": True, "share_att_key": True, "norm_rel_ebd": "layer_norm",
    "pos_att_type": "p2c|c2p", "layer_norm_eps": 1e-7,
}  # fmt: skip
SHAPES: dict[str, dict[str, dict]] = {
    "xlm-roberta": {
        "published": size(12, 2, 20, 2, CONTEXT + 2, pad_token_id=1, type_vocab_size=1,
                          layer_norm_eps=1e-5),
        "late_padding_free": size(8, 4, 10, 1, CONTEXT + 6, pad_token_id=5, **FREE),
    },
    "distilbert": {
        "three_heads": renamed(**size(12, 3, 20, 2)),
        "relu_free": renamed(**size(8, 1, 5, 3, activation="relu", **FREE)),
    },
    "electra": {
        "narrow": size(12, 3, 20, 2, embedding_size=5, hidden_act="relu"),
        "wide_free": size(8, 2, 10, 1, embedding_size=11, type_vocab_size=3, **FREE),
        "of_one_width": size(8, 2, 10, 1, embedding_size=8),
    },
    "albert": {
        "two_groups": size(12, 3, 20, 4, embedding_size=5, num_hidden_groups=2),
        "one_width_free": size(8, 2, 10, 3, embedding_size=8, hidden_act="relu",
                               layer_norm_eps=1e-3, **FREE),
    },
    "mpnet": {
        "published": size(12, 3, 20, 2, CONTEXT + 2, pad_token_id=1),
        "silu_free": size(8, 2, 10, 1, CONTEXT + 2, pad_token_id=1, hidden_act="silu", **FREE),
    },
    "deberta-v2": {
        "published": size(12, 3, 20, 2, position_buckets=6, max_relative_positions=12,
                          position_biased_input=False, **RELATIVE),
        "biased_free": size(8, 2, 10, 2, position_buckets=5, type_vocab_size=2, hidden_act="relu",
                            **RELATIVE, **FREE),
        "absolute": size(8, 4, 10, 1, layer_norm_eps=1e-3),
    },
}  # fmt: skip


def write(family: str, name: str, shape: dict[str, Any], *, has_gradients: bool) -> None:
    """Write one fixture."""
    directory, config = ROOT / family / name, AutoConfig.for_model(family, **shape)
    model = stirred(AutoModelForMaskedLM.from_config(config))
    model.half().save_pretrained(directory)
    expect(directory, AutoModelForMaskedLM, has_gradients=has_gradients)
    if has_gradients:  # a tied tensor has one name in files and may have the other in the model
        found = load_file(directory / "expected.safetensors")
        names = {f"gradient.{k}": f"gradient.{v}" for k, v in model._tied_weights_keys.items()}
        named = {names.get(key, key): tensor for key, tensor in found.items()}
        save_file(named, directory / "expected.safetensors")
    reopen(directory, AutoModelForMaskedLM)


@torch.no_grad()
def reopen_tiny() -> dict[str, Any]:
    """What Transformers computes from the tiny presets of these families."""
    found = {}
    for name, preset in presets().items():
        if not name.endswith("-tiny") or preset.family not in PRESETS:
            continue
        model = Transformer(preset.config.model_copy(update={"vocab_size": 64}), seed=1).eval()
        for parameter in model.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
        ids = torch.randint(2, 64, (2, 48))
        with tempfile.TemporaryDirectory() as place:
            save(model, place)
            values = json.loads((Path(place) / "config.json").read_text())
            peer = AutoModelForMaskedLM.from_pretrained(place).eval()
        worst = (model.logits(ids) - peer(ids).logits).abs().max()
        found[name] = {
            "model_type": values["model_type"], "largest_difference": float(worst)
        }  # fmt: skip
    return found


def main() -> None:
    """Write every fixture anew."""
    for family, names in SHAPES.items():
        shutil.rmtree(ROOT / family, ignore_errors=True)
        for seed, (name, shape) in enumerate(names.items()):
            torch.manual_seed(seed)
            write(family, name, shape, has_gradients=seed == 0)
    text = json.dumps(reopen_tiny(), indent=1) + "\n"
    (ROOT / "encoders_reopened.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
