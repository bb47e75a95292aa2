"""Falcon: parallel blocks, one key head or one per group, rotary positions or ALiBi.

The first files (7B) have one key head and one norm; newer ones (40B) groups and two norms; those
of RefinedWeb (RW) serial blocks and ALiBi, which Transformers rounds to bfloat16, as in training,
and with eager attention adds twice.
Source: transformers 5.24, models/falcon; Almazrouei et al. 2023, arXiv:2311.16867.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..keys import word_set
from ..names import QKV, NamePairs, get_bool, get_int
from .bloom import LAYER_NAMES
from .gpt import LAYER_NORM_EPSILON
from .outline import BIAS, Key, Outline, Values


def _names(config: ModelConfig) -> NamePairs:
    has_two = config.parallel and config.parallel_norms == 2
    norms = ("ln_attn", "ln_mlp") if has_two else ("input_layernorm", "post_attention_layernorm")
    return (
        *LAYER_NAMES,
        (f"h.{{}}.{norms[0]}.", "layers.{}.attention_norm."),
        (f"h.{{}}.{norms[1]}.", "layers.{}.feedforward_norm."),
        ("word_embeddings.", "embed_tokens."),
        ("ln_f.", "norm."),
    )


def _read(values: Values) -> Values:
    """Raises ArtifactError for blocks that Transformers does not run."""
    is_new = get_bool(values, "new_decoder_architecture", False)
    is_parallel, heads = get_bool(values, "parallel_attn", True), values["num_attention_heads"]
    norms = get_int(values, "num_ln_in_parallel_attn", "falcon", 2 if is_new else 1, maximum=2)
    if is_new and not is_parallel or is_parallel and norms == 2 and not is_new:
        what = f"new_decoder_architecture={is_new} with parallel_attn={is_parallel} and"
        what = f"config.json has {what} num_ln_in_parallel_attn={norms}"
        raise ArtifactError(f"{what}; new blocks are parallel, and only they may have two norms.")
    kv_heads = get_int(values, "num_kv_heads", "falcon", heads)
    if not is_new and get_bool(values, "multi_query", True):
        kv_heads = 1
    elif not is_new and kv_heads != heads:
        what = f"config.json has num_kv_heads={kv_heads} of {heads} heads"
        raise ArtifactError(f"{what}; groups need new_decoder_architecture=true.")
    has_alibi = get_bool(values, "alibi", False)
    return {
        "attention.kv_heads": kv_heads, "parallel": is_parallel,
        "parallel_norms": norms if is_parallel else 1,
        "position.kind": "alibi" if has_alibi else "rope", "position.rounded": has_alibi,
    }  # fmt: skip


def _write(config: ModelConfig) -> Values:
    heads, kv_heads = config.attention.heads, config.attention.kv_heads
    is_new = config.parallel_norms == 2 or kv_heads not in (1, heads)
    return {
        "new_decoder_architecture": is_new, "multi_query": kv_heads == 1,
        "num_kv_heads": kv_heads if is_new else heads, "parallel_attn": config.parallel,
        "num_ln_in_parallel_attn": config.parallel_norms,
        "alibi": config.position.kind == "alibi",
    }  # fmt: skip


FALCON = (
    Outline(
        "falcon",
        "FalconForCausalLM",
        (
            LAYER_NORM_EPSILON,
            Key("activation", "feedforward.activation", "gelu"),
            Key("bias", "attention.bias", False, BIAS),
            Key("bias", "feedforward.bias", False),
        ),
        {"norm.kind": "layer", "feedforward.gated": False},
        {"max_position_embeddings": 2048},
        tied=True,
        inner=4,
        names=_names,
        renamed={"ffn_hidden_size": "intermediate_size"},
        absent=frozenset(("head_dim", "num_key_value_heads")),
        read_more=_read,
        write_more=_write,
        more_keys=word_set("""
        alibi multi_query new_decoder_architecture num_kv_heads num_ln_in_parallel_attn
        parallel_attn
        """),
        fixed={"apply_residual_connection_post_layernorm": (False, None)},
        ignored=word_set("ff_factor hidden_dropout"),
        aliases={"n_embed": "hidden_size"},
        prefix="transformer.",
        fused={".attention.qkv_proj.": QKV},
        by_head=True,
    )
    .family()
    ._replace(supports_packed=False)
)  # fmt: skip  Transformers opens no packed one
