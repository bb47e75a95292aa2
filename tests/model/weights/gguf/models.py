"""Small models of every architecture that llama.cpp shares with us, the same bits everywhere."""

from pathlib import Path

import numpy as np
import torch

from groundup.core import Config, produce
from groundup.kernels import AttentionPattern
from groundup.model import (
    AttentionConfig,
    Cache,
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
    save,
)
from groundup.model.families.decoder_keys import with_fields
from groundup.model.weights.gguf.export import FILE_TYPES, export_gguf, save_gguf
from groundup.tokenizer import FastTokenizer, gguf_of_tokenizer, save_tokenizer
from groundup.tokenizer.imported.spelling import SPACE_MARK
from tests.tokenizer.imported.fixtures import lines, small

ROOT = Path(__file__).parents[4]
PEER = ROOT / "tests" / "fixtures" / "gguf" / "llama.json"
"""What llama.cpp computed from each file, and the file's sha256."""
WRITTEN = ROOT / ".oracles" / "gguf"
"""Where the files pass from the script that writes them to the one that runs llama.cpp."""
TOKENIZERS = ("llama", "gemma", "tied", "t5")
"""SentencePiece's among the small tokenizers, whose ids of texts llama.cpp tells."""
SEQ2SEQ_PEER = PEER.with_name("t5.json")
VOCAB, START = 40, 38
MERGES = [(b" ", b"t"), (b"h", b"e"), (b" t", b"he")]
"""Of our tokenizer."""


def decoder(**parts):
    """A LLaMA with parts replaced."""
    whole = {
        "vocab_size": VOCAB, "width": 16, "layers": 2, "context_length": 64,
        "attention": attention(), "feedforward": FeedForwardConfig(width=24),
        "norm": NormConfig(eps=1e-5), "tied_embeddings": False,
    }  # fmt: skip
    return ModelConfig(**(whole | parts))


def attention(**parts):
    """Two heads that share a key, with parts replaced."""
    whole = {"heads": 2, "kv_heads": 1, "head_dim": 8, "qk_norm": "none"}
    return AttentionConfig(**(whole | parts))


NEAR = AttentionPattern("window", window=5)
LLAMA3 = RopeScaling(kind="llama3", factor=8.0, original_length=16)
YARN = RopeScaling(kind="yarn", factor=4.0, original_length=16, low=1.0, high=32.0)
MODELS = {
    "llama": decoder(),
    "llama_scaled": decoder(position=PositionConfig(base=500.0, scaling=LLAMA3),
                            context_length=128, tied_embeddings=True),
    "llama_biased": decoder(attention=attention(bias="all")),
    "mixtral": decoder(
        feedforward=FeedForwardConfig(width=24, experts=ExpertsConfig(count=4, chosen=2)),
        position=PositionConfig(base=1e6),
    ),
    "qwen2": decoder(attention=attention(bias="qkv"), position=PositionConfig(scaling=YARN)),
    "qwen3": decoder(attention=attention(head_dim=12, qk_norm="head"), width=20),
    "qwen3_linear": decoder(
        attention=attention(qk_norm="head"),
        position=PositionConfig(scaling=RopeScaling(kind="linear", factor=4.0)),
    ),
    "olmo2": decoder(attention=attention(kv_heads=2, qk_norm="all"),
                     norm=NormConfig(eps=1e-6, place="output")),
    "gemma3": decoder(
        layers=7, tied_embeddings=True,
        attention=attention(qk_norm="head", patterns=(NEAR,) * 5 + (AttentionPattern(),)),
        feedforward=FeedForwardConfig(width=24, activation="gelu_tanh"),
        position=PositionConfig(base=1e6, window_base=10_000.0),
        norm=NormConfig(place="sandwich", zero_centred=True), embedding=EmbeddingConfig(scale=4.0),
    ),
    "gpt2": decoder(
        attention=attention(kv_heads=2, bias="all"), tied_embeddings=True,
        feedforward=FeedForwardConfig(
            width=24, activation="gelu_tanh", gated=False, bias=True
        ),
        position=PositionConfig(kind="learned"), norm=NormConfig(kind="layer", eps=1e-5),
    ),
}  # fmt: skip


def plain(**parts):
    """Layer norms and a feed-forward without gate, both with biases, and parts replaced."""
    feed = FeedForwardConfig(width=24, activation="gelu_tanh", gated=False, bias=True)
    return decoder(**{"norm": NormConfig(kind="layer", eps=1e-5), "feedforward": feed} | parts)


def mixture(dense=24, **parts):
    """The feed-forward of four experts, of which two serve a token."""
    own = ExpertsConfig(**{"count": 4, "chosen": 2, "width": 12} | parts)
    return FeedForwardConfig(width=dense, experts=own)


def latent(**parts):
    """A latent attention of two heads."""
    sizes = {"rank": 10, "query_rank": 6, "rotated": 4, "value_dim": 6}
    return attention(kv_heads=2, head_dim=12, latent=LatentConfig(**sizes | parts))


FULL = AttentionPattern()
GELU = FeedForwardConfig(width=24, activation="gelu", gated=False, bias=True)
GEGLU = FeedForwardConfig(width=24, activation="gelu_tanh")
GEMMA = {"tied_embeddings": True, "feedforward": GEGLU, "embedding": EmbeddingConfig(scale=4.0)}
QUARTER = PositionConfig(rotated=0.5)
LONGROPE = RopeScaling(
    kind="longrope",
    factor=4.0,
    original_length=16,
    short=(1.0, 1.1, 1.3, 2.0),
    long=(1.5, 2.5, 4.0, 8.0),
)
LATENT_YARN = YARN.model_copy(update={"attention": 1.0})
SHARED = {"shared": 24, "dense_layers": 1, "scale": 1.5}
MODELS |= {
    "gemma": decoder(**GEMMA, norm=NormConfig(zero_centred=True)),
    "gemma2": decoder(
        **GEMMA, norm=NormConfig(place="sandwich", zero_centred=True),
        attention=attention(patterns=(NEAR, FULL), softcap=50.0), output=OutputConfig(softcap=30.0),
    ),
    "phi2": plain(parallel=True, position=QUARTER, attention=attention(bias="all"),
                  output=OutputConfig(bias=True)),
    "llama_longrope": decoder(position=PositionConfig(scaling=LONGROPE)),
    "phi3": decoder(position=PositionConfig(rotated=0.5, scaling=LONGROPE.model_copy(
        update={"short": (1.0, 1.1), "long": (1.5, 8.0)}))),
    "phi3_partial": decoder(norm=NormConfig(eps=1e-5), position=QUARTER, tied_embeddings=True),
    "olmo": decoder(
        norm=NormConfig(kind="layer", bias=False, weights=False, eps=1e-5),
        attention=attention(clip=0.7),
    ),
    "olmo3": decoder(
        layers=5, attention=attention(kv_heads=2, qk_norm="all", patterns=(NEAR,) * 3 + (FULL,)),
        norm=NormConfig(eps=1e-6, place="output"),
        position=PositionConfig(scaling=YARN, window_base=10_000.0),
    ),
    "granite": decoder(
        attention=attention(scale=0.2), embedding=EmbeddingConfig(scale=3.0),
        output=OutputConfig(scale=1 / 4), residual_scale=0.6,
    ),
    "smollm3": decoder(layers=5, tied_embeddings=True,
                       position=PositionConfig(rotated_layers=(True,) * 3 + (False,))),
    "stablelm": decoder(position=PositionConfig(rotated=0.25), norm=NormConfig(kind="layer"),
                        attention=attention(bias="qkv")),
    "stablelm_parallel": decoder(position=PositionConfig(rotated=0.25), parallel=True,
                                 norm=NormConfig(kind="layer")),
    "starcoder2": plain(attention=attention(bias="all"), tied_embeddings=True),
    "gptneox": plain(parallel=True, parallel_norms=2, position=QUARTER, feedforward=GELU,
                     attention=attention(kv_heads=2, bias="all")),
    "gptneox_serial": plain(position=QUARTER, feedforward=GELU,
                            attention=attention(kv_heads=2, bias="all")),
    "falcon": plain(parallel=True, tied_embeddings=True, attention=attention(),
                    feedforward=GELU.model_copy(update={"bias": False})),
    "falcon_groups": plain(parallel=True, parallel_norms=2, attention=attention(heads=4, kv_heads=2,
                           head_dim=4), feedforward=GELU.model_copy(update={"bias": False})),
    "bloom": plain(tied_embeddings=True, attention=attention(kv_heads=2, bias="all"),
                   position=PositionConfig(kind="alibi"), feedforward=FeedForwardConfig(
                       width=64, activation="gelu_tanh", gated=False, bias=True),
                   embedding=EmbeddingConfig(norm=True, keeps_first_norm=True)),
    "command-r": decoder(
        parallel=True, tied_embeddings=True, norm=NormConfig(kind="layer", bias=False, eps=1e-5),
        position=PositionConfig(interleaved=True), output=OutputConfig(scale=0.0625 * 4),
    ),
    "glm4": decoder(attention=attention(bias="qkv"), norm=NormConfig(place="sandwich"),
                    position=PositionConfig(interleaved=True, rotated=0.5)),
    "exaone4": decoder(attention=attention(qk_norm="head"), norm=NormConfig(place="output")),
    "exaone4_hybrid": decoder(
        layers=64, attention=attention(qk_norm="head", patterns=(NEAR,) * 3 + (FULL,)),
        norm=NormConfig(place="output"),
        position=PositionConfig(rotated_layers=(True,) * 3 + (False,), scaling=LLAMA3),
    ),
    "nemotron": decoder(
        norm=NormConfig(kind="layer", zero_centred=True, eps=1e-5), position=QUARTER,
        feedforward=FeedForwardConfig(width=24, activation="relu2", gated=False),
    ),
    "qwen3moe": decoder(attention=attention(qk_norm="head"), feedforward=mixture()),
    "granitemoe": decoder(
        attention=attention(scale=0.2), embedding=EmbeddingConfig(scale=3.0),
        output=OutputConfig(scale=1 / 4), residual_scale=0.6, tied_embeddings=True,
        feedforward=mixture(width=None),
    ),
    "gpt-oss": decoder(
        layers=3, norm=NormConfig(eps=1e-5), feedforward=mixture(width=None, bias=True, limit=7.0),
        attention=attention(bias="all", sinks=True, patterns=(NEAR, FULL)),
        position=PositionConfig(scaling=YARN.model_copy(update={"truncate": False})),
    ),
    "deepseek2": decoder(attention=latent(), position=PositionConfig(interleaved=True),
                         feedforward=mixture(**SHARED, normalised=False)),
    "deepseek2_lite": decoder(
        layers=26, attention=latent(query_rank=0, mscale=0.707), context_length=64,
        position=PositionConfig(interleaved=True, scaling=LATENT_YARN),
        feedforward=mixture(**SHARED, normalised=False),
    ),
    "deepseek3": decoder(
        attention=latent(mscale=1.0),
        position=PositionConfig(interleaved=True, scaling=LATENT_YARN),
        feedforward=mixture(**SHARED, count=8, scores="sigmoid", correction=True, groups=4,
                            chosen_groups=2),
    ),
    "minicpm3": decoder(
        width=32, attention=latent(),
        embedding=EmbeddingConfig(scale=12.0), residual_scale=1.4 / 2**0.5,
        output=OutputConfig(scale=256 / 32),
    ),
    "llama4": decoder(
        layers=4, norm=NormConfig(eps=1e-5),
        attention=attention(qk_norm="rotated", temperature_length=8192, patterns=(
            AttentionPattern("block", 8192),) * 3 + (FULL,)),
        position=PositionConfig(base=5e5, interleaved=True,
                                rotated_layers=(True,) * 3 + (False,), scaling=LLAMA3.model_copy(
                                    update={"high": 1.0, "original_length": 8192})),
        feedforward=mixture(chosen=1, scores="sigmoid", normalised=False, weighs_input=True,
                            shared=12, every=2),
    ),
}  # fmt: skip
ENCODER = ModelConfig(
    kind="encoder", vocab_size=VOCAB, width=16, layers=3, context_length=64,
    attention=attention(kv_heads=2, bias="all"), feedforward=GELU,
    output=OutputConfig(logits=False), norm=NormConfig(kind="layer", eps=1e-12, place="post"),
    embedding=EmbeddingConfig(norm=True, types=2), position=PositionConfig(kind="learned"),
)  # fmt: skip
ENCODERS = {
    "bert": ENCODER,
    "roberta": with_fields(ENCODER, {"position.offset": 2, "embedding.types": 1}),
    "distilbert": with_fields(ENCODER, {"embedding.types": 0}),
    "modern-bert": with_fields(ENCODER, {
        "attention.bias": "none", "feedforward": FeedForwardConfig(width=24, activation="gelu"),
        "attention.patterns": (FULL, NEAR, NEAR), "embedding.types": 0,
        "norm": NormConfig(kind="layer", eps=1e-5, bias=False),
        "position": PositionConfig(base=160_000.0, window_base=10_000.0),
    }),
}  # fmt: skip
T5 = ModelConfig(
    kind="encoder_decoder", vocab_size=VOCAB, width=20, layers=2, encoder_layers=3,
    context_length=256, attention=attention(heads=3, kv_heads=3, head_dim=6, scale=1.0),
    feedforward=FeedForwardConfig(width=28, activation="relu", gated=False),
    position=PositionConfig(kind="buckets", buckets=10), tied_embeddings=True,
    output=OutputConfig(scale=20**-0.5),
)  # fmt: skip
UNTIED = {"tied_embeddings": False, "output.scale": 1.0}
SEQ2SEQ = {
    "t5": T5,
    "t5_untied": with_fields(T5, UNTIED | {"encoder_layers": 2, "position.buckets": 32}),
    "t5_gated": with_fields(T5, UNTIED | {"feedforward": GEGLU}),
    "mt5": with_fields(T5, UNTIED | {
        "feedforward": GEGLU, "width": 24, "attention.head_dim": 10, "layers": 1, "norm.eps": 1e-5,
    }),
    "umt5": with_fields(T5, UNTIED | {"feedforward": GEGLU, "position.shared": False}),
    "umt5_tied": with_fields(T5, {"position.shared": False, "layers": 1}),
}  # fmt: skip
"""T5 and its kin, of odd sizes."""
STORED = decoder(width=32, vocab_size=265, feedforward=FeedForwardConfig(width=64),
                 attention=attention(head_dim=16, qk_norm="head"))  # fmt: skip
"""What is written in every type, with our tokenizer of 262 ids."""


def small_vocabulary():
    """A tokenizer of single characters and an end, so that llama.cpp opens the file."""
    tokens = [chr(33 + place) for place in range(VOCAB - 2)] + ["<|begin|>", "<|end|>"]
    kinds = np.array([1] * (VOCAB - 2) + [3] * 2, np.int32)
    told = {"model": "gpt2", "pre": "gpt-2", "tokens": tokens, "token_type": kinds, "merges": []}
    told |= {"bos_token_id": VOCAB - 2, "eos_token_id": VOCAB - 1, "add_bos_token": False}
    return {f"tokenizer.ggml.{key}": value for key, value in told.items()}


def hashed(shape, seed):
    """Numbers from -1/2 to 1/2 by whole numbers alone (SplitMix64): the same on every machine."""
    x = np.arange(np.prod(shape), dtype=np.uint64) + np.uint64(seed << 32)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> 30) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> 27) * np.uint64(0x94D049BB133111EB)
    x = (x ^ x >> 31) >> 40
    return torch.from_numpy((x.astype(np.float32) / 2**24 - 0.5).reshape(shape))


def exact_model(config):
    """A model whose every weight matters."""
    model = Transformer(config, seed=None).eval()
    centre = 0.0 if config.norm.zero_centred else 1.0
    with torch.no_grad():
        for seed, (name, weight) in enumerate(model.named_parameters(), 1):
            drawn = hashed(tuple(weight.shape), seed)
            weight.copy_(centre + drawn / 2 if name.endswith("norm.weight") else drawn)
        for name, buffer in model.named_buffers():
            if name.endswith("correction"):
                buffer.copy_(hashed(tuple(buffer.shape), len(name)))
    return model


def artifact_of(place):
    """The model that is stored in every type, with our tokenizer, as an artifact."""

    def write(draft):
        save_tokenizer(FastTokenizer(MERGES), place / "tokenizer")
        save(exact_model(STORED), draft.path, place / "tokenizer", chat=True)

    return produce(
        place / "stored", kind="model", stage="oracle", version=1, config=Config(), parents={},
        write=write,
    )  # fmt: skip


def write_all(place):
    """Every file: an architecture each in single precision, and one model in every type."""
    for name, config in MODELS.items():
        save_gguf(exact_model(config), place / f"{name}.gguf", "F32", small_vocabulary())
    artifact = artifact_of(place)
    for type in FILE_TYPES:
        export_gguf(artifact, place / f"stored_{type.lower()}.gguf", type)
    for name in TOKENIZERS:
        tokenizer = small(name)
        model, metadata = (
            decoder(vocab_size=tokenizer.vocab_size),
            gguf_of_tokenizer(tokenizer, tokenizer.vocab_size),
        )
        save_gguf(exact_model(model), place / f"texts_{name}.gguf", "F32", metadata)


def seq2seq_model(name):
    """An encoder–decoder; gates of mT5 and UMT5 are beyond llama.cpp's table of GELU in halves."""
    model = exact_model(SEQ2SEQ[name])
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if name in ("mt5", "umt5") and "gate_proj" in key:
                weight *= 2**14
    return model


def write_seq2seq(place):
    """Every encoder–decoder in single precision."""
    place.mkdir()
    for name in SEQ2SEQ:
        metadata = small_vocabulary() | {"t5.decoder_start_token_id": START}
        save_gguf(seq2seq_model(name), place / f"{name}.gguf", "F32", metadata)


CAPACITY = 64
"""Of llama.cpp's cache, by which it chooses LongRoPE's factors."""
GREEDY = [[(5 * place + row * row + 3 * row) % 31 for place in range(8)] for row in range(20)]
"""Prompts of tests/oracles/llama_gguf_models.py, which llama.cpp continued greedily."""


@torch.no_grad()
def logprobs(model, ids):
    """Log-probabilities after every id of some sequences, with a cache as llama.cpp's."""
    cache = Cache(model.config, len(ids), CAPACITY)
    return model.logits(torch.tensor(ids), cache=cache).log_softmax(-1)


def same_ids(name, found):
    """Of how many texts a tokenizer's ids are llama.cpp's, and of how many there are some.

    Without texts that have the mark of a space: user-defined runs of spaces contain none there.
    """
    texts = [text for text in lines() if text in found["ids"] and SPACE_MARK not in text]
    pairs = zip(texts, small(name).encode_batch(texts), strict=True)
    return sum(ids == found["ids"][text] for text, ids in pairs), len(texts)


def largest_difference(model, found):
    """Between our log-probabilities and llama.cpp's, after the fixture's prompts."""
    differences = [
        logprobs(model, [prompt["ids"]])[0, -1, found["kept"]] - torch.tensor(prompt["logprobs"])
        for prompt in found["prompts"]
    ]
    return float(torch.stack(differences).abs().max())


def greedy_margins(model, found):
    """By how much our likeliest id exceeds llama.cpp's, at every step of its twenty replies."""
    whole = [ids + reply for ids, reply in zip(GREEDY, found["greedy"], strict=True)]
    ours = logprobs(model, whole)[:, len(GREEDY[0]) - 1 : -1, : VOCAB - 1]  # without the end
    chosen = torch.tensor(found["greedy"])[..., None]
    return ours.max(-1).values - ours.gather(-1, chosen)[..., 0]


@torch.no_grad()
def seq2seq_margins(model, found):
    """What `greedy_margins` gives, of the targets of twenty sources."""
    replies = torch.tensor(found["greedy"])
    targets = torch.cat([torch.full((len(replies), 1), START), replies[:, :-1]], 1)
    logits = model.logits(targets, encoded=model.encode(torch.tensor(GREEDY)))
    ours = logits.log_softmax(-1)[..., : VOCAB - 1]  # without the end
    return ours.max(-1).values - ours.gather(-1, replies[..., None])[..., 0]


@torch.no_grad()
def seq2seq_difference(model, found):
    """Between our log-probabilities and llama.cpp's, after the last ids of each target."""
    differences = []
    for pair in found["pairs"]:
        encoded = model.encode(torch.tensor([pair["source"]]))
        ours = model.logits(torch.tensor([pair["target"]]), encoded=encoded).log_softmax(-1)[0]
        theirs = torch.tensor(pair["logprobs"])
        differences.append(float((ours[-len(theirs) :] - theirs).abs().max()))
    return max(differences)
