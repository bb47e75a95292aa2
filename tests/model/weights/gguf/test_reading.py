"""A file's model: whole, of any dtype, or an error in one line and little memory."""

import random
import sys

import numpy as np
import pytest
import torch

from groundup.core import ArtifactError, GroundupError
from groundup.model import OutputConfig
from groundup.model.weights.gguf.dequantize import BY_NAME
from groundup.model.weights.gguf.export import save_gguf
from groundup.model.weights.gguf.format import Parser, open_gguf
from groundup.model.weights.gguf.reading import load_gguf, read_gguf_config
from groundup.model.weights.gguf.writing import TensorToWrite, write_gguf_file
from tests.model.shapes import ENCODERS
from tests.model.weights.gguf.models import MODELS, exact_model, small_vocabulary
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
        TensorToWrite(name, BY_NAME["F32"], values.shape, lambda values=values: values)
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
