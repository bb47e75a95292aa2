"""Metadata, names and layouts go to llama.cpp's and come back; what metadata omit is known."""

import numpy as np
import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.kernels import AttentionPattern
from groundup.model import (
    ExpertsConfig,
    OutputConfig,
    PositionConfig,
    RopeScaling,
    Transformer,
    preset,
    presets,
)
from groundup.model.families.decoder_keys import with_fields
from groundup.model.families.names import parse_rope
from groundup.model.families.registry import read_config
from groundup.model.positions import compute_rotation, rope_frequencies, rotate
from groundup.model.weights.gguf.configuration import config_from_metadata, describe_for_gguf
from groundup.model.weights.gguf.layouts import (
    deinterleave,
    from_gguf_state_dict,
    interleave,
    to_gguf_state_dict,
)
from groundup.model.weights.gguf.scaling import (
    SHORT,
    llama3_divisors,
    read_scaling,
    scaling_from_divisors,
    write_scaling,
)
from tests.model.shapes import ENCODER_DECODERS, ENCODERS
from tests.model.weights.gguf.models import (
    ENCODER,
    MODELS,
    SEQ2SEQ,
    VOCAB,
    decoder,
    exact_model,
)

OPENED = ("Llama 3", "Qwen 2", "Qwen 3", "Gemma 3", "OLMo 2", "GPT-2", "Mixtral", "LLaMA")
"""Families of presets whose every size llama.cpp has."""


def sketch(config):
    """Tensors without numbers: tables, and one of each layer."""

    def empty(*shape):
        return torch.empty(shape, device="meta")

    found = {"embed_tokens.weight": empty(config.vocab_size, config.width)}
    if not config.tied_embeddings:
        found["lm_head.weight"] = empty(config.vocab_size, config.width)
    for layer in range(config.layers):
        found[f"layers.{layer}.attention.o_proj.weight"] = empty(config.width, config.width)
    if config.attention.bias == "all":
        found["layers.0.attention.o_proj.bias"] = empty(config.width)
    return found


def opened(metadata, config=MODELS["llama"], factors=()):
    """What a file with a sketch of a model's tensors and these metadata computes."""
    shapes = {"token_embd.weight": (config.vocab_size, config.width)}
    shapes |= {} if config.tied_embeddings else {"output.weight": shapes["token_embd.weight"]}
    shapes |= {f"blk.{layer}.attn_norm.weight": (config.width,) for layer in range(config.layers)}
    return config_from_metadata(metadata, shapes, dict(factors), "a.gguf")


def llama(**changes):
    """The metadata of a small LLaMA; a change of None takes a key out."""
    told = describe_for_gguf(MODELS["llama"], sketch(MODELS["llama"])).metadata
    told |= {f"llama.{key.replace('__', '.')}": value for key, value in changes.items()}
    return {key: value for key, value in told.items() if value is not None}


ARCHITECTURE_OF = {name: name.partition("_")[0] for name in MODELS} | {
    "mixtral": "llama", "olmo3": "olmo2", "deepseek3": "deepseek2",
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_small_model_is_described_by_its_architecture(name):
    described = describe_for_gguf(MODELS[name], exact_model(MODELS[name]).state_dict())
    assert described.architecture == ARCHITECTURE_OF[name]
    kind = MODELS[name].position.scaling.kind
    assert bool(described.factors) == (kind in ("llama3", "longrope"))


def test_factors_as_published_have_more_digits_than_a_file_and_are_written():
    short = (1.0299999713897705, 1.118320672, 1.250641126, 1.0591234137867171)
    config = with_fields(MODELS["llama_longrope"], {"position.scaling.short": short})
    described = describe_for_gguf(config, sketch(config))
    assert described.factors[SHORT].tolist() == pytest.approx(short, rel=1e-7)


PUBLISHED = [one for one in map(preset, presets()) if one.family in OPENED]


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.name)
def test_published_sizes_are_said_whole(one):
    """`describe_for_gguf` refuses what does not come back from its own metadata."""
    described = describe_for_gguf(one.config, sketch(one.config))
    assert described.metadata[f"{described.architecture}.block_count"] == one.config.layers


def test_gemmas_largest_has_a_scale_that_no_metadata_says():
    config = preset("gemma-3-27b").config
    metadata = describe_for_gguf(config, sketch(config)).metadata
    found = opened(metadata, config)
    assert found.attention.scale == 168**-0.5
    assert found.position.window_base == 10_000.0
    assert [found.pattern(layer).kind for layer in range(6)] == ["window"] * 5 + ["full"]
    assert found.embedding.scale == 5376**0.5
    assert not any("168" in str(value) for value in metadata.values())


def test_what_may_be_left_out_has_llama_cpps_default():
    lacking = llama(rope__freq_base=None, attention__head_count_kv=None,
                    attention__key_length=None, attention__value_length=None)  # fmt: skip
    found = opened(lacking)
    assert (found.position.base, found.attention.kv_heads, found.attention.head_dim) == (1e4, 2, 8)


def test_values_of_every_layer_may_be_listed_if_they_are_alike():
    listed = llama(attention__head_count_kv=np.array([1, 1], np.int32))
    assert opened(listed) == MODELS["llama"]
    with pytest.raises(ArtifactError, match="layers that differ in llama.attention.head_count_kv"):
        opened(llama(attention__head_count_kv=np.array([1, 2], np.int32)))
    with pytest.raises(ArtifactError, match="layers that differ in llama.block_count"):
        opened(llama(block_count=np.array([], np.int32)))


WRONG = {
    "nothing": ({}, "general.architecture='None'; groundup supports qwen3, llama, qwen2, gemma3"),
    "other": ({"general.architecture": "mamba"}, "'mamba'; groundup supports"),
    "no size": (llama(embedding_length=None), "the metadata have no llama.embedding_length"),
    "no eps": (llama(attention__layer_norm_rms_epsilon=None), "have no llama.attention.layer_norm"),
    "text": (llama(embedding_length="wide"), "a.gguf"),
    "text of layers": (llama(block_count="2"), "its metadata describe no model"),
    "negative": (llama(feed_forward_length=-4), "intermediate_size=-4; expected an integer"),
    "no heads": (llama(attention__head_count=0, attention__key_length=None), "a.gguf"),
    "layers": (llama(block_count=2**31), "2147483648 layers do not fit 4 tensors"),
    "not finite": (llama(rope__freq_base=float("nan")), "rope_theta=nan; expected a number"),
    "partial": (llama(rope__dimension_count=4), "llama.rope.dimension_count is 4; groundup supp"),
    "values": (llama(attention__value_length=4), "llama.attention.value_length is 4; groundup"),
    "window": (llama(attention__sliding_window=4), "sliding_window is 4; groundup supports None"),
    "scaling": (llama(rope__scaling__type="axial"), "rope_type 'axial'; groundup supports"),
    "dynamic": (llama(rope__scaling__type="dynamic", rope__scaling__factor=2.0),
                "its positions are scaled by dynamic; llama.cpp has linear"),
    "groups": (llama(attention__head_count_kv=3), "heads=2 must be a multiple of kv_heads=3"),
    "experts": (llama(expert_count=4), "have no llama.expert_used_count"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_metadata_that_hold_no_model_are_refused_in_one_line(name):
    metadata, said = WRONG[name]
    with pytest.raises(ArtifactError, match=said) as caught:
        opened(metadata)
    assert str(caught.value).startswith("a.gguf") and "\n" not in str(caught.value)


def test_a_table_of_tokens_is_needed():
    with pytest.raises(ArtifactError, match="there is no matrix token_embd.weight"):
        config_from_metadata(llama(), {}, {}, "a.gguf")


@pytest.mark.parametrize(
    "config",
    [
        decoder(attention=MODELS["llama"].attention.model_copy(
            update={"patterns": (AttentionPattern("window", 4),)})),
        ENCODER_DECODERS["t5"],
    ],
)  # fmt: skip
def test_what_no_architecture_computes_is_refused(config):
    with pytest.raises(ConfigError, match="No architecture of llama.cpp can hold this "):
        describe_for_gguf(config, sketch(config))


def test_dynamic_scaling_is_refused_by_name():
    scaling = RopeScaling(kind="dynamic", factor=2.0, original_length=32)
    config = decoder(position=PositionConfig(scaling=scaling))
    with pytest.raises(ConfigError, match="this llama model: its positions are scaled by dyn"):
        describe_for_gguf(config, sketch(config))


def test_the_reason_is_the_nearest_architectures():
    t5, gpt2 = ENCODER_DECODERS["t5"], MODELS["gpt2"]
    with pytest.raises(ConfigError, match="this t5 model: its positions know distances up to 16, "):
        describe_for_gguf(t5, sketch(t5))
    values = {"model_type": "gptj", "n_embd": 16, "n_layer": 1, "n_head": 2, "vocab_size": VOCAB}
    gptj = read_config(values | {"rotary_dim": 4, "n_positions": 64}, "gptj")
    with pytest.raises(ConfigError, match="this gptj model: groundup writes qwen3, llama, "):
        describe_for_gguf(gptj, sketch(gptj))
    feed = gpt2.feedforward.model_copy(update={"activation": "relu"})
    relu = gpt2.model_copy(update={"feedforward": feed})
    with pytest.raises(ConfigError, match="activation is relu, that of llama.cpp's gpt2 gelu_tanh"):
        describe_for_gguf(relu, sketch(relu))


@pytest.mark.parametrize("name", ["qwen2", "olmo2"])
def test_heads_that_llama_cpp_refuses_are_not_written(name):
    config = MODELS[name]
    part = config.attention.model_copy(update={"head_dim": 2 * config.attention.head_dim})
    wide = config.model_copy(update={"attention": part})
    width = part.heads * part.head_dim
    with pytest.raises(ConfigError, match=f"{name} needs heads .* features and they {width}"):
        describe_for_gguf(wide, exact_model(wide).state_dict())


@pytest.mark.parametrize("name", MODELS)
def test_every_tensor_comes_back(name):
    config, state = MODELS[name], exact_model(MODELS[name]).state_dict()
    named = to_gguf_state_dict(state, config, ARCHITECTURE_OF[name])
    assert not {key for key in named if key.startswith(("layers", "embed", "norm", "lm_head"))}
    again = from_gguf_state_dict(named, config, ARCHITECTURE_OF[name])
    assert again.keys() == state.keys()
    for key, weight in state.items():
        torch.testing.assert_close(again[key], weight, rtol=0, atol=1e-7)


def test_one_tensor_at_a_time_gives_the_same():
    config, state = MODELS["gpt2"], exact_model(MODELS["gpt2"]).state_dict()
    named = to_gguf_state_dict(state, config, "gpt2")
    assert named["blk.1.attn_qkv.weight"].shape == (48, 16)
    again = {}
    for key, weight in named.items():
        again |= from_gguf_state_dict({key: weight}, config, "gpt2")
    assert all(torch.equal(again[key], weight) for key, weight in state.items())


def test_berts_norms_have_names_of_their_own():
    config = ENCODERS["bert"]
    state = Transformer(config, seed=0).state_dict()
    named = to_gguf_state_dict(state, config, "bert")
    assert {"blk.0.attn_output_norm.bias", "blk.0.layer_output_norm.weight"} <= named.keys()
    assert from_gguf_state_dict(named, config, "bert").keys() == state.keys()


def testinterleaved_pairs_turn_as_halves_do():
    x, by = (
        torch.randn(1, 1, 6, 8),
        compute_rotation(torch.arange(6)[None], rope_frequencies(8, 100.0)),
    )
    by_pairs = interleave(x[0, 0].T, 8).T.reshape(1, 1, 6, 4, 2)
    cos, sin = by.cos, by.sin
    a, b = by_pairs.unbind(-1)
    turned = torch.stack([a * cos - b * sin, a * sin + b * cos], -1).flatten(-2)
    torch.testing.assert_close(deinterleave(turned[0, 0].T, 8).T[None, None], rotate(x, by))


BY_METADATA = {
    "none": RopeScaling(),
    "linear": RopeScaling(kind="linear", factor=8.0),
    "yarn": RopeScaling(kind="yarn", factor=4.0, original_length=512, low=1.0, high=32.0),
    "steep yarn": RopeScaling(kind="yarn", factor=2.5, original_length=64, low=2.0, high=8.0),
}


def parsed(values, context_length=4096):
    return parse_rope({"rope_scaling": values, "max_position_embeddings": context_length})[1]


def scaled(scaling):
    """A LLaMA with scaled positions."""
    return decoder(position=PositionConfig(scaling=scaling), context_length=4096)


@pytest.mark.parametrize("name", BY_METADATA)
def test_metadata_says_a_scaling(name):
    told, tensors = write_scaling(scaled(BY_METADATA[name]))
    assert parsed(read_scaling(told | {"context_length": 4096}, tensors, 8)) == BY_METADATA[name]


LLAMA3 = [
    one
    for one in map(preset, presets())
    if one.config.position.scaling.kind == "llama3" and one.config.attention.qk_norm != "rotated"
]  # no GGUF holds Llama 4


@pytest.mark.parametrize("one", LLAMA3, ids=lambda one: one.name)
def test_llama_3_is_found_by_what_it_divides_by(one):
    position, head_dim = one.config.position, one.config.attention.head_dim
    factors = llama3_divisors(position.scaling, head_dim, position.base)
    assert factors.min() == 1.0
    values = scaling_from_divisors(factors, head_dim, position.base, one.config.context_length)
    assert parsed(values) == position.scaling


def test_factors_of_one_are_no_scaling():
    assert scaling_from_divisors(np.ones(8, np.float32), 16, 1e4, 128) is None


@pytest.mark.parametrize(
    "factors",
    [np.linspace(1, 8, 8), np.zeros(8), np.full(8, np.nan), np.full(8, np.inf), np.full(9, 8.0)],
)
def test_other_factors_are_refused(factors):
    with pytest.raises(ArtifactError, match="which is no Llama 3 scaling"):
        scaling_from_divisors(factors.astype(np.float32), 16, 1e4, 128)


def test_one_factor_for_all_is_llama_3s_beyond_its_ramp():
    values = scaling_from_divisors(np.full(8, 3.0, np.float32), 16, 1e4, 128)
    assert np.allclose(llama3_divisors(parsed(values), 16, 1e4), 3)


def test_an_old_name_and_a_size_of_yarn_are_read():
    length = {"context_length": 64}
    assert parsed(read_scaling(length | {"rope.scale_linear": 2.0}, {}, 8)).factor == 2.0
    told = write_scaling(scaled(BY_METADATA["yarn"]))[0] | {"rope.scaling.attn_factor": 0.5}
    found = parsed(read_scaling(length | told, {}, 8))
    assert found.attention == pytest.approx(0.5693, abs=1e-4)
    assert write_scaling(scaled(found))[0].pop("rope.scaling.attn_factor") == pytest.approx(0.5)


def test_a_ramp_that_llama_cpp_rounds_is_refused():
    exact = scaled(BY_METADATA["yarn"].model_copy(update={"truncate": False}))
    with pytest.raises(ConfigError, match="llama.cpp's llama has a rounded ramp of YaRN"):
        describe_for_gguf(exact, sketch(exact))


UNTIED, WINDOWS = (
    {"tied_embeddings": False},
    {"attention.patterns": (AttentionPattern("window", 4),)},
)
REFUSED = {
    "gemma": (UNTIED, "gemma needs no head but the embedding, and this model has a head"),
    "stablelm": ({"tied_embeddings": True}, "llama.cpp's stablelm needs a head of its own, and"),
    "phi3": (WINDOWS, "it has windows of attention, which llama.cpp's phi3 ignores"),
    "starcoder2": (WINDOWS, "it has windows of attention, which llama.cpp's starcoder2 has not"),
    "exaone4": (WINDOWS, "has windows of attention in models of 64 layers alone, and this"),
    "qwen3": ({"position.scaling": MODELS["llama_scaled"].position.scaling},
              "scaled by llama3, for which llama.cpp's qwen3 opens no tensor of divisors"),
    "command-r": ({"attention.bias": "all"}, "bias is all, that of llama.cpp's command-r none"),
    "qwen3moe": ({"feedforward.experts.normalised": False}, "experts that add up to one, which"),
    "deepseek2": ({"attention.latent.query_rank": 0}, r"queries has \(26, 27\) layers, and this"),
    "deepseek2_lite": ({"attention.latent.mscale": 0.0}, "has both YaRN and mscale, or neither"),
    "minicpm3": ({"embedding.scale": 2.0}, "scale is 2.0, that of llama.cpp's minicpm3 12"),
    "llama4": ({"attention.temperature_length": 4096}, "temperature length is 4096, that of ll"),
    "smollm3": ({"position.rotated_layers": (True, False)}, "layers with positions are not those"),
    "gpt-oss": ({"feedforward.experts.limit": 6.0}, "limit is 6.0, that of llama.cpp's gpt-oss 7"),
    "olmo": ({"attention.head_dim": 16}, "olmo needs heads as wide .* 16 features and they 32"),
}  # fmt: skip


SEQ2SEQ_REFUSED = {
    "t5": ({"feedforward.activation": "silu"}, "gate have silu, those of llama.cpp's t5 relu"),
    "t5_gated": ({"feedforward.activation": "relu"}, "with a gate have relu, .* t5 gelu_tanh"),
    "mt5": ({"layers": 4}, "opens no decoder with more layers than the encoder: 4 and 3"),
    "umt5": ({"position.max_distance": 64}, "this umt5 model: its positions know .* to 64"),
    "t5_untied": ({"feedforward.experts": ExpertsConfig(count=2, chosen=1, normalised=False)},
                  "this switch_transformers model: groundup writes qwen3"),
}  # fmt: skip


@pytest.mark.parametrize("name", SEQ2SEQ_REFUSED)
def test_what_llama_cpps_t5_computes_otherwise_is_refused_in_words(name):
    change, said = SEQ2SEQ_REFUSED[name]
    config = with_fields(SEQ2SEQ[name], change)
    with pytest.raises(ConfigError, match=said):
        describe_for_gguf(config, Transformer(config, seed=None).to("meta").state_dict())


def test_an_encoder_decoder_of_llama_cpps_own_converter_is_read_as_transformers_computes_it():
    """It writes a tied T5 without a head and without our key, and once wrote one depth alone."""
    config = with_fields(SEQ2SEQ["t5"], {"encoder_layers": 2})
    tensors = Transformer(config, seed=None).to("meta").state_dict()
    told = describe_for_gguf(config, tensors).metadata
    theirs = {key: value for key, value in told.items() if not key.endswith(
        ("output_is_scaled_embedding", "decoder_block_count"))}  # fmt: skip
    assert len(told) == len(theirs) + 2
    named = to_gguf_state_dict(tensors, config, "t5")
    shapes = {name: tuple(each.shape) for name, each in named.items() if name != "output.weight"}
    assert config_from_metadata(theirs, shapes, {}, "a.gguf") == config
    unused = {"dec.blk.0.cross_attn_rel_b.weight": torch.ones(10, 3)}  # of the oldest T5
    assert from_gguf_state_dict(named | unused, config, "t5").keys() == tensors.keys()


def test_a_refusal_speaks_of_the_family_of_the_models_files_and_of_no_field():
    windows = with_fields(MODELS["llama"], {"attention.patterns": (AttentionPattern("window", 4),)})
    encoder = with_fields(ENCODER, {"output": OutputConfig(transform="dense", bias=True)})
    for config, first, said in (
        (windows, "phi3", "phi3 model: it has windows of attention, which llama.cpp's phi3"),
        (windows, "", "mistral model: it has windows of attention, which llama.cpp's llam"),
        (encoder, "bert", "bert model: it has a head of masked words, which llama.cpp's bert"),
    ):
        tensors = Transformer(config, seed=None).to("meta").state_dict()
        with pytest.raises(ConfigError, match=said) as caught:
            describe_for_gguf(config, tensors, first)
        assert "Config" not in str(caught.value)


@pytest.mark.parametrize("name", REFUSED)
def test_what_an_architecture_lacks_is_refused_by_name(name):
    change, said = REFUSED[name]
    config = with_fields(MODELS[name], change)
    with pytest.raises(ConfigError, match=said):
        describe_for_gguf(config, Transformer(config, seed=None).to("meta").state_dict())


@pytest.mark.parametrize(
    "key, value", [("logit_scale", 2.0), ("rope.scaling.alpha", 2.0), ("expert_gating_func", 2)]
)
def test_a_key_that_may_change_the_model_is_refused_by_name(key, value):
    with pytest.raises(ArtifactError, match=f"llama.{key} is {value}; groundup supports None"):
        opened(llama() | {f"llama.{key}": value})
