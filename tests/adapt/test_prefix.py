"""Prefixes: seen by every document, by cached tokens and within windows, and refused elsewhere."""

import pytest
import torch
from torch.testing import assert_close

from groundup.adapt import (
    PrefixConfig,
    activate_adapter,
    activate_rows,
    attach_adapter,
    load_adapter,
    save_adapter,
)
from groundup.core import ConfigError
from groundup.kernels import AttentionPattern, Mask, ScoreOptions
from groundup.model import (
    AttentionConfig,
    Cache,
    NativeDecoder,
    PositionConfig,
    RopeScaling,
    get_rotation,
    rotate,
    supports,
)
from tests.adapt.models import CONFIG, random_ids, shake_adapter, small_model

WINDOW = AttentionConfig(
    heads=4, kv_heads=2, head_dim=8, patterns=(AttentionPattern("window", window=6),)
)


def prefixed(config=CONFIG, name="default", **values):
    model = small_model(config)
    attach_adapter(model, PrefixConfig(**{"length": 4} | values), name)
    return shake_adapter(model)


@pytest.mark.parametrize("attention", [CONFIG.attention, WINDOW])
def test_packed_documents_compute_what_each_does_alone(attention):
    model = prefixed(CONFIG.model_copy(update={"attention": attention}))
    first, second = random_ids(1, 9), random_ids(1, 8)
    packed = torch.cat([first, second], dim=1)
    documents = torch.tensor([[0] * 9 + [1] * 8])
    logits = model.logits(packed, documents=documents)
    for part, alone in ((logits[:, :9], first), (logits[:, 9:], second)):
        assert_close(part, model.logits(alone), rtol=0, atol=1e-5)


@pytest.mark.parametrize("attention", [CONFIG.attention, WINDOW])
def test_cached_calls_compute_what_one_pass_does(attention):
    config = CONFIG.model_copy(update={"attention": attention})
    model, ids = prefixed(config), random_ids(2, 12)
    expected, cache = model.logits(ids), Cache(config, 2, 12)
    calls = [model.logits(ids[:, at : at + n], cache=cache) for at, n in ((0, 7), (7, 1), (8, 4))]
    assert_close(torch.cat(calls, dim=1), expected, rtol=0, atol=1e-5)


def test_padding_on_the_left_changes_nothing():
    model, ids = prefixed(), random_ids(1, 7)
    padded = torch.cat([torch.zeros(1, 3, dtype=torch.long), ids], dim=1)
    logits = model.logits(padded, documents=torch.tensor([[-1] * 3 + [0] * 7]))
    assert_close(logits[:, 3:], model.logits(ids), rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", ["yarn", "llama3"])
def test_scaled_rotations_leave_the_prefix_s_keys_as_they_are(kind):
    scaling = RopeScaling(kind=kind, factor=4.0, original_length=16)
    config = CONFIG.model_copy(update={"position": PositionConfig(scaling=scaling)})
    model, ids = prefixed(config), random_ids(1, 6)
    positions = torch.arange(6)[None]
    assert_close(model.logits(ids, positions=positions), model.logits(ids), rtol=0, atol=1e-5)


def test_a_projection_is_stored_as_its_output(tmp_path):
    model, ids = prefixed(projection=True, projection_width=5), random_ids(2, 6)
    save_adapter(model, "default", tmp_path)
    assert load_adapter(model, tmp_path, "again").parameters == 4 * 2 * 2 * 16
    again = model.logits(ids)
    activate_adapter(model, "default")
    assert torch.equal(model.logits(ids), again)


def test_prefixes_of_different_lengths_share_a_batch():
    model, ids = prefixed(name="short"), random_ids(3, 6)
    attach_adapter(model, PrefixConfig(length=9), "long")
    names, alone = ["long", None, "short"], []
    for row, name in enumerate(names):
        activate_adapter(model, name)
        alone.append(model.logits(ids[row : row + 1]))
    activate_rows(model, names)
    assert_close(model.logits(ids), torch.cat(alone), rtol=0, atol=1e-5)


def test_native_decoding_refuses_adapters():
    model = prefixed()
    assert not supports(model)
    with pytest.raises(ConfigError, match="native stack cannot run"):
        NativeDecoder(model, 4)


def test_models_without_a_place_for_a_prefix_are_refused():
    learned = CONFIG.model_copy(update={"position": PositionConfig(kind="learned")})
    capped = CONFIG.attention.model_copy(update={"softcap": 3.0})
    for config in (learned, CONFIG.model_copy(update={"attention": capped})):
        model = small_model(config)
        with pytest.raises(ConfigError, match=r"position.kind='learned'|softcap=3.0"):
            attach_adapter(model, PrefixConfig())
        model.logits(random_ids(1, 3))


@pytest.mark.parametrize("is_window", [False, True])
def test_a_prefix_stands_before_rotated_tokens_unrotated_as_in_peft(is_window):
    scaling = RopeScaling(kind="yarn", factor=4.0, original_length=16)
    position = PositionConfig(scaling=scaling, window_base=100.0 if is_window else None)
    attention = WINDOW if is_window else CONFIG.attention
    config = CONFIG.model_copy(update={"position": position, "attention": attention})
    attend = prefixed(config).layers[0].attention.attend
    prefix, (q, k, v) = attend.adapters["default"], torch.randn(3, 1, 2, 1, 8)
    here, after = (
        get_rotation(config, torch.tensor([[at]]), q.dtype, is_window=is_window) for at in (1, 5)
    )
    mask = Mask(pattern=config.pattern(0))
    out = attend.attend_with(prefix, rotate(q, here), rotate(k, here), v, mask, ScoreOptions())
    first, values = prefix.flat().unflatten(1, (2, 2, 8)).permute(1, 2, 0, 3)[:, None]
    keys, values = torch.cat([first, rotate(k, after)], 2), torch.cat([values, v], 2)
    expected = torch.softmax(rotate(q, after) @ keys.mT / 8**0.5, -1) @ values
    assert_close(out, expected, rtol=0, atol=1e-5)
