"""What the table of encoders reads besides: files of every age, and the discriminator's."""

import json

import pytest
import torch
from safetensors.torch import load_file

from groundup.core import ArtifactError
from groundup.model import (
    Head,
    HeadConfig,
    ModelWithHead,
    OutputConfig,
    Transformer,
    load,
    load_encoder,
    load_with_head,
    preset,
    presets,
    save,
    save_with_head,
)
from groundup.model.families import FAMILIES, read_config
from tests.model.families.bert_gpt import FIXTURES, opened, rewritten, run

NEW = ("xlm-roberta", "distilbert", "electra", "albert", "mpnet", "deberta-v2")


def test_transformers_opened_our_tiny_presets():
    found = json.loads((FIXTURES / "encoders_reopened.json").read_text())
    families = {"XLM-RoBERTa", "DistilBERT", "ELECTRA", "ALBERT", "MPNet", "DeBERTa v3"}
    tiny = {n for n, each in presets().items() if each.family in families and n.endswith("-tiny")}
    assert found.keys() == tiny and len(tiny) == len(families)
    assert all(said["largest_difference"] < 1e-5 for said in found.values())


@pytest.mark.parametrize("family, name, others", [
    ("electra", "narrow", {"discriminator_predictions.dense.weight": torch.ones(12, 12)}),
    ("albert", "two_groups", {"sop_classifier.classifier.weight": torch.ones(2, 12)}),
    ("distilbert", "three_heads", {}),
    ("mpnet", "published", {"mpnet.pooler.dense.weight": torch.ones(12, 12)}),
    ("deberta-v2", "published", {"lm_predictions.lm_head.dense.weight": torch.ones(12, 12),
                                 "mask_predictions.dense.weight": torch.ones(12, 12)}),
])  # fmt: skip
def test_files_that_name_no_class_open_as_an_encoder_whose_heads_are_dropped(
    family, name, others, tmp_path
):
    model, expected = opened(family, name)
    again = rewritten(family, name, tmp_path, lambda s: s | others, architectures=...)
    assert again.config.output == OutputConfig(logits=False)
    assert torch.equal(run(again, expected), run(model, expected))
    save(again, tmp_path / "saved")
    assert load(tmp_path / "saved").config == again.config


def test_files_of_deberta_v3_without_the_head_that_transformers_computes_are_refused(tmp_path):
    def published(state):
        head = "cls.predictions."
        return {k.replace(head, "lm_predictions.lm_head."): v for k, v in state.items()}

    with pytest.raises(ArtifactError, match="lacks lm_bias, transform.dense.bias"):
        rewritten("deberta-v2", "published", tmp_path, published)


@pytest.mark.parametrize("family", NEW)
def test_values_of_any_kind_are_read_or_refused_in_one_line(family):
    name = next((FIXTURES / family).iterdir())
    values = json.loads((name / "config.json").read_text())
    for key, right in list(values.items()):
        for wrong in (None, "x", -1, 0, 1.5, True, [], {}, [3, "c2p"], 2**40, float("nan")):
            values[key] = wrong
            try:
                read_config(values, "config.json")
            except ArtifactError as error:
                assert "\n" not in str(error) and len(str(error)) < 500, (key, wrong)
        values[key] = right


@pytest.mark.parametrize("name", ["electra_replaced", "electra_base_replaced"])
def test_a_discriminator_opens_with_its_head_or_as_the_encoder_to_tune(name, tmp_path):
    path = FIXTURES / "heads" / name
    whole, encoder = load_with_head(path, torch.float32), load(path, torch.float32)
    assert whole.head.config == HeadConfig(kind="token", labels=1, inner="gelu")
    expected = load_file(path / "expected.safetensors")
    ids, documents = expected["ids"], expected["mask"] - 1
    states = encoder(ids, documents=documents)
    assert torch.equal(whole.head(states, documents), whole(ids, documents=documents))
    moods = HeadConfig(labels=3, inner="gelu", names=("calm", "glad", "cross"))
    save_with_head(ModelWithHead(encoder, Head(moods, encoder.config.width)), tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["architectures"] == ["ElectraForSequenceClassification"]


def test_a_discriminator_of_another_activation_is_written_as_our_own(tmp_path):
    config = preset("electra-tiny").config
    feed = config.feedforward.model_copy(update={"activation": "relu"})
    head = Head(HeadConfig(kind="token", labels=1, inner="gelu"), config.width)
    model = ModelWithHead(Transformer(config.model_copy(update={"feedforward": feed})), head)
    save_with_head(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "groundup"
    assert load_with_head(tmp_path).head.config == head.config


@pytest.mark.parametrize("name", ["albert-tiny", "deberta-v3-tiny", "mpnet-tiny"])
def test_vectors_have_the_models_width_and_not_the_tables(name, tmp_path):
    config = preset(name).config
    head = Head(HeadConfig(kind="embedding", pooling="mean"), config.width)
    save_with_head(ModelWithHead(Transformer(config), head), tmp_path)
    (tmp_path / "tokenizer.json").write_text(BYTES)
    assert load_encoder(tmp_path).embed(["ab", "a"]).shape == (2, config.width)


def test_weights_that_layers_share_are_trained_once():
    model = Transformer(preset("albert-tiny").config)
    assert FAMILIES["albert"].to_hf_config(model.config)["num_hidden_layers"] == 4
    model.train()
    model.recompute_blocks("all")
    model.logits(torch.arange(8)[None]).square().mean().backward()
    gradient = model.layers[0].attention.v_proj.weight.grad
    model.zero_grad()
    model.recompute_blocks("none")
    model.logits(torch.arange(8)[None]).square().mean().backward()
    torch.testing.assert_close(gradient, model.layers[0].attention.v_proj.weight.grad)


BYTES = json.dumps({
    "version": "1.0", "added_tokens": [], "model": {
        "type": "WordLevel", "vocab": {"a": 0, "ab": 1, "?": 2}, "unk_token": "?"}
})  # fmt: skip
