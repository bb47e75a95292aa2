"""MiniCPM 3: latent attention in a dense model, with scaled embeddings, updates and logits.

Source: transformers 5.24, models/minicpm3; Hu et al. 2024, arXiv:2404.06395, for the scales.
"""

import math

from ...configuration.config import ModelConfig
from ..names import get_float, get_int
from .deepseek import HEAD_KEYS, NAMES, latent_keys, prepare_heads, read_latent, write_latent
from .outline import ATTENTION_BIAS, MLP_BIAS, SILU, Key, Outline, Values, rms_eps

NAME = "minicpm3"


def _prepare(values: Values) -> Values:
    if values.get("v_head_dim") is None:
        sizes = (get_int(values, key, NAME) for key in ("hidden_size", "num_attention_heads"))
        width, heads = sizes
        values = values | {"v_head_dim": width // heads}
    return prepare_heads(values)


def _read(values: Values) -> Values:
    width, root = get_int(values, "hidden_size", NAME), math.sqrt(values["num_hidden_layers"])
    return read_latent(values) | {
        "residual_scale": get_float(values, "scale_depth", root) / root,
        "output.scale": get_int(values, "dim_model_base", NAME, width) / width,
    }


def _write(config: ModelConfig) -> Values:
    scale, root = config.residual_scale, math.sqrt(config.layers)
    near = scale * root  # or a neighbour, of which the division gives back the scale
    depths = (near, math.nextafter(near, 0.0), math.nextafter(near, math.inf))
    return write_latent(config) | {
        "scale_depth": next((each for each in depths if each / root == scale), near),
        "dim_model_base": round(config.output.scale * config.width),
    }


MINICPM3 = Outline(
    NAME, "MiniCPM3ForCausalLM",
    (
        SILU, rms_eps(1e-5), ATTENTION_BIAS, MLP_BIAS, *latent_keys(256, 768, 32),
        Key("scale_emb", "embedding.scale", 12.0),
    ),
    defaults={
        "num_key_value_heads": 40, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32,
        "scale_depth": 1.4, "dim_model_base": 256,
    },
    names=NAMES, tied=True, is_divided=True, prepare=_prepare, read_more=_read, write_more=_write,
    more_keys=HEAD_KEYS | {"dim_model_base", "scale_depth"},
).family()  # fmt: skip
