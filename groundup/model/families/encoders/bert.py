"""BERT and the families that differ from it in names, keys and a few fields.

RoBERTa      another masked-LM head, and positions that start after the padding id
XLM-RoBERTa  RoBERTa with another vocabulary; written as a `roberta`, which computes the same
DistilBERT   no token types; sinusoidal positions are only another start of the table
ELECTRA      embeddings of another width; the generator predicts tokens, the discriminator has a
             head (weights/heads.py), and `load` opens its encoder
ALBERT       narrow embeddings, and groups of layers that apply one block each, not several
MPNet        RoBERTa without token types, and T5's biases by distance in addition; its 32 buckets
             and positions that start at 2 are constants in Transformers
Source: transformers 5.24, models/*/modeling_*.py; arXiv:1810.04805, arXiv:1907.11692,
arXiv:1911.02116, arXiv:1910.01108, arXiv:2003.10555, arXiv:1909.11942, arXiv:2004.09297.
"""

from groundup.core import ArtifactError

from ...configuration.config import ModelConfig
from ..keys import ConfigKeys, word_set
from ..names import get_int
from .outline import EMBEDDING_NAMES, EncoderOutline, Values, encoder_family, layer_names

LAYER = layer_names("encoder.layer.{}", """
    attention.self.query attention.self.key attention.self.value attention.output.dense
    attention.output.LayerNorm intermediate.dense output.dense output.LayerNorm
    """)  # fmt: skip
BERT_OUTLINE = EncoderOutline(
    "bert", "Bert", "bert", (*EMBEDDING_NAMES, *LAYER),
    ("cls.predictions.transform.dense.", "cls.predictions.transform.LayerNorm."),
    "cls.predictions.decoder", activation=None, default_class="ForMaskedLM",
    keys=ConfigKeys(frozenset(), ignored=word_set("""
        directionality pooler_fc_size pooler_num_attention_heads pooler_num_fc_layers
        pooler_size_per_head pooler_type
        """)),
)  # fmt: skip
BERT = encoder_family(BERT_OUTLINE)


def _read_offset(values: Values) -> int:
    padding = values.get("pad_token_id", 1)  # as in published models, whose positions start at 2
    rows, family = values.get("max_position_embeddings"), values.get("model_type", "roberta")
    if type(padding) is not int or padding < 0:
        what = f"config.json has pad_token_id={padding!r}"
        raise ArtifactError(f"{what}; {family} needs an id, after which its positions start.")
    if isinstance(rows, int) and rows <= padding + 1:
        what = f"config.json has max_position_embeddings={rows}, of which pad_token_id={padding}"
        raise ArtifactError(f"{what} leaves no position for a token.")
    return padding + 1


ROBERTA_OUTLINE = BERT_OUTLINE._replace(
    name="roberta", class_prefix="Roberta", prefix="roberta", activation="gelu",
    transform=("lm_head.dense.", "lm_head.layer_norm."), decoder="lm_head.decoder",
    offset=_read_offset,
    write_more=lambda config: {"pad_token_id": max(0, config.position.offset - 1)},
    keys=BERT_OUTLINE.keys._replace(used=word_set("pad_token_id")),
)  # fmt: skip
ROBERTA = encoder_family(ROBERTA_OUTLINE)
XLM_ROBERTA = encoder_family(
    ROBERTA_OUTLINE._replace(name="xlm-roberta", class_prefix="XLMRoberta", default_class="Model")
)
DISTIL_KEYS = {
    "hidden_size": "dim", "num_attention_heads": "n_heads", "num_hidden_layers": "n_layers",
}  # fmt: skip
DISTILBERT = encoder_family(EncoderOutline(
    "distilbert", "DistilBert", "distilbert", (*EMBEDDING_NAMES, *layer_names(
        "transformer.layer.{}", """
        attention.q_lin attention.k_lin attention.v_lin attention.out_lin sa_layer_norm ffn.lin1
        ffn.lin2 output_layer_norm
        """,
    )),
    ("vocab_transform.", "vocab_layer_norm."), "vocab_projector", activation=None, types=0,
    renamed=DISTIL_KEYS | {"intermediate_size": "hidden_dim", "hidden_act": "activation"},
    absent=word_set("layer_norm_eps type_vocab_size"),
    keys=ConfigKeys(frozenset(), ignored=word_set("""
        qa_dropout seq_classif_dropout sinusoidal_pos_embds tie_weights_
        """), aliases=DISTIL_KEYS),
))  # fmt: skip
EMBEDDING_SIZE = 128
"""Default of `embedding_size`."""


def _read_width(values: Values) -> Values:
    width = get_int(values, "embedding_size", "electra", EMBEDDING_SIZE)
    return {"embedding.width": 0 if width == values["hidden_size"] else width}


ELECTRA = encoder_family(EncoderOutline(
    "electra", "Electra", "electra",
    (*EMBEDDING_NAMES, ("embeddings_project.", "embed_proj."), *LAYER),
    ("generator_predictions.dense.", "generator_predictions.LayerNorm."), "generator_lm_head",
    read_more=_read_width, write_more=lambda config: {"embedding_size": config.embedding_width},
    keys=ConfigKeys(word_set("embedding_size"), ignored=word_set("""
        summary_activation summary_first_dropout summary_last_dropout summary_type summary_use_proj
        """)),
    dropped=r"discriminator_predictions\.",
))  # fmt: skip


def _read_groups(values: Values) -> Values:
    layers, groups = values["num_hidden_layers"], get_int(values, "num_hidden_groups", "albert", 1)
    if layers % groups:
        what = f"config.json has num_hidden_groups={groups}, which does not divide"
        raise ArtifactError(f"{what} num_hidden_layers={layers}; groundup supports equal groups.")
    width = get_int(values, "embedding_size", "albert", EMBEDDING_SIZE)
    return {"layers": groups, "repeats": layers // groups, "embedding.width": width}


def _write_groups(config: ModelConfig) -> Values:
    return {
        "num_hidden_layers": config.layers * config.repeats, "num_hidden_groups": config.layers,
        "embedding_size": config.embedding_width,
    }  # fmt: skip


ALBERT = encoder_family(EncoderOutline(
    "albert", "Albert", "albert",
    (*EMBEDDING_NAMES, ("encoder.embedding_hidden_mapping_in.", "embed_proj."), *layer_names(
        "encoder.albert_layer_groups.{}.albert_layers.0", """
        attention.query attention.key attention.value attention.dense attention.LayerNorm ffn
        ffn_output full_layer_layer_norm
        """,
    )),
    ("predictions.dense.", "predictions.LayerNorm."), "predictions.decoder", activation=None,
    act="gelu_new", read_more=_read_groups, write_more=_write_groups,
    keys=ConfigKeys(
        word_set("embedding_size num_hidden_groups"), {"inner_group_num": (1,)}, word_set("""
        classifier_dropout_prob down_scale_factor gap_size net_structure_type num_memory_blocks
        """),
    ),
    dropped=r"sop_classifier\.",
))  # fmt: skip
MPNET = encoder_family(ROBERTA_OUTLINE._replace(
    name="mpnet", class_prefix="MPNet", prefix="mpnet", default_class="Model", types=0,
    absent=word_set("type_vocab_size"), names=(
        *EMBEDDING_NAMES, ("encoder.relative_attention_bias.", "relative."),
        *layer_names("encoder.layer.{}", """
        attention.attn.q attention.attn.k attention.attn.v attention.attn.o attention.LayerNorm
        intermediate.dense output.dense output.LayerNorm
        """),
    ),
    offset=lambda values: 2,
    read_more=lambda values: {
        "position.kind": "buckets", "position.absolute": True, "position.buckets": 32,
        "position.max_distance": 128,
    },
    write_more=lambda config: {"relative_attention_num_buckets": 32, "pad_token_id": 1},
    keys=ConfigKeys(frozenset(), {"relative_attention_num_buckets": (32,)}),
))  # fmt: skip
