"""What a model costs: the counts are those of the model itself."""

import json
import random
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from groundup.core import ArtifactError, ConfigError
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    ExpertsConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
    Transformer,
    count_parameters,
    describe,
    describe_config,
    flops_per_token,
    mean_flops_per_token,
    preset,
    save,
)
from groundup.model.weights.gguf.export import save_gguf
from tests.model.shapes import ENCODERS, tiny_config, tiny_model


@pytest.mark.parametrize("config", [tiny_config(), tiny_config(tied=False, qk_norm="none")])
def test_parameters_are_those_of_the_model(config):
    assert count_parameters(config).total == sum(
        p.numel() for p in Transformer(config).parameters()
    )


def random_config(chance: random.Random) -> ModelConfig:
    """A small configuration with parts that are drawn."""
    pick = chance.choice
    kind = pick(["decoder", "encoder", "encoder_decoder"])
    norm = NormConfig(
        kind=pick(["rms", "layer"]), place=pick(["pre", "post", "sandwich", "output"]),
        bias=pick([True, False]),
    )  # fmt: skip
    is_parallel = kind != "encoder_decoder" and norm.place == "pre" and pick([True, False])
    experts = ExpertsConfig(count=4, every=pick([1, 2]), gated=pick([None, False]))
    feed = pick([{"bias": True}, {"bias": False}, {"experts": experts}])
    positions = "rope learned sinusoidal alibi buckets transformer_xl none".split()
    return ModelConfig(
        vocab_size=40, width=16, layers=pick([2, 3, 4]), context_length=48, kind=kind,
        encoder_layers=2 if kind == "encoder_decoder" else 0, norm=norm, parallel=is_parallel,
        attention=AttentionConfig(
            heads=4, kv_heads=pick([1, 2, 4]), head_dim=8, bias=pick(["none", "qkv", "all"]),
            qk_norm=pick(["none", "head", "all"]),
        ),
        position=PositionConfig(kind=pick(positions), offset=pick([0, 2])),
        feedforward=FeedForwardConfig(width=24, gated=pick([True, False]), **feed),
        output=OutputConfig(transform=pick(["none", "dense"]), bias=pick([True, False])),
        embedding=EmbeddingConfig(norm=pick([True, False]), types=pick([0, 2])),
        tied_embeddings=pick([True, False]),
    )  # fmt: skip


def test_parameters_are_those_of_any_configuration():
    chance = random.Random(0)
    for _ in range(60):
        config = random_config(chance)
        with torch.device("meta"):
            model = Transformer(config, seed=None)
        assert count_parameters(config).total == sum(p.numel() for p in model.parameters()), config


@pytest.mark.parametrize("name", ENCODERS)
def test_parameters_of_encoders_are_those_of_the_model(name):
    counted = sum(p.numel() for p in Transformer(ENCODERS[name]).parameters())
    assert count_parameters(ENCODERS[name]).total == counted


def test_a_block_that_is_repeated_costs_as_much_as_several_and_counts_once():
    config = preset("albert-base").config
    several = config.model_copy(update={"layers": 12, "repeats": 1})
    assert flops_per_token(config, 512) == flops_per_token(several, 512)
    assert count_parameters(several).feedforward == 12 * count_parameters(config).feedforward
    assert "encoder, 12 layers of 1 block x 768 features" in str(describe(Path("albert-base")))


def test_disentangled_attention_costs_two_products_with_every_bucket():
    config, T = ENCODERS["deberta"], 32
    plain = config.model_copy(update={"position": PositionConfig(kind="none")})
    torch_counts = []
    for each in (config, plain):
        with FlopCounterMode(display=False) as counter:
            Transformer(each, seed=0)(torch.zeros(1, T, dtype=torch.long))
        torch_counts.append(counter.get_total_flops())
    projected = 3 * 2 * 2 * 2 * 6 * 16 * 16  # layers, queries and keys, of 2 * 6 vectors
    own = [flops_per_token(each, T).inference for each in (config, plain)]
    assert torch_counts[0] - torch_counts[1] - projected == T * (own[0] - own[1])


def test_a_causal_row_costs_half_the_keys_and_the_last_token_all():
    config = ModelConfig(layers=1)
    keys = 12 * config.attention.heads * config.attention.head_dim  # FLOP of training a key
    last, mean = flops_per_token(config, 999), mean_flops_per_token(config, 999)
    assert last.training - mean.training == keys * (999 - 500)
    encoder = config.model_copy(update={"kind": "encoder"})
    assert mean_flops_per_token(encoder, 999) == flops_per_token(encoder, 999)


def test_arithmetic_says_what_it_is_of():
    seven, t5 = describe(Path("llama-7b")), describe(Path("t5-small"))
    assert f"{seven.row_flops.training / 1e9:,.1f} GFLOP for a token, mean over" in str(seven)
    # As people count: 6 a weight without the table, and attention to half of 2,048 tokens.
    expected = 6 * (6_738_415_616 - 32_000 * 4096) + 12 * 32 * 4096 * 1024.5
    assert seven.row_flops.training == pytest.approx(expected, rel=1e-4)
    assert "MFLOP for a source and a target token together" in str(t5)
    assert t5._asdict()["flops_of"] == "a source and a target token together"


def test_flops_are_those_that_torch_counts():
    config, T = tiny_config(), 32
    model = Transformer(config, seed=0)
    with FlopCounterMode(display=False) as counter:
        model.logits(torch.zeros(1, T, dtype=torch.long)).sum().backward()
    # Both halves of the scores are computed in training, so every token counts T.
    assert counter.get_total_flops() == pytest.approx(
        T * flops_per_token(config, T).training, rel=0.1
    )


def test_a_directory_is_described_from_its_config_alone(tmp_path):
    save(tiny_model(dtype=torch.float32), tmp_path)
    (tmp_path / "model.safetensors").unlink()
    assert describe(tmp_path) == describe_config(tiny_config())


def test_the_table_says_what_a_person_asks_first():
    text = str(describe_config(ModelConfig()))
    assert "5,771,264 (embedding 18%, attention 20%, feedforward 61%" in text
    assert "3,072 bytes per token in bfloat16, 6.0 MiB at full context" in text


def test_small_models_have_small_units():
    text = str(describe_config(tiny_config()))
    assert "KFLOP for a token at full context" in text
    assert "KiB for weights" in text and "KiB in bfloat16 with one full cache" in text
    assert " 0.0 " not in text and " 0 " not in text


def test_a_gguf_file_is_described_as_the_model_that_it_holds(tmp_path):
    config = tiny_config()
    save_gguf(tiny_model(config, dtype=torch.float32), tmp_path / "tiny.gguf", "F32")
    assert describe(tmp_path / "tiny.gguf") == describe_config(config)
    (tmp_path / "notes.txt").write_text("no model")
    with pytest.raises(ArtifactError, match="notes.txt is not a GGUF file"):
        describe(tmp_path / "notes.txt")


def test_a_mistyped_path_is_named_with_the_nearest_presets_alone():
    with pytest.raises(ConfigError) as told:
        describe(Path("runs/tny/gpt2-xl"))
    message = str(told.value)
    assert "directory, .gguf file or preset 'runs/tny/gpt2-xl'" in message
    assert "gpt-2-xl" in message and len(message) < 200


def test_a_key_that_is_not_known_is_refused_here_too(tmp_path):
    save(tiny_model(dtype=torch.float32), tmp_path)
    values = json.loads((tmp_path / "config.json").read_text()) | {"is_causal": False}
    (tmp_path / "config.json").write_text(json.dumps(values))
    with pytest.raises(ArtifactError, match="is_causal="):
        describe(tmp_path)
