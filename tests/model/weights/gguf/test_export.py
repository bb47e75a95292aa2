"""Files that llama.cpp opened: the same bytes are written again, and it computes what we do."""

import hashlib
import json

import pytest
import torch

from groundup.core import ConfigError, DataError, Message
from groundup.kernels import Int8Linear
from groundup.model import FeedForwardConfig, ImportConfig, Transformer, import_model
from groundup.model.weights.gguf.export import FILE_TYPES, export_gguf, save_gguf
from groundup.model.weights.gguf.format import open_gguf
from groundup.model.weights.gguf.reading import load_gguf
from groundup.tokenizer import load_tokenizer, render
from tests.model.weights.gguf.models import (
    MODELS,
    PEER,
    artifact_of,
    decoder,
    exact_model,
    write_all,
)

FOUND = json.loads(PEER.read_text())
STORED_AS = [f"stored_{type.lower()}" for type in FILE_TYPES]
EXACT = 2e-5
LOOSER = {
    # llama.cpp looks GELU up in a table of halves; measured 0.0018 and 0.0012
    "gpt2": 5e-3, "gemma3": 5e-3,
    # and rounds what meets weights of 16 bits or less; measured 0.0044, 0.025, 0.081 and 0.099
    "stored_f16": 1e-2, "stored_bf16": 5e-2, "stored_q8_0": 0.15, "stored_q4_0": 0.2,
}  # fmt: skip


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    place = tmp_path_factory.mktemp("written")
    write_all(place)
    return place


def test_every_file_was_opened_by_the_peer():
    assert set(FOUND) == {*MODELS, *STORED_AS}


@pytest.mark.parametrize("name", [*MODELS, *STORED_AS])
def test_the_peer_opened_these_very_bytes(written, name):
    content = (written / f"{name}.gguf").read_bytes()
    assert hashlib.sha256(content).hexdigest() == FOUND[name]["sha256"]


@torch.no_grad()
@pytest.mark.parametrize("name", [*MODELS, *STORED_AS])
def test_the_peer_computes_what_the_file_gives_here(written, name):
    model = load_gguf(written / f"{name}.gguf")
    for prompt in FOUND[name]["prompts"]:
        logits = model.logits(torch.tensor([prompt["ids"]]), last_only=True)[0, 0]
        ours = logits.log_softmax(-1)[FOUND[name]["kept"]]
        theirs = torch.tensor(prompt["logprobs"])
        assert (ours - theirs).abs().max() < LOOSER.get(name, EXACT), len(prompt["ids"])


@pytest.mark.parametrize("name", MODELS)
def test_a_file_gives_back_the_model(written, name):
    model, again = exact_model(MODELS[name]), load_gguf(written / f"{name}.gguf")
    assert again.config == model.config
    assert not again.training
    for key, weight in model.state_dict().items():
        torch.testing.assert_close(again.state_dict()[key], weight, rtol=0, atol=1e-7)


@pytest.mark.parametrize("name", STORED_AS)
def test_the_peers_ids_of_texts_are_our_tokenizers(written, name):
    tokenizer = load_tokenizer(written / "stored")
    for text, ids in FOUND[name]["ids"].items():
        assert tokenizer.encode(text) == ids
    said = render(tokenizer, (Message("user", "Why?"),), add_generation_prompt=True)
    assert FOUND[name]["chat"] == said.text


def test_rounding_follows_the_rule(written):
    types = {
        name: {key: one.type.name for key, one in open_gguf(written / name).tensors.items()}
        for name in ("stored_q4_0.gguf", "stored_q8_0.gguf", "mixtral.gguf", "gpt2.gguf")
    }
    four, eight = types["stored_q4_0.gguf"], types["stored_q8_0.gguf"]
    assert {four["blk.0.attn_q.weight"], four["token_embd.weight"]} == {"Q4_0"}
    assert {four["output.weight"], *eight.values()} - {"F32"} == {"Q8_0"}
    assert {four["blk.1.attn_norm.weight"], eight["blk.0.attn_q_norm.weight"]} == {"F32"}


def test_rows_that_are_no_whole_blocks_are_halves(tmp_path):
    model = exact_model(MODELS["mixtral"])
    found = save_gguf(model, tmp_path / "a.gguf", "Q8_0")
    types = {key: one.type.name for key, one in open_gguf(found.path).tensors.items()}
    assert types["blk.0.ffn_down_exps.weight"] == "F16"  # 24 numbers a row
    assert types["blk.0.ffn_gate_inp.weight"] == "F32"
    assert load_gguf(found.path).config == model.config


def test_the_verb_says_what_it_wrote(tmp_path):
    artifact, path = artifact_of(tmp_path), tmp_path / "deep" / "a.gguf"
    found = export_gguf(artifact, path, "Q4_0")
    assert (found.architecture, found.tensors, found.bytes) == ("qwen3", 25, path.stat().st_size)
    assert str(found).startswith(f"{path}  qwen3, Q4_0, 25 tensors, 31.6 kB")
    before = path.read_bytes()
    export_gguf(artifact, path, "Q4_0")
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="is a folder; name a file in it"):
        export_gguf(artifact, tmp_path / "deep", "F16")


def test_the_licence_of_an_imported_model_travels(tmp_path):
    source, base, path = tmp_path / "a.gguf", tmp_path / "base", tmp_path / "b.gguf"
    export_gguf(artifact_of(tmp_path), source, "F32")
    for name, expected in (("", None), ("Apache-2.0", "Apache-2.0")):
        imported = import_model(ImportConfig(licence=name), source, base / (name or "none"))
        export_gguf(imported, path, "F32")
        assert open_gguf(path).metadata.get("general.license") == expected
    for name in open_gguf(source).tensors:
        assert (open_gguf(source).blocks(name) == open_gguf(path).blocks(name)).all()


def test_a_model_that_the_peer_lacks_is_refused(tmp_path):
    relu = decoder(feedforward=FeedForwardConfig(width=24, activation="relu"))
    with pytest.raises(
        ConfigError, match="No architecture of llama.cpp supports this model: .*relu"
    ):
        save_gguf(Transformer(relu), tmp_path / "a.gguf", "F32")
    assert not list(tmp_path.iterdir())


def test_weights_of_eight_bits_are_refused(tmp_path):
    model = exact_model(decoder())
    linear = model.layers[0].attention.q_proj
    model.set_submodule(
        "layers.0.attention.q_proj", Int8Linear(linear.in_features, linear.out_features)
    )
    with pytest.raises(ConfigError, match="has int8 weights; export the model that it was"):
        save_gguf(model, tmp_path / "a.gguf", "F32")


def test_weights_that_do_not_fit_a_type_are_named(tmp_path):
    model = exact_model(decoder())
    with torch.no_grad():
        model.layers[1].attention.v_proj.weight[0, 0] = 1e6
    with pytest.raises(
        DataError, match="blk.1.attn_v.weight: A value of magnitude 1e.06 does not fit"
    ):
        save_gguf(model, tmp_path / "a.gguf", "F16")
    assert save_gguf(model, tmp_path / "a.gguf", "BF16").type == "BF16"
