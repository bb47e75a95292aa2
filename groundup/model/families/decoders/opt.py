"""OPT and Galactica: GPT-3's blocks with ReLU, learned positions of which two are unused.

OPT 350M has post-norms and projects its embeddings, which is refused.
Source: transformers 5.24, models/opt; Zhang et al. 2022, arXiv:2205.01068.
"""

from ...configuration.config import ModelConfig
from ..keys import ROPE, word_set
from ..names import NamePairs, require_supported
from .gpt import FIELDS
from .outline import BIAS, Key, Outline, Values

LAYER = "decoder.layers.{}."


def _names(config: ModelConfig) -> NamePairs:
    norm = "_out_norm." if config.norm.place == "post" else "_norm."
    return (
        (LAYER + "self_attn.out_proj.", "layers.{}.attention.o_proj."),
        (LAYER + "self_attn.", "layers.{}.attention."),
        (LAYER + "fc1.", "layers.{}.feedforward.up_proj."),
        (LAYER + "fc2.", "layers.{}.feedforward.down_proj."),
        (LAYER + "self_attn_layer_norm.", "layers.{}.attention" + norm),
        (LAYER + "final_layer_norm.", "layers.{}.feedforward" + norm),
        ("decoder.final_layer_norm.", "norm."),
        ("decoder.embed_", "embed_"),
    )


def _read(values: Values) -> Values:
    require_supported(values, {"word_embed_proj_dim": (values["hidden_size"], None)})
    return {}


NORM = "layer_norm_elementwise_affine"
OPT = Outline(
    "opt", "OPTForCausalLM",
    (
        Key("activation_function", "feedforward.activation", "relu"),
        Key("do_layer_norm_before", "norm.place", True, {True: "pre", False: "post"}),
        Key("enable_bias", "attention.bias", True, BIAS),
        Key("enable_bias", "feedforward.bias", True),
        Key(NORM, "norm.weights", True), Key(NORM, "norm.bias", True),
    ),
    FIELDS | {"norm.eps": 1e-5, "position.offset": 2}, tied=True, names=_names,
    renamed={"ffn_dim": "intermediate_size"},
    absent=ROPE | word_set("head_dim num_key_value_heads original_max_position_embeddings"),
    read_more=_read, more_keys=frozenset(("word_embed_proj_dim",)),
    write_more=lambda config: {"word_embed_proj_dim": config.width},
    fixed={"_remove_final_layer_norm": (False, None), "learned_embeddings": (True,),
           "scale_embeddings": (False,)},
    prefix="model.",
).family()  # fmt: skip
