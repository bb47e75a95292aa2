"""GPT-J: parallel blocks with one norm, the first features of each head rotated as neighbours.

Source: transformers 5.24, models/gptj; Wang and Komatsuzaki 2021, GPT-J-6B.
"""

from ..names import get_int
from .gpt import ABSENT, ALIASES, LAYER_NORM_EPSILON, SIZES, UNUSED_KEYS
from .outline import Key, Outline, Values

LAYER = "transformer.h.{}."
NAMES = (
    (LAYER + "attn.out_proj.", "layers.{}.attention.o_proj."),
    (LAYER + "attn.", "layers.{}.attention."),
    (LAYER + "mlp.fc_in.", "layers.{}.feedforward.up_proj."),
    (LAYER + "mlp.fc_out.", "layers.{}.feedforward.down_proj."),
    (LAYER + "ln_1.", "layers.{}.attention_norm."),
    ("transformer.wte.", "embed_tokens."),
    ("transformer.ln_f.", "norm."),
    ("lm_head.bias", "lm_bias"),
)


def _read(values: Values) -> Values:
    size, heads, width = (get_int(values, k, "gptj") for k in ("rotary_dim", "n_head", "n_embd"))
    return {"position.rotated": size / max(1, width // heads)}


GPTJ = Outline(
    "gptj", "GPTJForCausalLM",
    (LAYER_NORM_EPSILON, Key("activation_function", "feedforward.activation", "gelu_new")),
    {
        "norm.kind": "layer", "feedforward.gated": False, "feedforward.bias": True,
        "output.bias": True, "position.interleaved": True, "parallel": True,
    },
    {"rotary_dim": 64}, inner=4, renamed=SIZES | {"n_inner": "intermediate_size"},
    absent=ABSENT, names=NAMES, read_more=_read,
    write_more=lambda config: {"rotary_dim": config.rotary_dim},
    more_keys=frozenset(("rotary_dim",)),
    fixed={"rotary": (True,), "scale_attn_weights": (True,)},
    ignored=UNUSED_KEYS, aliases=ALIASES,
    dropped=r".*\.attn\.(bias|masked_bias)$",
).family()  # fmt: skip
