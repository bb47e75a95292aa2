"""Phi and Phi 3: parallel blocks with biases, then LLaMA in fused matrices with LongRoPE.

Both may rotate a share of the features; Phi 4 mini is a `phi3`. LongRoPE's factors are chosen by
the length of each document; in Transformers by the longest row of a batch, padding included.
Source: transformers 5.24, models/phi and phi3; Li et al. 2023, arXiv:2309.05463; Abdin et al.
2024, arXiv:2404.14219; Phi 4 mini: arXiv:2503.01743.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..decoder_keys import NAMES
from ..names import GATE_UP, QKV, parse_rope
from .outline import SILU, Key, Outline, Values, read_window, rms_eps, write_window

PHI_NAMES = (
    ("model.layers.{}.self_attn.dense.", "layers.{}.attention.o_proj."),
    ("model.layers.{}.self_attn.q_layernorm.", "layers.{}.attention.q_norm."),
    ("model.layers.{}.self_attn.k_layernorm.", "layers.{}.attention.k_norm."),
    ("model.layers.{}.mlp.fc1.", "layers.{}.feedforward.up_proj."),
    ("model.layers.{}.mlp.fc2.", "layers.{}.feedforward.down_proj."),
    ("model.final_layernorm.", "norm."),
    ("lm_head.bias", "lm_bias"),
    *NAMES,
)
PHI = Outline(
    "phi", "PhiForCausalLM",
    (
        Key("hidden_act", "feedforward.activation", "gelu_new"),
        Key("layer_norm_eps", "norm.eps", 1e-5),
        Key("qk_layernorm", "attention.qk_norm", False, {False: "none", True: "head"}),
    ),
    {
        "norm.kind": "layer", "attention.bias": "all", "feedforward.gated": False,
        "feedforward.bias": True, "output.bias": True, "parallel": True,
    },
    rotated=0.5, names=PHI_NAMES,
).family()  # fmt: skip


def _read_phi3(values: Values) -> Values:
    kind = parse_rope(values, partial=True)[1].kind
    if kind not in ("none", "longrope"):
        raise ArtifactError(f"config.json has rope_type {kind!r}; phi3 has default or longrope.")
    return read_window(values)


def _write_phi3(config: ModelConfig) -> Values:
    original = config.position.scaling.original_length
    length = {"original_max_position_embeddings": original} if original else {}
    return write_window(config) | length


PHI3 = Outline(
    "phi3", "Phi3ForCausalLM", (SILU, rms_eps(1e-5)),
    defaults={"original_max_position_embeddings": 4096}, rotated=1.0,
    read_more=_read_phi3, write_more=_write_phi3, more_keys=frozenset(("sliding_window",)),
    fixed={"full_attn_mod": (1,), "interpolate_factor": (1,), "lm_head_bias": (False, None)},
    fused={".attention.qkv_proj.": QKV, ".feedforward.gate_up_proj.": GATE_UP},
).family()  # fmt: skip
