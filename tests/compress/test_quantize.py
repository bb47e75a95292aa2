"""8- and 4-bit models: close to the original, smaller, and opened like any other."""

import json

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from groundup.compress import QuantizeConfig, quantize, quantize_weights
from groundup.core import ArtifactError, Config, ConfigError, produce, record
from groundup.kernels import QuantizedLinear
from groundup.model import (
    AttentionConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    Transformer,
    load,
    load_to_train,
    save,
)
from groundup.tokenizer import FastTokenizer, save_tokenizer

CONFIG = ModelConfig(
    vocab_size=300, width=32, layers=2, context_length=64,
    attention=AttentionConfig(heads=4, kv_heads=2, head_dim=10),
    feedforward=FeedForwardConfig(width=48),
)  # fmt: skip


def random_model():
    model = Transformer(CONFIG).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.1 * torch.randn_like(weight)
    return model


@pytest.fixture
def original(tmp_path):
    save_tokenizer(FastTokenizer([]), tmp_path / "tokenizer")
    return produce(
        tmp_path / "model", kind="model", stage="t", version=1, config=Config(), parents={},
        write=lambda d: save(random_model(), d.path, tmp_path / "tokenizer", chat=True),
    )  # fmt: skip


def test_every_weight_stays_within_half_a_step():
    model = random_model()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    worst = quantize_weights(model)
    rounded = {n: m for n, m in model.named_modules() if isinstance(m, QuantizedLinear)}
    assert len(rounded) == 7 * CONFIG.layers
    errors = [
        float((m.dequantize() - before[f"{n}.weight"]).norm() / before[f"{n}.weight"].norm())
        for n, m in rounded.items()
    ]
    assert 0 < min(errors) < max(errors) < 0.02 and worst == pytest.approx(max(errors))
    for name, module in rounded.items():
        error = (module.dequantize() - before[f"{name}.weight"]).abs()
        assert (error <= module.scale * 0.5001).all(), name
    assert not any(isinstance(m, nn.Linear) for m in model.layers.modules())
    for name in before.keys() & model.state_dict().keys():
        if "_proj" not in name:
            assert torch.equal(before[name], model.state_dict()[name]), name


@torch.no_grad()
def test_the_artifact_opens_here_with_the_same_logits_and_its_tokenizer(original, tmp_path):
    made = quantize(QuantizeConfig(), original, tmp_path / "int8")
    model, ids = load(original.path), torch.randint(300, (2, 20))
    exact = model.logits(ids)
    quantize_weights(model)
    found = load(made.path).logits(ids)
    assert torch.equal(found, model.logits(ids))
    assert_close(found.softmax(-1), exact.softmax(-1), atol=0.02, rtol=0.1)
    for name in ("tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (made.path / name).read_bytes() == (original.path / name).read_bytes()
    config = json.loads((made.path / "config.json").read_text())
    assert config["quantization_config"]["format"] == "pack-quantized"
    assert made.numbers["weight_bytes"] < made.numbers["weight_bytes_before"]
    assert made.bytes < original.bytes


@torch.no_grad()
def test_the_other_weights_may_take_half_the_bytes(original, tmp_path):
    plain = quantize(QuantizeConfig(), original, tmp_path / "plain")
    small = quantize(QuantizeConfig(others="bfloat16"), original, tmp_path / "small")
    assert small.bytes < 0.75 * plain.bytes
    model, ids = load(small.path), torch.randint(300, (2, 20))
    assert model.head.dtype == torch.bfloat16
    rounded = [m for m in model.modules() if isinstance(m, QuantizedLinear)]
    exact = [m for m in load(plain.path).modules() if isinstance(m, QuantizedLinear)]
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(rounded, exact, strict=True))
    found, wanted = model.logits(ids).float(), load(plain.path).logits(ids)
    assert_close(found.softmax(-1), wanted.softmax(-1), atol=0.05, rtol=0.2)


@torch.no_grad()
def test_a_head_of_its_own_may_be_in_8_bits(tmp_path):
    config = CONFIG.model_copy(update={"tied_embeddings": False})
    model, ids = Transformer(config, seed=1).eval(), torch.randint(300, (2, 20))
    original = produce(
        tmp_path / "model", kind="model", stage="t", version=1, config=Config(), parents={},
        write=lambda draft: save(model, draft.path),
    )  # fmt: skip
    plain = quantize(QuantizeConfig(), original, tmp_path / "plain")
    small = quantize(QuantizeConfig(head="8bit"), original, tmp_path / "small")
    assert plain.bytes - small.bytes > 2.5 * config.vocab_size * config.width
    found, exact = load(small.path), load(plain.path)
    assert found.head.dtype == torch.float32
    scale = exact.head.abs().amax(-1, keepdim=True) / 127
    assert ((found.head - exact.head).abs() <= 0.5001 * scale).all()
    assert_close(found.logits(ids).softmax(-1), exact.logits(ids).softmax(-1), atol=0.02, rtol=0.1)
    assert (
        json.loads((small.path / "config.json").read_text())["quantization_config"]["ignore"] == []
    )


def test_a_head_that_is_the_embedding_stays_whole(original, tmp_path):
    with pytest.raises(ArtifactError, match="head=8bit"):
        quantize(QuantizeConfig(head="8bit"), original, tmp_path / "small")


def test_the_same_model_gives_the_same_artifact(original, tmp_path):
    one = quantize(QuantizeConfig(), original, tmp_path / "one")
    two = quantize(QuantizeConfig(), original, tmp_path / "two")
    assert one.id == two.id


def test_a_quantized_model_is_not_quantized_again(original, tmp_path):
    made = quantize(QuantizeConfig(), original, tmp_path / "int8")
    with pytest.raises(ArtifactError, match="no weights left to quantize"):
        quantize(QuantizeConfig(), made, tmp_path / "again")
    with pytest.raises(ConfigError, match="bits"):
        QuantizeConfig(bits=3)


@torch.no_grad()
def test_routers_stay_exact_so_that_every_token_keeps_its_experts(tmp_path):
    experts = ExpertsConfig(count=4, chosen=1)
    config = CONFIG.model_copy(update={"feedforward": FeedForwardConfig(width=48, experts=experts)})
    model = Transformer(config, seed=2).eval()
    for weight in model.parameters():
        weight += 0.1 * torch.randn_like(weight)
    ids, before, after = torch.arange(40)[None], [], []
    model(ids, routing=before)
    quantize_weights(model)
    assert isinstance(model.layers[0].attention.q_proj, QuantizedLinear)
    hidden = model(ids, routing=after)
    assert_close(after[0], before[0], atol=0.1, rtol=0.1)
    save(model, tmp_path)
    assert torch.equal(load(tmp_path)(ids), hidden)


def test_experts_stay_floats_and_are_told(tmp_path, monkeypatch):
    said = list[str]()
    monkeypatch.setattr(record, "log", said.append)
    experts = ExpertsConfig(count=4, chosen=1)
    config = CONFIG.model_copy(update={"feedforward": FeedForwardConfig(width=48, experts=experts)})
    original = produce(
        tmp_path / "model", kind="model", stage="t", version=1, config=Config(), parents={},
        write=lambda draft: save(Transformer(config, seed=2), draft.path),
    )  # fmt: skip
    for others, size, end in (
        ("kept", 4, "; others=bfloat16 halves float32."),
        ("bfloat16", 2, "."),
    ):
        quantize(QuantizeConfig(others=others), original, tmp_path / others)
        mib = config.layers * 3 * 4 * 48 * config.width * size / 2**20
        assert said[-1] == f"{mib:.1f} MiB of them are experts, which stay floats{end}"


@pytest.fixture
def wide(tmp_path):
    parts = {"width": 64, "feedforward": FeedForwardConfig(width=128)}
    attention = AttentionConfig(heads=4, kv_heads=2, head_dim=16)
    config = CONFIG.model_copy(update={**parts, "attention": attention, "tied_embeddings": False})
    model = Transformer(config, seed=1).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.05 * torch.randn_like(weight)
    save_tokenizer(FastTokenizer([]), tmp_path / "tokenizer")
    return produce(
        tmp_path / "wide", kind="model", stage="t", version=1, config=Config(), parents={},
        write=lambda draft: save(model, draft.path, tmp_path / "tokenizer"),
    )  # fmt: skip


@torch.no_grad()
def test_4_bits_take_half_of_8_and_the_file_means_what_was_rounded(wide, tmp_path):
    eight = quantize(QuantizeConfig(), wide, tmp_path / "eight")
    four = quantize(QuantizeConfig(bits=4), wide, tmp_path / "four")
    model, ids = load(wide.path), torch.randint(300, (2, 20))
    projections = sum(m.weight.numel() for m in model.layers.modules() if hasattr(m, "in_features"))
    kept = wide.numbers.get("weight_bytes") or sum(p.numel() * 4 for p in model.parameters())
    kept -= 4 * projections
    scales = projections // 64 * 4
    assert four.numbers["weight_bytes"] == kept + projections // 2 + scales
    assert eight.numbers["weight_bytes"] > kept + projections
    worst = quantize_weights(model, 4)
    assert worst == pytest.approx(four.numbers["error"]) and 0.05 < worst < 0.15
    assert torch.equal(load(four.path).logits(ids), model.logits(ids))
    trained = load_to_train(four.path)
    assert_close(trained.logits(ids), model.logits(ids))


def test_a_head_in_8_bits_stands_beside_layers_of_4(wide, tmp_path):
    made = quantize(QuantizeConfig(bits=4, head="8bit"), wide, tmp_path / "small")
    found, head = load(made.path).head, load(wide.path).head
    scale = head.abs().amax(-1, keepdim=True) / 127
    assert ((found - head).abs() <= 0.5001 * scale).all()


def test_groups_that_divide_no_inputs_are_refused_and_nothing_is_left(original, tmp_path):
    out = tmp_path / "four"
    with pytest.raises(ConfigError, match="No group of 64 or 32 divides inputs of 32, 40, 48"):
        quantize(QuantizeConfig(bits=4), original, out)
    with pytest.raises(ConfigError, match=r"group=16 does not divide the 40 inputs of layers\.0"):
        quantize(QuantizeConfig(bits=4, group=16), original, out)
    assert not out.exists()
    made = quantize(QuantizeConfig(bits=4, group=8), original, out)
    assert made.numbers["error"] < 0.12
    with pytest.raises(ConfigError, match="greater than or equal to 2"):
        QuantizeConfig(group=0)
