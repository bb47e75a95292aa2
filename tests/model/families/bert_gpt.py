"""How BERT's and GPT's kind are held against Transformers: see tests/oracles/bert_gpt.py."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from groundup.kernels import AttentionPattern
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    FeedForwardConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
    Transformer,
    load,
    save,
)
from groundup.model.families import FAMILIES

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"
NEAR = {"atol": 1e-5, "rtol": 1e-5}
SHAPES = {
    "bert": ("three_heads", "five_types", "free"),
    "roberta": ("published", "zero_padding", "late_padding_free"),
    "modernbert": ("published", "biased_free", "stretched"),
    "xlm-roberta": ("published", "late_padding_free"),
    "distilbert": ("three_heads", "relu_free"),
    "electra": ("narrow", "wide_free", "of_one_width"),
    "albert": ("two_groups", "one_width_free"),
    "mpnet": ("published", "silu_free"),
    "deberta-v2": ("published", "biased_free", "absolute"),
    "gpt2": ("published", "narrow_free", "unscaled"),
    "openai-gpt": ("published", "relu_free", "large_eps"),
}


def encoder(**parts) -> ModelConfig:
    """A small BERT without a masked head; parts replace its own."""
    whole = {
        "kind": "encoder", "vocab_size": 19, "width": 8, "layers": 2, "context_length": 12,
        "attention": AttentionConfig(heads=2, kv_heads=2, head_dim=4, qk_norm="none", bias="all"),
        "feedforward": FeedForwardConfig(width=10, activation="gelu", gated=False, bias=True),
        "position": PositionConfig(kind="learned"),
        "embedding": EmbeddingConfig(norm=True, types=2),
        "norm": NormConfig(kind="layer", eps=1e-12, place="post"),
        "output": OutputConfig(logits=False),
    }  # fmt: skip
    return ModelConfig(**(whole | parts))


MASKED = OutputConfig(transform="dense", bias=True)
WINDOWS = (AttentionPattern(), AttentionPattern("window", 3))


def modern(**parts) -> ModelConfig:
    """A small ModernBERT without a masked head; parts replace its own."""
    whole = {
        "attention": AttentionConfig(
            heads=2, kv_heads=2, head_dim=4, qk_norm="none", patterns=WINDOWS
        ),
        "feedforward": FeedForwardConfig(width=10, activation="gelu"),
        "position": PositionConfig(base=160_000.0, window_base=10_000.0),
        "norm": NormConfig(kind="layer", eps=1e-5, bias=False),
        "embedding": EmbeddingConfig(norm=True),
    }
    return encoder(**(whole | parts))


def decoder(place: str, **parts) -> ModelConfig:
    """A small GPT with norms before or after; parts replace its own."""
    plain = {
        "kind": "decoder", "embedding": EmbeddingConfig(), "output": OutputConfig(),
        "feedforward": FeedForwardConfig(width=32, activation="gelu_tanh", gated=False, bias=True),
        "norm": NormConfig(kind="layer", eps=1e-5, place=place),
    }  # fmt: skip
    return encoder(**(plain | parts))


def check_peer(family: str, name: str) -> None:
    """Logits and states of a padded batch, and logits of the longest row, are the peer's."""
    model, expected = opened(family, name)
    real = expected["mask"].bool()
    states: list[torch.Tensor] = []
    hidden = run(model, expected, states)
    assert_close(model.project(hidden)[real], expected["logits"][real], **NEAR)
    layers = model.config.layers * model.config.repeats
    assert len(states) == len(expected["states"]) == layers + 1
    for own, peers in zip(states, expected["states"], strict=True):
        assert_close(own[real], peers[real], **NEAR)
    assert_close(model.logits(expected["long_ids"]), expected["long_logits"], **NEAR)
    assert expected["long_ids"].shape[1] == model.config.context_length


def check_gradients(family: str, name: str) -> None:
    """The gradient of every tensor is the peer's, under the peer's name and in its layout."""
    model, expected = opened(family, name)
    real = expected["mask"].bool()
    model.project(run(model, expected))[real].square().mean().backward()
    own = {name: weight.grad for name, weight in model.named_parameters()}
    found = FAMILIES[family].to_hf_state_dict(own, model.config)
    peers = {k.removeprefix("gradient."): v for k, v in expected.items() if "gradient." in k}
    copies = {name for name in found if name.endswith("decoder.bias")} - peers.keys()
    assert found.keys() - copies == peers.keys()
    for key, gradient in peers.items():
        assert_close(found[key], gradient, atol=1e-5, rtol=1e-4, msg=lambda m, key=key: key + m)


def opened(family: str, name: str) -> tuple[Transformer, dict[str, torch.Tensor]]:
    """A fixture's model in float32, and what the peer makes of it."""
    path = FIXTURES / family / name
    return load(path, torch.float32), load_file(path / "expected.safetensors")


def run(
    model: Transformer, expected: dict[str, torch.Tensor], states: list[torch.Tensor] | None = None
) -> torch.Tensor:
    """Hidden states of the padded batch; places follow from the documents."""
    types = expected["types"] if model.config.embedding.types else None
    return model(expected["ids"], documents=expected["mask"] - 1, types=types, states=states)


def check_written(family: str, name: str, path: Path) -> None:
    """What we save is still what Transformers opened, and opens here as it was."""
    model, _ = opened(family, name)
    save(model, path)
    kept = json.loads((FIXTURES / family / name / "ours.json").read_text())
    assert json.loads((path / "config.json").read_text()) == kept["config"]
    assert sorted(load_file(path / "model.safetensors")) == kept["tensors"]
    again = load(path)
    assert again.config == model.config
    state = again.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in model.state_dict().items())


def rewritten(family: str, name: str, path: Path, edit, **values) -> Transformer:
    """A fixture's model after its tensors and config.json were edited on disk."""
    source = FIXTURES / family / name
    config = json.loads((source / "config.json").read_text()) | values
    kept = {key: value for key, value in config.items() if value is not ...}
    (path / "config.json").write_text(json.dumps(kept))
    save_file(edit(load_file(source / "model.safetensors")), path / "model.safetensors")
    return load(path, torch.float32)
