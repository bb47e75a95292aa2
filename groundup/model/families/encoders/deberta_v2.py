"""DeBERTa v2 and v3: disentangled attention.

Relative positions are supported as published: both products with projections that content and
position share, buckets, and normed vectors. The convolution of the two large v2 models, and the
masked-LM head of `legacy=false`, are unsupported; files of v3 have no other, so they open as
encoders.
Source: transformers 5.24, models/deberta_v2; He et al. 2020, arXiv:2006.03654; arXiv:2111.09543.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..keys import ConfigKeys, word_set
from ..names import get_bool, get_int, get_list, require_supported
from .bert import BERT_OUTLINE
from .outline import EMBEDDING_NAMES, Values, encoder_family, layer_names

FAMILY = "deberta-v2"
PUBLISHED: Values = {
    "share_att_key": True, "norm_rel_ebd": "layer_norm", "pos_att_type": ["c2p", "p2c"],
}  # fmt: skip
"""What relative positions need; the defaults are others."""


def _read_positions(values: Values) -> Values:
    width, size = values["hidden_size"], values["hidden_size"] // values["num_attention_heads"]
    sizes = {"embedding_size": width, "pooler_hidden_size": width, "attention_head_size": size}
    require_supported(values, {key: (size,) for key, size in sizes.items()})
    kinds = values.get("pos_att_type") or []
    kinds = kinds.lower().replace(" ", "").split("|") if isinstance(kinds, str) else kinds
    values = values | {"pos_att_type": sorted(get_list({"pos_att_type": kinds}, "pos_att_type"))}
    has_table = get_bool(values, "position_biased_input", True)
    is_relative = get_bool(values, "relative_attention", False)
    for key, needed in (PUBLISHED if is_relative else {"pos_att_type": []}).items():
        if values.get(key) != needed:
            what = f"config.json has relative_attention={is_relative}, {key}={values.get(key)!r}"
            raise ArtifactError(f"{what}; groundup supports {key}={needed!r}.")
    if not is_relative:
        return {"position.kind": "learned" if has_table else "none"}
    furthest = get_int(values, "max_relative_positions", FAMILY, -1, minimum=-1)
    return {
        "position.kind": "disentangled", "position.absolute": has_table,
        "position.buckets": get_int(values, "position_buckets", FAMILY, minimum=4),
        "position.max_distance": furthest if furthest > 0 else values["max_position_embeddings"],
    }  # fmt: skip


def _write_positions(config: ModelConfig) -> Values:
    part = config.position
    is_relative = part.kind == "disentangled"
    values = {"position_biased_input": part.has_table, "relative_attention": is_relative}
    sizes = {"position_buckets": part.buckets, "max_relative_positions": part.max_distance}
    return values | (PUBLISHED | sizes if is_relative else {})


DEBERTA_V2 = encoder_family(BERT_OUTLINE._replace(
    name=FAMILY, class_prefix="DebertaV2", prefix="deberta",
    names=(
        *EMBEDDING_NAMES, ("encoder.LayerNorm.", "distances.norm."),
        ("encoder.rel_embeddings.", "distances."), *layer_names("encoder.layer.{}", """
        attention.self.query_proj attention.self.key_proj attention.self.value_proj
        attention.output.dense attention.output.LayerNorm intermediate.dense output.dense
        output.LayerNorm
        """),
    ), eps=1e-7, types=0,
    default_class="Model", read_more=_read_positions, write_more=_write_positions,
    keys=ConfigKeys(
        word_set(PUBLISHED, """
        attention_head_size embedding_size max_relative_positions pooler_hidden_size pos_att_type
        position_biased_input position_buckets relative_attention
        """),
        {"conv_kernel_size": (0,), "legacy": (True,), "pooler_hidden_act": ("gelu",)},
        word_set("cls_dropout conv_act conv_groups pooler_dropout"),
    ),
    dropped=r"lm_predictions\.|mask_predictions\.",
))  # fmt: skip
