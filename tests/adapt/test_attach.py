"""Adapters under names: switched, mixed in one batch, measured, removed, merged and restored."""

import copy

import pytest
import torch
from torch.testing import assert_close

from groundup.adapt import (
    BottleneckConfig,
    LoraConfig,
    PrefixConfig,
    activate_adapter,
    activate_rows,
    adapter_off,
    adapter_sizes,
    attach_adapter,
    merge_adapter,
    remove_adapter,
    trainable_parameters,
    unmerge_adapter,
)
from groundup.compress import quantize_weights
from groundup.core import ConfigError, ShapeError
from groundup.generate import CachedTransformer
from groundup.model import PositionConfig, has_adapters, save
from tests.adapt.models import CONFIG, random_ids, shake, shake_adapter, small_model

KINDS = {
    "lora": LoraConfig(rank=3, targets=("all-linear", "embed_tokens")),
    "dora": LoraConfig(rank=2, dora=True),
    "prefix": PrefixConfig(length=3),
    "houlsby": BottleneckConfig(style="houlsby", reduction=4),
    "parallel": BottleneckConfig(style="parallel"),
}


@pytest.fixture
def model():
    """A model with an adapter of every kind, the last one acting."""
    model = small_model()
    for name, config in KINDS.items():
        attach_adapter(model, config, name)
    return shake_adapter(model)


def test_with_adapters_off_the_base_computes_bit_for_bit_what_it_did(model):
    ids, documents = random_ids(2, 9), torch.tensor([[0] * 4 + [1] * 5, [0] * 9])
    plain = small_model()
    shake_base(plain, model)
    with adapter_off(model):
        assert torch.equal(model.logits(ids), plain.logits(ids))
        off = model.logits(ids, documents=documents)
        assert torch.equal(off, plain.logits(ids, documents=documents))
    activate_adapter(model, None)
    assert torch.equal(model.logits(ids), plain.logits(ids))


def shake_base(plain, model):
    """Give a plain model the base's weights."""
    state = {n.replace(".base.", "."): t for n, t in model.state_dict().items()}
    plain.load_state_dict({name: state[name] for name in plain.state_dict()})


def test_a_batch_mixes_adapters_as_each_alone(model):
    names = [*KINDS, None, "lora"]
    ids, alone = random_ids(len(names), 8), []
    for row, name in enumerate(names):
        activate_adapter(model, name)
        alone.append(model.logits(ids[row : row + 1]))
    activate_rows(model, names)
    assert_close(model.logits(ids), torch.cat(alone), rtol=0, atol=1e-5)
    assert (alone[0] - alone[-1]).abs().max() > 0.1
    with pytest.raises(ShapeError, match="for 7 sequences; the batch has 2"):
        model.logits(ids[:2])


def test_training_reaches_the_acting_adapter_alone(model):
    activate_adapter(model, "houlsby")
    model.logits(random_ids(2, 5)).sum().backward()
    reached = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert reached == {name for name in trainable_parameters(model) if ".houlsby." in name}


def test_sizes_are_of_each_adapter(model):
    sizes = {size.name: size for size in adapter_sizes(model)}
    assert sizes["prefix"].parameters == 3 * 2 * 2 * 16
    assert sizes["houlsby"].parameters == 4 * (32 * 8 * 2 + 8 + 32)
    assert sizes["parallel"].bytes == 4 * sizes["parallel"].parameters
    assert str(sizes["prefix"]) == "prefix (prefix): 192 parameters, 0.001 MiB"
    with pytest.raises(ConfigError, match="before adapters are attached"):
        quantize_weights(model, 4, group=8)
    packed = small_model()
    quantize_weights(packed, 4, group=8)
    assert attach_adapter(packed, KINDS["dora"]).parameters == sizes["dora"].parameters


def test_removing_the_last_adapter_leaves_the_plain_model(model):
    ids, plain = random_ids(2, 6), small_model()
    shake_base(plain, model)
    for name in KINDS:
        activate_adapter(model, name)
        remove_adapter(model, name)
    assert not has_adapters(model)
    assert list(model.state_dict()) == list(plain.state_dict())
    assert len(trainable_parameters(model)) == len(list(plain.parameters()))
    assert torch.equal(model.logits(ids), plain.logits(ids))


def test_a_copy_has_adapters_of_its_own(model):
    twin, ids = copy.deepcopy(model), random_ids(1, 4)
    activate_adapter(twin, "lora")
    assert not torch.equal(twin.logits(ids), model.logits(ids))
    activate_adapter(model, "lora")
    assert torch.equal(twin.logits(ids), model.logits(ids))


def test_generation_runs_without_the_native_stack(model):
    ids = random_ids(2, 5)
    for name in ("lora", "prefix"):
        activate_adapter(model, name)
        cached = CachedTransformer(model)
        state = cached.begin(2, 16)
        hidden = cached.extend(state, ids, torch.tensor([5, 3]))
        assert_close(hidden[1, :3], model(ids[1:, :3])[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["", "a.b", "a b"])
def test_names_are_plain_words(name):
    with pytest.raises(ConfigError, match="other than letters"):
        attach_adapter(small_model(), LoraConfig(), name)


def test_unknown_and_repeated_names_are_errors(model, tmp_path):
    with pytest.raises(ConfigError, match="'lora' is in use"):
        attach_adapter(model, LoraConfig(), "lora")
    with pytest.raises(ConfigError, match="no adapter 'law'; the model has: lora, dora"):
        activate_rows(model, [None, "law"])
    with pytest.raises(ConfigError, match="save_adapter"):
        save(model, tmp_path)
    with pytest.raises(ConfigError, match="no adapters"):
        activate_adapter(small_model(), None)


@pytest.mark.parametrize("name", ["lora", "dora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_merged_weights_give_the_adapter_s_logits_and_are_restored(model, name, dtype):
    model, ids = model.to(dtype), random_ids(2, 9)
    weights = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    activate_adapter(model, name)
    expected = model.logits(ids)
    merge_adapter(model, name)
    assert_close(model.logits(ids), expected, rtol=0, atol=1e-5 if dtype.itemsize == 4 else 1e-12)
    with pytest.raises(ConfigError, match="merged into the weights; call unmerge_adapter"):
        activate_adapter(model, None)
    unmerge_adapter(model)
    assert all(torch.equal(weights[key], tensor) for key, tensor in model.state_dict().items())
    assert torch.equal(model.logits(ids), expected)
    with pytest.raises(ConfigError, match="No adapter is merged"):
        unmerge_adapter(model)


def test_half_precision_weights_are_merged_in_float32():
    model = small_model().bfloat16()
    attach_adapter(model, LoraConfig(rank=4, targets=("q_proj",)))
    shake_adapter(model)
    module = model.get_submodule("layers.0.attention.q_proj")
    update = module.adapters["default"]
    exact = module.base.weight.float() + 2 * update.B @ update.A
    merge_adapter(model, "default")
    assert torch.equal(module.base.weight, exact.bfloat16())


def test_what_cannot_be_merged_is_refused_before_anything_changes(model):
    with pytest.raises(ConfigError, match="'prefix' is a prefix adapter.*cannot be merged"):
        merge_adapter(model, "prefix")
    packed = small_model()
    quantize_weights(packed, 4, group=8)
    tied = small_model(CONFIG.model_copy(update={"tied_embeddings": True}))
    for other, why in ((packed, "packed in 4 bits"), (tied, "tied to the head")):
        attach_adapter(other, KINDS["lora"])
        before = {key: tensor.clone() for key, tensor in other.state_dict().items()}
        with pytest.raises(ConfigError, match=why):
            merge_adapter(other, "default")
        assert all(torch.equal(before[key], t) for key, t in other.state_dict().items())


def test_an_adapter_that_is_not_finite_is_not_merged():
    model = small_model()
    attach_adapter(model, LoraConfig(rank=4, targets=("q_proj",)))
    module = model.get_submodule("layers.0.attention.q_proj")
    before = module.base.weight.clone()
    with torch.no_grad():
        module.adapters["default"].B.fill_(float("inf"))
    with pytest.raises(ConfigError, match="layers.0.attention.q_proj is not finite; the adapter"):
        merge_adapter(model, "default")
    assert torch.equal(module.base.weight, before)


def test_bottlenecks_need_norms_before_sublayers():
    post = CONFIG.norm.model_copy(update={"place": "post"})
    with pytest.raises(ConfigError, match="norm.place='post'"):
        attach_adapter(small_model(CONFIG.model_copy(update={"norm": post})), BottleneckConfig())
    learned = CONFIG.model_copy(update={"position": PositionConfig(kind="learned")})
    attach_adapter(small_model(learned), BottleneckConfig())


def test_new_parallel_bottlenecks_change_nothing():
    model, ids = small_model(), random_ids(2, 5)
    shake(model.parameters())
    before = model.logits(ids)
    attach_adapter(model, BottleneckConfig(style="parallel"))
    assert torch.equal(model.logits(ids), before)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_compiled_blocks_compute_the_adapters_gradients(model, name):
    ids, documents = random_ids(2, 16), torch.tensor([[0] * 7 + [1] * 9, [0] * 16])
    activate_adapter(model, name)
    model.train()
    gradients = []
    for is_compiled in (False, True):
        model.is_compiled = is_compiled and model.compile_blocks()
        model.zero_grad()
        model(ids, documents=documents).square().sum().backward()
        own = trainable_parameters(model).items()
        gradients.append({path: p.grad.clone() for path, p in own if p.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for path, gradient in gradients[0].items():
        assert_close(gradients[1][path], gradient, rtol=1e-4, atol=1e-4)
