"""Decoders of LLaMA's kind beside Transformers: states, logits, gradients, and files both ways.

tests/oracles/decoders_llama.py wrote the fixtures; nothing here needs Transformers.
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F
from torch.testing import assert_close

from groundup.core import ArtifactError
from groundup.model import ModelConfig, load, preset, presets, save
from groundup.model.families import FAMILIES, choose_family, read_config
from tests.model.families.test_registry import DECODERS

ROOT = Path(__file__).parents[2] / "fixtures" / "decoders"
PEERS = sorted(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("*/*/config.json"))
FIRST = sorted({peer.split("/")[0]: peer for peer in reversed(PEERS)}.values())
"""One of each family."""
TRAINED = sorted(
    peer for peer in PEERS
    if any(name.startswith("grad.") for name in load_file(ROOT / peer / "expected.safetensors"))
)  # fmt: skip
CLOSE = {"atol": 5e-5, "rtol": 1e-5}
"""States reach 9: float32 sums in another order (AVX2 beside AVX-512) differ by 1.4e-5."""


@pytest.fixture(params=PEERS)
def peer(request):
    return ROOT / request.param


def opened(directory):
    return load(directory, dtype=torch.float32), load_file(directory / "expected.safetensors")


def test_every_family_has_its_fixtures():
    assert {peer.split("/")[0] for peer in PEERS} == {*DECODERS.values(), "gemma3"}
    assert len(PEERS) == 78 and len(TRAINED) == 32


@torch.no_grad()
def test_states_and_logits_are_the_peers_with_padding_on_either_side(peer):
    model, expected = opened(peer)
    is_real, states = expected["mask"] == 1, []
    hidden = model(expected["ids"], documents=expected["mask"] - 1, states=states)
    assert len(states) == model.config.layers + 1
    for i, state in enumerate(states):
        assert_close(state[is_real], expected[f"hidden.{i}"][is_real], **CLOSE)
    assert_close(model.project(hidden)[is_real], expected["logits"][is_real], **CLOSE)


@torch.no_grad()
def test_logits_far_from_the_first_position_are_the_peers(peer):
    model, expected = opened(peer)
    ids = expected["ids"][:1]
    assert ids.shape[1] > max(pattern.window for pattern in model.config.attention.patterns)
    far = torch.arange(40, 40 + ids.shape[1])[None]
    assert_close(model.logits(ids, positions=far)[:, -1], expected["far"], **CLOSE)


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_of_every_tensor_are_the_peers(name):
    model, expected = opened(ROOT / name)
    ids, mask = expected["ids"], expected["mask"]
    labels = ids[:, 1:].masked_fill(mask[:, :-1] * mask[:, 1:] == 0, -100)
    logits = model.logits(ids, documents=mask - 1)
    F.cross_entropy(logits[:, :-1].flatten(0, 1), labels.flatten()).backward()
    grads = {n.removeprefix("grad."): t for n, t in expected.items() if n.startswith("grad.")}
    theirs = FAMILIES[name.split("/")[0]].from_hf_state_dict(grads, model.config)
    parameters = dict(model.named_parameters())
    assert theirs.keys() == parameters.keys()
    for tensor, parameter in parameters.items():
        assert parameter.grad is not None
        close = {"atol": 3e-5, "rtol": 3e-5, "msg": lambda m, t=tensor: f"{t}: {m}"}
        assert_close(parameter.grad, theirs[tensor], **close)


def test_what_we_save_is_what_was_opened_bit_for_bit(peer, tmp_path):
    model = load(peer)
    assert model.head.dtype == torch.bfloat16
    save(model, tmp_path)
    again = load(tmp_path)
    assert again.config == model.config
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
    written, published = load_file(tmp_path / "model.safetensors"), {}
    for file in peer.glob("model*.safetensors"):
        published |= load_file(file)
    stripped = {name.replace("language_model.model.", "model."): t for name, t in published.items()}
    if peer.match("falcon/serial"):  # which is a StarCoder 2 too, and written as one
        return
    assert written.keys() <= stripped.keys()
    assert all(torch.equal(written[name], stripped[name]) for name in written)


def test_transformers_opened_what_we_saved():
    files = sorted(ROOT.glob("reopened*.json"))
    found = {name: said for file in files for name, said in json.loads(file.read_text()).items()}
    tiny = {
        name for name, each in presets().items()
        if each.family in DECODERS and name.endswith("-tiny")
    }  # fmt: skip
    assert found.keys() == {*PEERS, *tiny}
    for name, said in found.items():
        assert said["largest_difference"] < 2e-5, name  # of logits up to 24
        config = preset(name).config if name in tiny else load(ROOT / name).config
        assert FAMILIES[said["model_type"]] == choose_family(config), name


def test_transformers_opened_our_quantised_copies():
    found = json.loads((ROOT / "packed.json").read_text())
    tiny = {name: each.config for name, each in presets().items()
            if name.endswith("-tiny") and each.config.kind == "decoder"}  # fmt: skip
    assert found.keys() == {f"{name} {bits}" for name in tiny for bits in (8, 4)}
    for name, said in found.items():
        family = choose_family(tiny[name.split()[0]], packed=True)
        assert family.name == said["model_type"], name
        assert family.name == "groundup" or said["largest_difference"] < 1e-5, name


WRONG = [None, "x", -1, 0, 1, 1.5, True, [], {}, ["full_attention"], 2**30, 10**30, float("nan")]


@pytest.mark.parametrize("name", FIRST)
def test_any_value_of_a_config_json_is_read_or_refused_in_one_line(name):
    values = json.loads((ROOT / name / "config.json").read_text(encoding="utf-8"))
    inner = [values, *(part for part in values.values() if isinstance(part, dict))]
    refused = 0
    for part in inner:
        for key, right in list(part.items()):
            for wrong in WRONG:
                part[key] = wrong
                try:
                    assert isinstance(read_config(values, "config.json"), ModelConfig)
                except ArtifactError as error:
                    assert "\n" not in str(error) and len(str(error)) < 500
                    refused += 1
            part[key] = right
    assert refused > 50


@pytest.mark.parametrize(
    "key, size",
    [
        ("hidden_size", 2**24),
        ("num_hidden_layers", 2**16),
        ("vocab_size", 2**30),
        ("head_dim", 2**24),
    ],
)
def test_sizes_beyond_all_weights_are_refused_before_room_is_made(key, size, tmp_path):
    shutil.copytree(ROOT / "llama" / "grouped_llama3", tmp_path / "m")
    file = tmp_path / "m" / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {key: size}))
    with pytest.raises(ArtifactError, match="describes a model of"):
        load(tmp_path / "m")
