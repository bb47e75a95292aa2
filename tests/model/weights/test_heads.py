"""Models with heads on disk: the peer's answers, its files, and heads that no peer can say."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from groundup.compress import quantize_to_int8
from groundup.core import ArtifactError, ConfigError
from groundup.model import (
    Head,
    HeadConfig,
    ModelWithHead,
    PositionConfig,
    Transformer,
    load,
    load_with_head,
    save,
    save_with_head,
)
from tests.model.families.bert_gpt import FIXTURES, MASKED, decoder, encoder, modern
from tests.model.shapes import tiny_config, tiny_model

PEERS = sorted(path.name for path in (FIXTURES / "heads").iterdir())
IDS, DOCUMENTS = torch.arange(12).reshape(2, 6), torch.tensor([[0] * 6, [0] * 4 + [-1] * 2])


@torch.no_grad()
@pytest.mark.parametrize("name", PEERS)
def test_answers_are_those_of_transformers(name):
    model = load_with_head(FIXTURES / "heads" / name, torch.float32)
    expected = load_file(FIXTURES / "heads" / name / "expected.safetensors")
    real = expected["mask"].bool()
    found, wanted = model(expected["ids"], documents=expected["mask"] - 1), expected["logits"]
    if name.endswith("tokens"):
        found, wanted = found[real], wanted[real]
    assert_close(found, wanted.squeeze(-1) if name.endswith("number") else wanted,
                 atol=1e-5, rtol=1e-5)  # fmt: skip
    assert not model.training


@pytest.mark.parametrize("name", PEERS)
def test_what_we_write_is_what_transformers_opened(name, tmp_path):
    model = load_with_head(FIXTURES / "heads" / name, torch.float32)
    save_with_head(model, tmp_path)
    kept = json.loads((FIXTURES / "heads" / name / "ours.json").read_text())
    assert json.loads((tmp_path / "config.json").read_text()) == kept["config"]
    assert sorted(load_file(tmp_path / "model.safetensors")) == kept["tensors"]
    same(load_with_head(tmp_path), model)


def same(found: ModelWithHead, wanted: ModelWithHead) -> None:
    """Equal heads, and equal answers."""
    assert isinstance(found.head, Head)
    assert isinstance(wanted.head, Head)
    assert found.head.config == wanted.head.config
    with torch.no_grad():
        answers = found(IDS, documents=DOCUMENTS), wanted(IDS, documents=DOCUMENTS)
    assert torch.equal(*answers)


def test_names_of_classes_are_kept(tmp_path):
    model = load_with_head(FIXTURES / "heads" / "roberta_moods")
    assert isinstance(model.head, Head)
    assert model.head.config.names == ("calm", "glad", "cross")
    save_with_head(model, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["id2label"] == {"0": "calm", "1": "glad", "2": "cross"}
    assert values["label2id"] == {"calm": 0, "glad": 1, "cross": 2}


OWN = HeadConfig(kind="sequence", labels=3, pooling="mean", inner="gelu")


@pytest.mark.parametrize("config, head", [
    (encoder(output=MASKED), OWN),
    (encoder(output=MASKED, tied_embeddings=False), HeadConfig(kind="token", bias=False)),
    (encoder(position=PositionConfig(kind="sinusoidal")), HeadConfig(inner="tanh")),
    (modern(), HeadConfig(kind="embedding", inner="tanh", unit=False)),
    (decoder("pre", tied_embeddings=False), HeadConfig(pooling="first")),
])  # fmt: skip
def test_a_head_that_no_peer_can_say_is_saved_as_our_own(config, head, tmp_path):
    model = ModelWithHead(tiny_model(config, torch.float32), Head(head, config.width)).eval()
    save_with_head(model, tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["model_type"] == "groundup"
    same(load_with_head(tmp_path), model)


def test_what_reads_tokens_is_left_out(tmp_path):
    config = encoder(output=MASKED, tied_embeddings=False)
    head = Head(HeadConfig(inner="tanh"), config.width)
    save_with_head(ModelWithHead(tiny_model(config, torch.float32), head), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text())
    assert values["architectures"] == ["BertForSequenceClassification"]
    tensors = load_file(tmp_path / "model.safetensors")
    assert not any(name.startswith("cls.") for name in tensors)
    assert all(name.startswith(("bert.", "classifier.")) for name in tensors)


def test_eight_bits_and_half_precision_are_kept(tmp_path):
    model = tiny_model(tiny_config(), torch.bfloat16)
    quantize_to_int8(model)
    head = Head(HeadConfig(pooling="last", bias=False), 16).bfloat16()
    save_with_head(ModelWithHead(model, head).eval(), tmp_path)
    again = load_with_head(tmp_path)
    same(again, ModelWithHead(model, head))
    assert again.head.classes.weight.dtype == torch.bfloat16


def test_a_model_with_a_head_is_not_opened_without_and_the_other_way_round(tmp_path):
    with pytest.raises(
        ArtifactError, match="is a classifier, which has no token logits; expected a language"
    ):
        load(FIXTURES / "heads" / "bert_moods")
    save(Transformer(encoder(), seed=0), tmp_path)
    with pytest.raises(
        ArtifactError, match="has no classifier or embedding head; open it with load"
    ):
        load_with_head(tmp_path)
    with pytest.raises(ArtifactError, match="nowhere/config.json cannot be read"):
        load_with_head(tmp_path / "nowhere")
    with pytest.raises(ConfigError, match="needs a Transformer with a Head"):
        save_with_head(ModelWithHead(torch.nn.Linear(1, 1), torch.nn.Linear(1, 1)), tmp_path)


@pytest.mark.parametrize("edit, message", [
    (lambda s: s.pop("classifier.weight"), "lacks classes.weight"),
    (lambda s: s.update({"classifier.weight": torch.ones(7, 8)}), r"misshapen classes.weight \(7"),
    (lambda s: s.update({"classifier.scale": torch.ones(7)}), "unexpected classes.scale"),
    (lambda s: s.pop("bert.pooler.dense.bias"), "lacks dense.bias"),
    (lambda s: s.update({"qa_outputs.bias": torch.ones(7)}), "unexpected qa_outputs.bias"),
    (lambda s: s.pop("bert.embeddings.LayerNorm.bias"), "lacks embed_norm.bias"),
])  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, message):
    source = FIXTURES / "heads" / "bert_moods"
    (tmp_path / "config.json").write_text((source / "config.json").read_text())
    state = load_file(source / "model.safetensors")
    edit(state)
    save_file(state, tmp_path / "model.safetensors")
    with pytest.raises(ArtifactError, match=message):
        load_with_head(tmp_path)
