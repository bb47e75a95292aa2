"""LoRA: nothing changes at first, only A, B and m learn, and a packed base stays packed."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from groundup.adapt import LoraConfig, attach_adapter, trainable_parameters
from groundup.adapt.lora import LoraModule, find_targets
from groundup.adapt.selection import adapter_parts
from groundup.compress import quantize_weights
from groundup.core import ConfigError
from groundup.kernels import QuantizedLinear
from groundup.model import ExpertsConfig, FeedForwardConfig
from tests.adapt.models import CONFIG, random_ids, shake_adapter, small_model

EVERYTHING = ("all-linear", "embed_tokens")


@pytest.mark.parametrize(
    "config",
    [
        LoraConfig(rank=3, dropout=0.5),
        LoraConfig(rank=3, targets=EVERYTHING, rank_stabilised=True),
        LoraConfig(rank=3, dora=True),
    ],
)
def test_a_new_adapter_changes_nothing(config):
    model, ids = small_model(), random_ids(2, 9)
    before = model.logits(ids)
    attach_adapter(model, config)
    assert torch.equal(model.logits(ids), before)


def test_a_is_uniform_as_in_peft_and_drawn_from_the_seed():
    drawn = []
    for seed in (5, 5, 6):
        model = small_model()
        attach_adapter(model, LoraConfig(rank=8), seed=seed)
        update = adapter_parts(model, "default")["layers.0.attention.q_proj"]
        assert not update.B.any()
        drawn.append(update.A)
    bound = 1 / math.sqrt(CONFIG.width)
    assert drawn[0].abs().max() <= bound and drawn[0].std() > 0.5 * bound
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


def test_drawing_leaves_the_callers_random_numbers_alone():
    model = small_model()
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    attach_adapter(model, LoraConfig())
    assert torch.equal(torch.rand(3), expected)


def test_an_update_is_its_formula():
    model, x = small_model(), torch.randn(2, 5, 32)
    attach_adapter(model, LoraConfig(rank=4, alpha=6.0, rank_stabilised=True, targets=("q_proj",)))
    shake_adapter(model)
    module = model.get_submodule("layers.1.attention.q_proj")
    update = module.adapters["default"]
    expected = x @ (module.base.weight + 3.0 * update.B @ update.A).T
    assert_close(module(x), expected, rtol=0, atol=1e-5)


def test_dora_gives_each_output_the_learned_norm():
    model = small_model()
    attach_adapter(model, LoraConfig(rank=4, dora=True))
    shake_adapter(model)
    module = model.get_submodule("layers.0.feedforward.down_proj")
    update = module.adapters["default"]
    merged = update.merged_weight(module.base)
    assert_close(merged.norm(dim=1), update.magnitude.abs())
    x = torch.randn(2, 3, 40)
    assert_close(module(x), x @ merged.T, rtol=0, atol=1e-5)


def test_dropout_drops_inputs_of_a_in_training_alone():
    model, ids = small_model(), random_ids(2, 9)
    attach_adapter(model, LoraConfig(dropout=0.5, dora=True))
    shake_adapter(model)
    assert torch.equal(model.logits(ids), model.logits(ids))
    model.train()
    assert not torch.equal(model.logits(ids), model.logits(ids))


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("dora", [False, True])
def test_over_a_packed_base_only_the_adapter_learns(bits, dora):
    packed, ids = small_model(), random_ids(2, 9)
    quantize_weights(packed, bits, group=8)
    dense = copy.deepcopy(packed)
    for name, module in list(packed.named_modules()):
        if isinstance(module, QuantizedLinear):
            dense.set_submodule(name, module.to_linear())
    integers = {name: t.clone() for name, t in packed.named_buffers()}
    gradients = []
    for model in (packed, dense):
        attach_adapter(model, LoraConfig(rank=4, dora=dora))
        torch.manual_seed(0)
        shake_adapter(model)
        logits = model.logits(ids)
        logits.square().sum().backward()
        gradients.append({n: p.grad for n, p in model.named_parameters() if p.grad is not None})
    assert gradients[0].keys() == trainable_parameters(packed).keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-4)
    still = {n.replace(".base", ""): t for n, t in packed.named_buffers() if "adapters" not in n}
    assert still.keys() == integers.keys()
    assert all(torch.equal(still[name], tensor) for name, tensor in integers.items())


def test_a_packed_layer_keeps_no_float_weight_for_its_backward_pass():
    layer = QuantizedLinear.from_linear(nn.Linear(64, 48), bits=4, group=32)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        x = torch.randn(2, 64, requires_grad=True)
        layer(x).sum().backward()
    assert not [tensor for tensor in kept if tensor.shape == (48, 64)]
    assert_close(x.grad, layer.dequantize().sum(0).expand(2, 64))


def test_training_changes_the_adapter_alone_and_lowers_the_loss():
    model, ids = small_model(), random_ids(4, 12)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attach_adapter(model, LoraConfig(rank=4))
    optimizer = torch.optim.AdamW(trainable_parameters(model).values(), lr=1e-2)
    losses = []
    for _ in range(30):
        logits = model.logits(ids)[:, :-1]
        loss = nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
    after = {name.replace(".base.", "."): tensor for name, tensor in model.state_dict().items()}
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_half_precision_bases_have_float32_adapters():
    model = small_model().bfloat16()
    attach_adapter(model, LoraConfig(dora=True, targets=EVERYTHING[:1]))
    shake_adapter(model)
    assert {weight.dtype for weight in trainable_parameters(model).values()} == {torch.float32}
    assert model.logits(random_ids(1, 4)).dtype == torch.bfloat16


def test_targets_are_names_their_ends_or_all():
    model = small_model()
    assert [*find_targets(model, ["layers.1.attention.q_proj"])] == ["layers.1.attention.q_proj"]
    assert len(find_targets(model, ["q_proj"])) == 2
    assert len(find_targets(model, ["all-linear"])) == 2 * 7
    experts = CONFIG.model_copy(update={"feedforward": FeedForwardConfig(experts=ExpertsConfig())})
    attach_adapter(small_model(experts), LoraConfig())  # routers and experts stay as they are
    with pytest.raises(ConfigError, match="no module 'lm_head'.*give all-linear, q_proj, k_proj"):
        attach_adapter(model, LoraConfig(targets=("q_proj", "lm_head")))
    with pytest.raises(ConfigError, match="DoRA of embed_tokens"):
        attach_adapter(model, LoraConfig(targets=("embed_tokens",), dora=True))
    with pytest.raises(ConfigError, match="rank=100000 is above .*, the full rank"):
        attach_adapter(model, LoraConfig(rank=100_000))
    assert not any(isinstance(module, LoraModule) for module in model.modules())
