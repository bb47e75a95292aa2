"""A file's model: complete, of any dtype, imported, or an error in one line and little memory."""

import json
import random
import sys

import numpy as np
import pytest
import torch

from groundup.core import ArtifactError, DataError, GroundupError
from groundup.model import ImportConfig, OutputConfig, import_model, load
from groundup.model.weights.gguf.blocks import block_types
from groundup.model.weights.gguf.export import _tokenizer_metadata, save_gguf
from groundup.model.weights.gguf.format import (
    Parser,
    TensorToWrite,
    Value,
    open_gguf,
    write_gguf_file,
)
from groundup.model.weights.gguf.reading import _special_token_ids, load_gguf, read_gguf_config
from groundup.tokenizer import load_tokenizer, tokenizer_of_gguf
from tests.model.shapes import ENCODERS
from tests.model.weights.gguf.models import (
    MODELS,
    artifact_of,
    decoder,
    exact_model,
    small_vocabulary,
)
from tests.model.weights.gguf.test_format import at_most, mutated


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    path = tmp_path_factory.mktemp("llama") / "llama.gguf"
    save_gguf(exact_model(MODELS["llama"]), path, "F32", small_vocabulary())
    return path


def test_weights_take_the_dtype_that_is_asked_for(llama):
    model = load_gguf(llama, torch.bfloat16)
    assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
    exact = exact_model(MODELS["llama"]).lm_head.weight
    assert torch.equal(model.lm_head.weight, exact.to(torch.bfloat16))


def test_an_encoder_of_berts_kind_opens(tmp_path):
    """llama.cpp's own converter leaves out the masked head, and so do we."""
    config = ENCODERS["bert"].model_copy(
        update={"output": OutputConfig(logits=False), "tied_embeddings": True,
                "feedforward": ENCODERS["bert"].feedforward.model_copy(
                    update={"activation": "gelu"})}
    )  # fmt: skip
    model = exact_model(config)
    save_gguf(model, tmp_path / "bert.gguf", "F16")
    assert open_gguf(tmp_path / "bert.gguf").metadata["bert.attention.causal"] is False
    again = load_gguf(tmp_path / "bert.gguf")
    assert again.config == config
    ids = torch.arange(9)[None]
    with torch.no_grad():
        torch.testing.assert_close(again(ids), model(ids), atol=5e-3, rtol=5e-3)


def rewritten(llama, place, change):
    """The file with its tensors changed by a function of their names and numbers."""
    file = open_gguf(llama)
    tensors = change({name: file.values(name) for name in file.tensors})
    written = [
        TensorToWrite(name, block_types()["F32"], values.shape, lambda values=values: values)
        for name, values in tensors.items()
    ]
    write_gguf_file(place / "changed.gguf", file.metadata, written)
    return place / "changed.gguf"


def without(name):
    return lambda tensors: {key: values for key, values in tensors.items() if key != name}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (without("blk.1.attn_v.weight"), "has 5,072 values, but its .* a model of 5,200"),
        (lambda t: t | {"blk.0.extra.weight": np.ones(3, np.float32)},
         "has unexpected blk.0.extra.weight"),
        (lambda t: t | {"blk.0.attn_q.weight": t["blk.0.attn_q.weight"].reshape(8, 32)},
         r"has misshapen layers.0.attention.q_proj.weight \(8, 32\) for \(16, 16\)"),
        (lambda t: without("blk.0.ffn_up.weight")(t) | {"x": np.ones(999, np.float32)},
         "lacks layers.0.feedforward.up_proj.weight; has unexpected x"),
        (lambda t: t | {"rope_freqs.weight": np.linspace(1, 2, 4, dtype=np.float32)},
         "which is no Llama 3 scaling"),
    ],
)  # fmt: skip
def test_tensors_that_are_not_the_models_are_named(llama, tmp_path, change, said):
    with pytest.raises(ArtifactError, match=said) as caught:
        load_gguf(rewritten(llama, tmp_path, change))
    assert "\n" not in str(caught.value)


def test_a_huge_model_in_a_small_file_is_refused_before_room_is_made(llama, tmp_path):
    file = open_gguf(llama)
    file.metadata["llama.feed_forward_length"] = 1 << 30
    file.metadata["llama.context_length"] = 1 << 30
    with pytest.raises(ArtifactError, match="its metadata describe a model of 103,079,"):
        read_gguf_config(file)


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are Linux's")
def test_five_hundred_mutations_of_a_model_are_opened_or_refused(llama, tmp_path):
    content, chance, path = llama.read_bytes(), random.Random(1), tmp_path / "a.gguf"
    outcomes = {"opened": 0, "refused": 0}
    with at_most(256 << 20):
        for _ in range(500):
            try:
                read_gguf_config(
                    Parser(path, mutated(content[:6000], chance, content[6000:])).parse()
                )
                outcomes["opened"] += 1
            except GroundupError as error:
                assert "\n" not in str(error)
                outcomes["refused"] += 1
    assert min(outcomes.values()) > 50, outcomes


AS_IS = ImportConfig()


@pytest.mark.parametrize("name", MODELS)
def test_an_imported_file_is_the_file_in_a_peers_words(name, tmp_path):
    save_gguf(exact_model(MODELS[name]), tmp_path / "m.gguf", "Q8_0", {"general.license": "mit"})
    made = import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    again, whole = load(made.path), load_gguf(tmp_path / "m.gguf")
    assert again.config == whole.config and again.head.dtype == torch.float32
    ids = torch.arange(12)[None]
    if whole.config.position.kind == "rope":
        assert made.numbers["model_type"] != "groundup"
    with torch.no_grad():
        assert torch.equal(again(ids), whole(ids))
    assert made.numbers["licence"] == "mit"
    said = json.loads((made.path / "source.json").read_text())
    assert list(said["files"]) == ["m.gguf"]


def test_our_own_model_comes_back_with_its_tokenizer_and_template(tmp_path):
    model = artifact_of(tmp_path)
    opened = load(model.path)
    told = _tokenizer_metadata(model.path, opened.config.vocab_size)
    save_gguf(opened, tmp_path / "m.gguf", "F32", told)
    config = ImportConfig(dtype="bfloat16", licence="apache-2.0")
    made = import_model(config, tmp_path / "m.gguf", tmp_path / "base")
    before, after = load_tokenizer(model.path), load_tokenizer(made.path)
    for text in ("the hat", "  the\n\nthe <|endoftext|>", "größer 的"):
        assert after.encode(text) == before.encode(text)
    assert after.specials == before.specials
    name = "chat_template.jinja"
    assert (made.path / name).read_bytes() == (model.path / name).read_bytes()
    assert made.numbers["licence"] == "apache-2.0"
    assert load(made.path).head.dtype == torch.bfloat16


def test_ends_of_texts_are_read_by_their_roles(tmp_path):
    ends = {"bos": 2, "eos": 1, "eot": 7, "padding": 0}
    metadata: dict[str, Value] = {f"tokenizer.ggml.{n}_token_id": id for n, id in ends.items()}
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32", metadata)
    found = {"bos_token_id": 2, "eos_token_id": [1, 7], "pad_token_id": 0}
    assert _special_token_ids(open_gguf(tmp_path / "m.gguf")) == found
    made = import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    for name in ("config.json", "generation_config.json"):
        assert found.items() <= json.loads((made.path / name).read_text()).items()
    assert not (made.path / "tokenizer.json").exists()


def test_a_file_names_itself_or_is_named_by_its_file(tmp_path):
    model = exact_model(decoder())
    save_gguf(model, tmp_path / "m.gguf", "F32", {"general.name": "Small 1B"})
    assert import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "a").numbers["source"] == "Small 1B"
    save_gguf(model, tmp_path / "plain.gguf", "F32")
    made = import_model(AS_IS, tmp_path / "plain.gguf", tmp_path / "b")
    assert (made.numbers["source"], made.numbers["licence"]) == ("plain", "unknown")


def test_a_tokenizer_that_cannot_be_had_is_an_error_and_leaves_no_artifact(tmp_path):
    metadata: dict[str, Value] = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "nobody's",
                "tokenizer.ggml.tokens": ["a", "b"], "tokenizer.ggml.merges": ["a b"],
                "tokenizer.ggml.token_type": np.array([1, 1], np.int32)}  # fmt: skip
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32", metadata)
    with pytest.raises(DataError, match="m.gguf: .*nobody's"):
        import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    assert not (tmp_path / "base" / "manifest.json").exists()


def test_scores_are_kept_where_merges_cannot_say_them(tmp_path):
    # of two pieces with one score the left is joined first, whatever the order of merges
    pieces = ["<unk>", "</s>", "a", "b", "ba", "ab"]
    metadata: dict[str, Value] = {
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": np.array([0, 0, -9, -9, -1, -1], np.float32),
        "tokenizer.ggml.token_type": np.array([2, 3, 1, 1, 1, 1], np.int32),
        "tokenizer.ggml.add_space_prefix": False,
    }  # fmt: skip
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32", metadata)
    made = import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    before, after = tokenizer_of_gguf(metadata), load_tokenizer(made.path)
    for text in ("aba", "bab", "abba", "baab" * 9):
        assert after.encode(text) == before.encode(text)
    assert after.encode("aba") == [5, 2] and (made.path / "pieces.json").is_file()


def test_a_file_cut_short_is_an_error_and_leaves_nothing(tmp_path):
    save_gguf(exact_model(decoder()), tmp_path / "m.gguf", "F32")
    content = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "m.gguf").write_bytes(content[:-100])
    with pytest.raises(ArtifactError, match="m.gguf"):
        import_model(AS_IS, tmp_path / "m.gguf", tmp_path / "base")
    assert not (tmp_path / "base").exists()
