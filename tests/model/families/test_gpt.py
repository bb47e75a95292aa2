"""GPT-1 and GPT-2: the peers' states and logits, there and back."""

import json

import pytest
import torch

from groundup.compress import quantize_weights
from groundup.core import ArtifactError
from groundup.model import Cache, Transformer, load, save
from groundup.model.families.decoders.gpt import GPT2
from tests.model.families.bert_gpt import (
    decoder,
    opened,
    rewritten,
    run,
)


def test_a_cache_continues_where_the_last_call_ended():
    model, expected = opened("gpt2", "published")
    cache, ids = Cache(model.config, 1, 18), expected["long_ids"]
    parts = [model.logits(ids[:, i : i + 6], cache=cache) for i in (0, 6, 12)]
    torch.testing.assert_close(torch.cat(parts, 1), expected["long_logits"], atol=1e-5, rtol=1e-5)


def test_matrices_lie_turned_and_joined():
    written = GPT2.to_hf_state_dict(
        Transformer(decoder("pre"), seed=0).state_dict(), decoder("pre")
    )
    assert written["transformer.h.0.attn.c_attn.weight"].shape == (8, 24)
    assert written["transformer.h.0.attn.c_attn.bias"].shape == (24,)
    assert written["transformer.h.1.mlp.c_fc.weight"].shape == (8, 32)
    assert not any(name.startswith("lm_head") for name in written)


def test_eight_bits_do_not_fit_joined_matrices_and_are_saved_as_our_own(tmp_path):
    model = Transformer(decoder("pre"), seed=0).eval()
    assert quantize_weights(model) is not None
    save(model, tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["model_type"] == "groundup"
    ids = torch.arange(9)[None]
    assert torch.equal(load(tmp_path).logits(ids), model.logits(ids))


@pytest.mark.parametrize("edit, message", [
    (lambda s: s | {"h.0.attn.c_attn.weight": torch.ones(5, 5)}, "misshapen layers.0.attention"),
    (lambda s: s | {"h.0.attn.c_attn.weight": torch.tensor(1.0)}, "lacks layers.0.attention"),
    (lambda s: s | {"h.0.crossattention.c_attn.weight": torch.ones(1)}, "unexpected h.0.cross"),
])  # fmt: skip
def test_tensors_that_do_not_fit_are_named(tmp_path, edit, message):
    def plain(state):
        return edit({name.removeprefix("transformer."): t for name, t in state.items()})

    with pytest.raises(ArtifactError, match=message):
        rewritten("gpt2", "published", tmp_path, plain)


MASK = {"h.0.attn.masked_bias": torch.tensor(-1e4)}


@pytest.mark.parametrize("family, more, values", [
    ("gpt2", MASK, {"n_inner": ..., "n_ctx": 18, "activation_function": ...}),
    ("openai-gpt", {"position_ids": torch.arange(18)}, {}),
])  # fmt: skip
def test_the_published_file_has_no_prefix_and_holds_the_mask(family, more, values, tmp_path):
    def published(state):
        plain = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        return plain | more | {f"h.{i}.attn.bias": torch.ones(1, 1, 18, 18) for i in range(2)}

    model, expected = opened(family, "published")
    again = rewritten(family, "published", tmp_path, published, **values)
    assert again.config == model.config
    assert torch.equal(run(again, expected), run(model, expected))
