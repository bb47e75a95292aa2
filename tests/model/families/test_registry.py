"""Families by model_type, our own among them."""

import json

import pytest
import torch

from groundup.core import ArtifactError
from groundup.kernels import AttentionPattern
from groundup.model import PositionConfig, Transformer, preset, presets
from groundup.model.families import FAMILIES, choose_family, get_family, read_config
from groundup.model.families.registry import OWN
from tests.model.shapes import ALL, tiny_config


def test_our_default_model_is_written_as_a_qwen3_and_what_no_peer_computes_as_our_own():
    assert choose_family(tiny_config()) is FAMILIES["qwen3"]
    gopher = tiny_config().model_copy(update={"position": PositionConfig(kind="transformer_xl")})
    assert choose_family(gopher) is FAMILIES["groundup"]
    assert FAMILIES["groundup"].from_hf_config(FAMILIES["groundup"].to_hf_config(gopher)) == gopher


DECODERS = {
    "LLaMA": "llama", "Llama 3": "llama", "Mistral": "mistral", "Mixtral": "mixtral",
    "Qwen 2": "qwen2", "Qwen 3": "qwen3", "Gemma 3": "gemma3_text", "OLMo 2": "olmo2",
    "OLMo": "olmo", "OLMo 3": "olmo3", "SmolLM 3": "smollm3", "Phi 2": "phi", "Phi 4 mini": "phi3",
    "Gemma": "gemma", "Gemma 2": "gemma2", "Granite 3": "granite", "StarCoder 2": "starcoder2",
    "StableLM 2": "stablelm", "Pythia": "gpt_neox", "Qwen 3 MoE": "qwen3_moe",
    "Command R": "cohere", "Nemotron 4": "nemotron", "GLM 4": "glm4", "EXAONE 4": "exaone4",
    "GPT-J": "gptj", "Falcon": "falcon", "BLOOM": "bloom", "OPT": "opt",
    "Granite 3 MoE": "granitemoe", "GPT-OSS": "gpt_oss", "DeepSeek V2": "deepseek_v2",
    "DeepSeek V3": "deepseek_v3", "MiniCPM 3": "minicpm3", "Llama 4": "llama4_text",
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "family"),
    [("gemma-tiny", "gemma"), ("glm-4-tiny", "glm4"), ("nemotron-4-tiny", "nemotron"),
     ("llama-4-tiny", "llama4_text"), ("qwen-3-moe-tiny", "qwen3_moe"),
     ("gpt-oss-tiny", "gpt_oss"), ("deepseek-v3-tiny", "deepseek_v3"),
     ("smollm-3-tiny", "smollm3"), ("granite-3-tiny", "granite"), ("exaone-4-tiny", "exaone4"),
     ("starcoder-2-tiny", "starcoder2"), ("phi-2-tiny", "phi"), ("phi-4-mini-tiny", "phi3"),
     ("command-r-tiny", "cohere"), ("granite-3-moe-tiny", "granitemoe"),
     ("mixtral-tiny", "mixtral"), ("gemma-2-tiny", "groundup"), ("deepseek-v2-tiny", "groundup")],
)  # fmt: skip
def test_heads_need_not_divide_the_width_where_transformers_opens_such_files(name, family):
    config = preset(name).config
    heads = config.attention.model_copy(update={"heads": 3, "kv_heads": 3})
    odd = config.model_copy(update={"attention": heads})
    assert odd.width % 3 and choose_family(odd).name == family


@pytest.mark.parametrize("name", ["gemma-2", "gemma-3", "gpt-oss", "olmo-3"])
def test_a_window_has_a_size_in_files_though_no_layer_has_one(name):
    config = preset(f"{name}-tiny").config
    full = config.attention.model_copy(update={"patterns": (AttentionPattern("full"),)})
    config = config.model_copy(update={"attention": full})
    family = choose_family(config)
    assert family.name != "groundup" and family.to_hf_config(config)["sliding_window"]


OURS = DECODERS | {
    "BERT": "bert", "SpanBERT": "bert", "RoBERTa": "roberta", "ModernBERT": "modernbert",
    "XLM-RoBERTa": "roberta", "DistilBERT": "distilbert", "ELECTRA": "electra", "ALBERT": "albert",
    "MPNet": "mpnet", "DeBERTa v3": "deberta-v2",
    "GPT-1": "openai-gpt", "GPT-2": "gpt2", "Jurassic-1": "gpt2", "GPT-3": "groundup",
    "mT5": "t5", "UMT5": "umt5", "mBART": "mbart",
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name, each in presets().items() if each.family in OURS])
def test_presets_are_written_as_their_own_family_and_tensors_of_tiny_ones_go_there_and_back(name):
    config = preset(name).config
    family = choose_family(config)
    is_bert = name in ("electra-base", "electra-large")  # whose embeddings are as wide as the model
    assert family is FAMILIES["bert" if is_bert else OURS[preset(name).family]]
    assert family.from_hf_config(json.loads(json.dumps(family.to_hf_config(config)))) == config
    if name.endswith("-tiny"):
        state = Transformer(config, seed=1).state_dict()
        again = family.from_hf_state_dict(family.to_hf_state_dict(dict(state), config), config)
        assert again.keys() == state.keys()
        assert all(torch.equal(again[key], tensor) for key, tensor in state.items())


def test_eight_bits_are_written_where_the_files_can_hold_them():
    gpt, bert = preset("gpt-2-tiny").config, preset("bert-tiny").config
    assert choose_family(gpt) is FAMILIES["gpt2"]
    assert choose_family(gpt, packed=True) is FAMILIES["groundup"]
    assert choose_family(bert, packed=True) is FAMILIES["bert"]


@pytest.mark.parametrize("changes, message", [
    ({"groundup": None}, "no valid 'groundup' configuration"),
    ({"model_type": "bert", "vocab_size": 8, "hidden_size": 8, "num_hidden_layers": 1,
      "num_attention_heads": 2, "intermediate_size": 8, "max_position_embeddings": 8,
      "architectures": 3},
     "architectures='3'; expected a list of names"),
    ({"model_type": "gpt2", "activation_function": ["gelu"]}, "that is invalid for gpt2"),
])  # fmt: skip
def test_a_value_of_another_kind_is_an_error_of_one_line(changes, message):
    with pytest.raises(ArtifactError, match=message) as caught:
        read_config({"model_type": "groundup"} | changes, "x")
    assert "\n" not in str(caught.value)


def test_an_unknown_family_is_named_with_the_known_ones():
    with pytest.raises(
        ArtifactError,
        match="x/config.json has model_type 'clip', none of .* families; the nearest names are",
    ):
        get_family({"model_type": "clip"}, "x/config.json")


@pytest.mark.parametrize("kind, layers", [
    *((kind, "a state of linear attention") for kind in ("qwen3_next", "mamba", "rwkv", "rwkv7",
                                                         "qwen3_5_text", "jamba", "falcon_h1")),
    ("deepseek_v32", "keys that an indexer selects"),
])  # fmt: skip
def test_layers_that_are_no_attention_are_named(kind, layers):
    with pytest.raises(ArtifactError, match=f"x has model_type '{kind}', whose .* have {layers}"):
        get_family({"model_type": kind}, "x")


@pytest.mark.parametrize("name", ALL)
def test_every_configuration_goes_there_and_back_through_json(name):
    values = json.loads(json.dumps(OWN.to_hf_config(ALL[name])))
    assert values["model_type"] == "groundup"
    assert OWN.from_hf_config(values) == ALL[name]


@pytest.mark.parametrize("broken", [{}, {"groundup": 3}, {"groundup": {"layers": 0}},
                                    {"groundup": {"depth": 1}}])  # fmt: skip
def test_a_broken_configuration_says_so(broken):
    with pytest.raises(ArtifactError, match="no valid 'groundup' configuration"):
        OWN.from_hf_config(broken)
