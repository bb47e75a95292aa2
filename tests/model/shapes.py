"""Models small enough for float64 and loops."""

import torch

from groundup.kernels import AttentionPattern
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    ExpertsConfig,
    FeedForwardConfig,
    LatentConfig,
    ModelConfig,
    NormConfig,
    OutputConfig,
    PositionConfig,
    RopeScaling,
    Transformer,
)

VOCAB = 29


def tiny_config(qk_norm="head", tied=True, layers=2, kv_heads=2):
    return ModelConfig(
        vocab_size=VOCAB, width=16, layers=layers, context_length=64, tied_embeddings=tied,
        attention=AttentionConfig(heads=4, kv_heads=kv_heads, head_dim=6, qk_norm=qk_norm),
        feedforward=FeedForwardConfig(width=20),
    )  # fmt: skip


def tiny_model(config=None, dtype=torch.float64):
    """A model whose every weight matters: nothing is zero or one."""
    model = Transformer(config or tiny_config(), seed=1).to(dtype).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight += 0.3 * torch.randn_like(weight)
    return model


def shape(**parts):
    """A tiny configuration with plain attention; parts replace its own."""
    attention = AttentionConfig(heads=4, kv_heads=4, head_dim=4, qk_norm="none")
    whole = {"vocab_size": VOCAB, "width": 16, "layers": 3, "context_length": 64}
    whole |= {"attention": attention, "feedforward": FeedForwardConfig(width=20)}
    return ModelConfig(**(whole | parts))


def heads(**parts):
    """Plain attention with parts replaced."""
    whole = {"heads": 4, "kv_heads": 4, "head_dim": 4, "qk_norm": "none"}
    return AttentionConfig(**(whole | parts))


PLAIN_FEED = FeedForwardConfig(width=20, activation="gelu_tanh", gated=False, bias=True)
LAYER_NORM = NormConfig(kind="layer")
BUCKETS = PositionConfig(kind="buckets", buckets=8, max_distance=16)

LATENT = LatentConfig(rank=7, query_rank=9, rotated=4, value_dim=5, mscale=0.8)

DECODERS = {
    "gpt1": shape(
        attention=heads(bias="all"),
        feedforward=PLAIN_FEED,
        norm=NormConfig(kind="layer", place="post"),
        position=PositionConfig(kind="learned"),
    ),
    "gpt2": shape(
        attention=heads(bias="all"),
        feedforward=PLAIN_FEED,
        norm=LAYER_NORM,
        position=PositionConfig(kind="learned"),
    ),
    "gopher": shape(
        position=PositionConfig(kind="transformer_xl"),
        feedforward=FeedForwardConfig(width=20, activation="relu", gated=False),
    ),
    "alibi": shape(position=PositionConfig(kind="alibi")),
    "buckets": shape(position=BUCKETS, attention=heads(scale=1.0)),
    "falcon_alibi": shape(position=PositionConfig(kind="alibi", rounded=True)),
    "bloom": shape(
        attention=heads(bias="all"), feedforward=PLAIN_FEED, norm=LAYER_NORM,
        position=PositionConfig(kind="alibi"),
        embedding=EmbeddingConfig(norm=True, keeps_first_norm=True),
    ),
    "sinusoidal": shape(position=PositionConfig(kind="sinusoidal")),
    "no positions": shape(position=PositionConfig(kind="none"), attention=heads(head_dim=5)),
    "grouped": shape(attention=heads(kv_heads=2, qk_norm="head", bias="qkv")),
    "multi-query": shape(attention=heads(kv_heads=1), parallel=True, tied_embeddings=False),
    "gemma3": shape(
        attention=heads(
            kv_heads=1, qk_norm="head", patterns=(AttentionPattern("window", 4), AttentionPattern())
        ),
        feedforward=FeedForwardConfig(width=20, activation="gelu_tanh"),
        position=PositionConfig(base=1e6, window_base=100.0),
        norm=NormConfig(place="sandwich"),
        embedding=EmbeddingConfig(scale=4.0),
        output=OutputConfig(softcap=3.0),
    ),
    "olmo2": shape(attention=heads(kv_heads=2, qk_norm="all"), norm=NormConfig(place="output")),
    "mixtral": shape(feedforward=FeedForwardConfig(width=20, experts=ExpertsConfig(count=4))),
    "glam": shape(
        layers=4,
        position=PositionConfig(kind="transformer_xl"),
        feedforward=FeedForwardConfig(
            width=20, activation="gelu", experts=ExpertsConfig(count=4, every=2)
        ),
    ),
    "sparse": shape(
        layers=5,
        attention=heads(
            patterns=(
                AttentionPattern(),
                AttentionPattern("strided", 3, 4),
                AttentionPattern("fixed", 0, 5, 2),
                AttentionPattern("global", 3, 0, 2),
                AttentionPattern("block", 4),
            )
        ),
    ),
    "capped": shape(attention=heads(softcap=2.0)),
    "gpt_neox": shape(
        feedforward=PLAIN_FEED, norm=LAYER_NORM, position=PositionConfig(rotated=0.5),
        parallel=True, parallel_norms=2,
    ),
    "granite": shape(
        feedforward=FeedForwardConfig(width=20, activation="relu2", gated=False),
        norm=NormConfig(kind="layer", zero_centred=True, eps=1e-5), residual_scale=0.3,
        position=PositionConfig(rotated_layers=(True, True, False)),
    ),
    "glm4": shape(
        attention=heads(head_dim=8, kv_heads=2, qk_norm="head"), norm=NormConfig(place="sandwich"),
        position=PositionConfig(rotated=0.5, interleaved=True),
    ),
    "olmo": shape(
        attention=heads(clip=0.5), norm=NormConfig(kind="layer", weights=False, bias=False)
    ),
    "gpt-oss": shape(
        attention=heads(
            kv_heads=2, bias="all", sinks=True,
            patterns=(AttentionPattern("window", 4), AttentionPattern()),
        ),
        feedforward=FeedForwardConfig(
            width=20, experts=ExpertsConfig(count=4, bias=True, limit=0.8, gain=1.3)
        ),
    ),
    "deepseek v3": shape(
        attention=heads(head_dim=10, bias="all", latent=LATENT),
        position=PositionConfig(
            interleaved=True,
            scaling=RopeScaling(kind="yarn", factor=4, original_length=16, attention=1.1),
        ),
        feedforward=FeedForwardConfig(width=20, experts=ExpertsConfig(
            count=6, width=7, shared=9, dense_layers=1, scores="sigmoid", correction=True,
            groups=3, chosen_groups=2, scale=1.5,
        )),
    ),
    "minicpm3": shape(
        attention=heads(head_dim=10, sinks=True, softcap=3.0,
                        latent=LATENT.model_copy(update={"query_rank": 0})),
        position=PositionConfig(rotated_layers=(True, False)), residual_scale=0.7,
    ),
    "llama4": shape(
        layers=4,
        attention=heads(
            kv_heads=2, qk_norm="rotated", temperature=0.7, temperature_length=4,
            patterns=(*[AttentionPattern("block", 5)] * 3, AttentionPattern()),
        ),
        position=PositionConfig(interleaved=True, rotated_layers=(True, True, True, False)),
        feedforward=FeedForwardConfig(width=20, experts=ExpertsConfig(
            count=3, chosen=1, every=2, width=9, shared=9, scores="sigmoid", normalised=False,
            weighs_input=True,
        )),
    ),
    "longrope": shape(
        position=PositionConfig(scaling=RopeScaling(
            kind="longrope", factor=4, original_length=16, short=(1.0, 1.5), long=(2.0, 6.0)
        ))
    ),
    "dynamic": shape(
        position=PositionConfig(scaling=RopeScaling(kind="dynamic", factor=4, original_length=9))
    ),
}  # fmt: skip
OTHERS = {
    "gopher", "buckets", "mixtral", "glam", "sparse", "olmo", "longrope", "dynamic",
    "falcon_alibi", "gpt-oss", "deepseek v3", "minicpm3", "llama4",
}  # fmt: skip
NATIVE = sorted(set(DECODERS) - OTHERS)
"""Decoders that the native stack computes."""
ENCODERS = {
    "bert": shape(
        kind="encoder",
        attention=heads(bias="all"),
        feedforward=PLAIN_FEED,
        norm=NormConfig(kind="layer", place="post"),
        position=PositionConfig(kind="learned"),
        embedding=EmbeddingConfig(norm=True, types=2),
        output=OutputConfig(transform="dense", bias=True),
    ),
    "modernbert": shape(
        kind="encoder",
        norm=NormConfig(kind="layer", bias=False),
        attention=heads(
            patterns=(
                AttentionPattern(),
                AttentionPattern("window", 4),
                AttentionPattern("window", 4),
            )
        ),
        feedforward=FeedForwardConfig(width=20, activation="gelu"),
        position=PositionConfig(base=16e4, window_base=1e4),
        embedding=EmbeddingConfig(norm=True),
        output=OutputConfig(transform="dense", dense_bias=False, bias=True),
    ),
    "albert": shape(
        kind="encoder", layers=2, repeats=2, attention=heads(bias="all"), feedforward=PLAIN_FEED,
        norm=NormConfig(kind="layer", place="post"), position=PositionConfig(kind="learned"),
        embedding=EmbeddingConfig(norm=True, types=2, width=6), tied_embeddings=False,
        output=OutputConfig(transform="dense", bias=True),
    ),
    "mpnet": shape(
        kind="encoder", attention=heads(bias="all"), feedforward=PLAIN_FEED,
        norm=NormConfig(kind="layer", place="post"), embedding=EmbeddingConfig(norm=True),
        position=BUCKETS.model_copy(update={"absolute": True, "offset": 2}),
    ),
    "deberta": shape(
        kind="encoder", attention=heads(bias="all"), feedforward=PLAIN_FEED,
        norm=NormConfig(kind="layer", place="post"), embedding=EmbeddingConfig(norm=True),
        position=PositionConfig(kind="disentangled", buckets=6, max_distance=16),
        output=OutputConfig(transform="dense", bias=True),
    ),
}  # fmt: skip
ENCODER_DECODERS = {
    "t5": shape(
        kind="encoder_decoder", encoder_layers=2, attention=heads(scale=1.0), position=BUCKETS,
        feedforward=FeedForwardConfig(width=20, activation="relu", gated=False),
        output=OutputConfig(scale=0.25),
    ),
    "umt5": shape(
        kind="encoder_decoder", encoder_layers=2, attention=heads(scale=1.0),
        position=PositionConfig(kind="buckets", buckets=8, max_distance=16, shared=False),
    ),
    "mbart": shape(
        kind="encoder_decoder", encoder_layers=2, attention=heads(bias="all"),
        feedforward=PLAIN_FEED, position=PositionConfig(kind="learned", offset=2),
        norm=LAYER_NORM, output=OutputConfig(bias=True),
        embedding=EmbeddingConfig(norm=True, keeps_first_norm=True),
    ),
    "bart": shape(
        kind="encoder_decoder", encoder_layers=2, attention=heads(bias="all"),
        feedforward=PLAIN_FEED, position=PositionConfig(kind="learned", offset=2),
        norm=NormConfig(kind="layer", place="post"), embedding=EmbeddingConfig(norm=True),
        output=OutputConfig(bias=True),
    ),
    "switch": shape(
        kind="encoder_decoder", encoder_layers=4, layers=4, position=BUCKETS,
        feedforward=FeedForwardConfig(
            width=20, activation="relu", gated=False,
            experts=ExpertsConfig(count=4, chosen=1, every=2, normalised=False),
        ),
    ),
}  # fmt: skip
ALL = DECODERS | ENCODERS | ENCODER_DECODERS
