"""What PEFT and AdapterHub compute with an adapter we compute with their files, and they with ours.

The fixtures are of tests/oracles/peft_adapters.py (peft 0.21.2) and adapters_bottleneck.py
(adapters 1.3.0); `written.json` and `bottlenecks.json` record what they computed with our files.
"""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.testing import assert_close

from groundup.adapt import (
    adapter_off,
    load_adapter,
    merge_adapter,
    save_adapter,
    trainable_parameters,
)
from groundup.model import load

ROOT = Path(__file__).resolve().parents[1] / "fixtures" / "adapters"
LORAS = ("lora", "rslora", "dora", "embedding")
PREFIXES = ("prefix", "projected")
STYLES = ("houlsby", "pfeiffer", "parallel")


def open_theirs(kind, trainable=False):
    """Our model with a peer's adapter, the inputs, and what the peer computed."""
    model = load(ROOT / "model")
    load_adapter(model, ROOT / kind, trainable=trainable)
    inputs = load_file(ROOT / "model" / "inputs.safetensors")
    return model, inputs, load_file(ROOT / kind / "expected.safetensors")


@pytest.mark.parametrize("kind", LORAS + PREFIXES + STYLES)
def test_a_peer_s_adapter_gives_its_logits_here(kind):
    model, inputs, expected = open_theirs(kind)
    logits = model.logits(inputs["ids"])
    assert_close(logits, expected["logits"], rtol=0, atol=1e-5)
    with adapter_off(model):
        assert (model.logits(inputs["ids"]) - logits).abs().max() > 0.1


@pytest.mark.parametrize("kind", LORAS)
def test_merged_weights_give_the_peer_s_merged_logits(kind):
    model, inputs, expected = open_theirs(kind)
    merge_adapter(model, "default")
    assert_close(model.logits(inputs["ids"]), expected["merged"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", (*LORAS, "prefix", *STYLES))
def test_gradients_are_the_peer_s(kind, tmp_path):
    model, inputs, expected = open_theirs(kind, trainable=True)
    (model.logits(inputs["ids"]) * inputs["weights"]).sum().backward()
    with torch.no_grad():  # gradients take the place of weights, and so get names of the files
        for weight in trainable_parameters(model).values():
            weight.copy_(weight.grad)
    save_adapter(model, "default", tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    ours = load_file(file)
    theirs = {
        key.removeprefix("gradient."): tensor
        for key, tensor in expected.items()
        if key.startswith("gradient.")
    }
    assert len(ours) == len(theirs) > 0
    for key, gradient in theirs.items():
        assert_close(ours[name_in_file(key)], gradient, rtol=1e-5, atol=1e-5)


def name_in_file(key):
    """A parameter's name in a file, of its name in the peer's model."""
    if key == "prompt_encoder.default.embedding.weight":
        return "prompt_embeddings"
    key = key.replace("lora_magnitude_vector.default.weight", "lora_magnitude_vector")
    return key.replace(".default", "").replace(".theirs.", ".default.")


@pytest.mark.parametrize("kind", LORAS + PREFIXES + STYLES)
def test_a_peer_s_adapter_is_written_as_it_was_read(kind, tmp_path):
    model, inputs, expected = open_theirs(kind)
    save_adapter(model, "default", tmp_path, base="model")
    (file,) = tmp_path.glob("*.safetensors")
    theirs, ours = load_file(ROOT / kind / file.name), load_file(file)
    extra = {key for key in theirs if "base_layer" in key}  # PEFT copies an embedding's weight
    assert {k.replace(".theirs.", ".default.") for k in theirs.keys() - extra} == ours.keys()
    again = load(ROOT / "model")
    load_adapter(again, tmp_path)
    assert torch.equal(again.logits(inputs["ids"]), model.logits(inputs["ids"]))
    values = [json.loads((f / "adapter_config.json").read_text()) for f in (ROOT / kind, tmp_path)]
    different = {"encoder_hidden_size", "prefix_projection", "target_modules"}
    for key in values[1].keys() & values[0].keys() - different - {"config", "name", "model_name"}:
        assert values[1][key] == values[0][key] or key.endswith("_pattern"), key
    assert kind not in STYLES or values[1]["config"].items() <= values[0]["config"].items()


@pytest.mark.parametrize("kind", ["fused", "fused_dora"])
def test_a_peer_s_adapter_of_fused_modules_acts_on_each_of_ours(kind, tmp_path):
    model, again = load(ROOT / "phi3"), load(ROOT / "phi3")
    load_adapter(model, ROOT / kind)
    ids = load_file(ROOT / "model" / "inputs.safetensors")["ids"]
    expected = load_file(ROOT / kind / "expected.safetensors")
    logits = model.logits(ids)
    assert_close(logits, expected["logits"], rtol=0, atol=1e-5)
    save_adapter(model, "default", tmp_path)
    load_adapter(again, tmp_path)
    assert_close(again.logits(ids), logits, rtol=0, atol=1e-6)
    merge_adapter(model, "default")
    assert_close(model.logits(ids), expected["merged"], rtol=0, atol=1e-5)


def test_peers_apply_every_module_that_we_write_in_families_that_fuse_or_mix():
    for name, kinds in json.loads((ROOT / "families.json").read_text()).items():
        for kind, measured in kinds.items():
            assert measured["difference"] <= 1e-5 and measured["effect"] > 0.1, (name, kind)
            assert measured["left_out"] == 0, (name, kind)


@pytest.mark.parametrize("file", ["written.json", "bottlenecks.json"])
def test_peers_open_what_we_write(file):
    for kind, measured in json.loads((ROOT / file).read_text()).items():
        assert measured["difference"] <= 1e-5 and measured["effect"] > 0.1, kind
