"""BERT in numpy gives the vectors of the model, and leaves what it does not know to it."""

import json
import math

import numpy as np
import pytest

from groundup.core import write_json
from groundup.embeddings import open_bert_encoder
from groundup.embeddings.bert import gelu
from groundup.model import (
    Head,
    HeadConfig,
    ModelWithHead,
    Transformer,
    load_encoder,
    save_with_head,
)
from tests.model.families.bert_gpt import encoder as bert_config

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "sits", "##s", "."]
TEXTS = ["A cat sits.", "", "cats sit", "cat " * 40]


def write_encoder(folder, pooling="mean", unit=True, **config):
    base = bert_config(vocab_size=len(WORDS), context_length=16, **config)
    head = HeadConfig(kind="embedding", pooling=pooling, unit=unit)
    save_with_head(ModelWithHead(Transformer(base, seed=3).eval(), Head(head, base.width)), folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    return folder


@pytest.mark.parametrize(("pooling", "unit"), [("mean", True), ("first", False)])
def test_it_gives_the_vectors_of_the_model(tmp_path, pooling, unit):
    folder = write_encoder(tmp_path / "e", pooling, unit)
    encoder = open_bert_encoder(folder)
    assert encoder is not None
    expected = load_encoder(folder).embed(TEXTS)
    assert np.abs(encoder.embed(TEXTS) - expected).max() < 1e-6
    pooled = json.loads((folder / "1_Pooling" / "config.json").read_bytes())
    named = {"pooling_mode": "mean" if pooling == "mean" else "cls"}
    write_json(folder / "1_Pooling" / "config.json", {"word_embedding_dimension": 8} | named)
    again = open_bert_encoder(folder)
    assert pooled and again is not None and (again.embed(TEXTS) == encoder.embed(TEXTS)).all()


def test_gelu_is_that_of_erf():
    x = np.linspace(-6, 6, 997, dtype=np.float32)
    exact = [value * (1 + math.erf(value / math.sqrt(2))) / 2 for value in x.tolist()]
    assert np.abs(gelu(x) - np.array(exact)).max() < 1e-6


@pytest.mark.parametrize(
    ("file", "values"),
    [
        ("config.json", {"hidden_act": "gelu_new"}), ("config.json", {"model_type": "roberta"}),
        ("config.json", {"position_embedding_type": "relative_key"}),
        ("config.json", {"num_hidden_layers": 9}), ("config.json", {"num_attention_heads": "4"}),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}),
        ("1_Pooling/config.json", {"pooling_mode": "max"}),
        ("1_Pooling/config.json", {"include_prompt": False}),
    ],
)  # fmt: skip
def test_what_it_does_not_compute_is_left_to_the_model(tmp_path, file, values):
    folder = write_encoder(tmp_path / "e")
    content = json.loads((folder / file).read_bytes())
    write_json(folder / file, content | values)
    assert open_bert_encoder(folder) is None


def test_damaged_directories_are_left_to_the_model(tmp_path):
    folder = write_encoder(tmp_path / "e")
    weights = (folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(weights[:-40])
    assert open_bert_encoder(folder) is None
    (folder / "modules.json").write_text("[1]")
    assert open_bert_encoder(folder) is None and open_bert_encoder(tmp_path / "no") is None
