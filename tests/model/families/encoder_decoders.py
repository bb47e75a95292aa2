"""Configurations of ours that are written under a peer's name, and how theirs are compared."""

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

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
    load,
    save,
)
from groundup.model.families import FAMILIES

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures"


def shape(**parts) -> ModelConfig:
    """A T5 of a few thousand weights; parts replace its own."""
    whole = {
        "kind": "encoder_decoder", "vocab_size": 31, "width": 8, "layers": 1, "encoder_layers": 2,
        "context_length": 30,
        "attention": AttentionConfig(heads=2, kv_heads=2, head_dim=5, qk_norm="none", scale=1.0),
        "feedforward": FeedForwardConfig(width=12, activation="relu", gated=False),
        "position": PositionConfig(kind="buckets", buckets=8, max_distance=16),
        "output": OutputConfig(scale=1 / math.sqrt(8)),
    }  # fmt: skip
    return ModelConfig(**(whole | parts))


EXPERTS = ExpertsConfig(count=3, chosen=1, every=2, normalised=False, capacity_factor=1.25)


def with_experts(layers: int, encoder_layers: int, **parts) -> ModelConfig:
    """A Switch of these depths."""
    experts = EXPERTS.model_copy(update=parts)
    feed = FeedForwardConfig(width=10, activation="relu", gated=False, experts=experts)
    return shape(layers=layers, encoder_layers=encoder_layers, feedforward=feed)


FREE = {"tied_embeddings": False, "output": OutputConfig()}
OURS = {
    "t5": {
        "ours": shape(),
        "ours_free": shape(feedforward=FeedForwardConfig(width=12, activation="gelu_tanh"), **FREE),
    },
    "bart": {
        "ours": shape(
            attention=AttentionConfig(heads=2, kv_heads=2, head_dim=4, qk_norm="none", bias="all"),
            feedforward=FeedForwardConfig(width=12, activation="gelu", gated=False, bias=True),
            position=PositionConfig(kind="learned", offset=2), output=OutputConfig(bias=True),
            norm=NormConfig(kind="layer", eps=1e-5, place="post"),
            embedding=EmbeddingConfig(norm=True, scale=math.sqrt(8)),
        ),
    },
    "switch_transformers": {
        "ours": with_experts(2, 3),
    },
}  # fmt: skip
OURS["mt5"] = {}  # what an mT5 computes a T5 does, and is written as one
OURS["umt5"] = {
    "ours": shape(position=PositionConfig(kind="buckets", buckets=8, max_distance=16, shared=False))
}
OURS["mbart"] = {"ours": OURS["bart"]["ours"].model_copy(update={
    "norm": NormConfig(kind="layer", eps=1e-5),
    "embedding": EmbeddingConfig(norm=True, keeps_first_norm=True),
})}  # fmt: skip
OURS["bart"]["ours_free"] = OURS["bart"]["ours"].model_copy(update={"tied_embeddings": False})


class Peer:
    """A model directory with what Transformers computes of it."""

    def __init__(self, family: str, name: str) -> None:
        self.path = FIXTURES / family / name
        self.model: Transformer = load(self.path, torch.float32)
        self.expected: dict[str, Tensor] = load_file(self.path / "expected.safetensors")

    def documents(self, side: str) -> Tensor:
        """0 where a token of the side is real, -1 where it is padding."""
        return self.expected[f"{side}_mask"] - 1

    def states(self, model: Transformer) -> tuple[Tensor, Tensor, Tensor]:
        """States of the encoder and of the decoder, and logits."""
        encoded = model.encode(self.expected["source"], documents=self.documents("source"))
        hidden = model(self.expected["target"], documents=self.documents("target"), encoded=encoded)
        return encoded.hidden, hidden, model.project(hidden)


def names(family: str) -> list[str]:
    """The fixtures of a family."""
    return sorted(path.name for path in (FIXTURES / family).iterdir())


def check_states(family: str, name: str) -> None:
    """Every real state and logit is theirs within 1e-5 of its size."""
    peer = Peer(family, name)
    with torch.no_grad():
        found = peer.states(peer.model)
    for tensor, key, side in zip(
        found, ("encoder", "decoder", "logits"), ("source", "target", "target"), strict=True
    ):
        real = peer.documents(side) >= 0
        expected = peer.expected[key][real]
        worst = (tensor[real] - expected).abs().max() / expected.abs().max()
        assert worst < 1e-5, f"{family} {name}: {key} differ by {float(worst):.1e}"


def check_gradients(family: str, name: str) -> None:
    """The gradient of every weight is theirs; a tied table's is the sum over its uses."""
    peer = Peer(family, name)
    logits = peer.states(peer.model.train())[2]
    target, mask = peer.expected["target"], peer.expected["target_mask"]
    losses = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), reduction="none"
    )
    (losses * mask[:, 1:].flatten()).sum().backward()
    theirs = {
        key.removeprefix("gradient."): tensor
        for key, tensor in peer.expected.items()
        if key.startswith("gradient.")
    }
    words = FAMILIES[family]
    own = {n: torch.zeros_like(p) if p.grad is None else p.grad
           for n, p in peer.model.named_parameters()}  # fmt: skip
    ours = words.to_hf_state_dict(own, peer.model.config)
    table = "model.shared.weight" if "bart" in family else "shared.weight"
    copies = [n for n in theirs if n.endswith("embed_tokens.weight")]
    if copies:  # the free stacks' own copies, which are one table here
        theirs[table] = sum(theirs.pop(n) for n in copies)
    assert set(theirs) <= set(ours)
    for key, expected in theirs.items():
        torch.testing.assert_close(ours[key], expected, rtol=1e-4, atol=1e-4, msg=key)


def check_saved(family: str, name: str, path: Path) -> None:
    """Whether a directory that we save of a peer's model opens again, bit for bit."""
    peer = Peer(family, name)
    save(peer.model, path)
    again = load(path)
    assert again.config == peer.model.config
    for key, tensor in peer.model.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[key]), key
