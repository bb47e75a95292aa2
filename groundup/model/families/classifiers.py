"""Classifiers in Hugging Face files: their tensors, and their keys in config.json.

    BERT and alike  first state, dense layer with an activation, classes
    ModernBERT      first or mean state, dense layer and norm, classes
    decoders        last state, classes without a bias
    of tokens       each token's state; ModernBERT's dense layer and norm come before the classes
    of spans        question answering: each token is the first of the answer, or the last
    discriminator   ELECTRA's: each token's state, dense layer, one number

A sequence classifier with one class is a regression head. A head that a family's files cannot
express is written under groundup's own key.
Source: transformers 5.24, models/*/modeling_*.py and modeling_layers.py.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from groundup.core import ArtifactError, ConfigError

from ..configuration.config import ModelConfig, OutputConfig
from ..heads import HeadConfig, Pooling
from .encoders.outline import DISCRIMINATOR
from .names import NamePairs, get_architectures, get_bool, get_int, require_supported

HEAD_KEY = "groundup_head"
CLASSIFIER_SUFFIXES = {
    "ForSequenceClassification": "sequence", "ForTokenClassification": "token",
    "ForQuestionAnswering": "span", DISCRIMINATOR: "discriminator",
}  # fmt: skip
"""Suffixes of the names of classes with a head, and what it classifies."""
SPAN_LABELS = ("start", "end")
"""Names of the two labels of a head of tokens that answers questions."""
BASE_SUFFIXES = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "Model")
"""Suffixes of the names of classes without one."""
POOLINGS: dict[str, Pooling] = {"cls": "first", "mean": "mean"}
"""ModernBERT's names of poolings, and groundup's."""


class HeadLayout(NamedTuple):
    """How a family's files store a head."""

    pairs: NamePairs = ()
    """Prefixes of its tensors' names, Hugging Face's and groundup's."""
    fields: dict[str, Any] = {}
    """Fields of HeadConfig that every such head has."""
    prefix: str = ""
    """Prefix of the base model's tensors in a model with a head."""


CLASSES = (("classifier.", "classes."),)
SPANS = (("qa_outputs.", "classes."),)
SCORE = (("score.", "classes."),)
DENSE = (("classifier.dense.", "dense."), ("classifier.out_proj.", "classes."))
REPLACED = (
    ("discriminator_predictions.dense.", "dense."),
    ("discriminator_predictions.dense_prediction.", "classes."),
)
NORMED = (("head.dense.", "dense."), ("head.norm.", "norm."), *CLASSES)
LAST_TOKEN = {"pooling": "last", "bias": False}

HEAD_LAYOUTS: dict[tuple[str, str], HeadLayout] = {
    ("electra", "discriminator"): HeadLayout(REPLACED, {"inner": "gelu"}, "electra."),
    ("modernbert", "sequence"): HeadLayout(NORMED, {"inner": "gelu"}, "model."),
    ("modernbert", "token"): HeadLayout(NORMED, {"inner": "gelu"}, "model."),
    ("gpt2", "sequence"): HeadLayout(SCORE, LAST_TOKEN),
    ("gpt2", "token"): HeadLayout(CLASSES),
    ("openai-gpt", "sequence"): HeadLayout(SCORE, LAST_TOKEN),
    ("olmo2", "sequence"): HeadLayout(SCORE, LAST_TOKEN),
}
"""By model_type and what is classified: the sequence, each of its tokens, or a span of them."""
for _family in ("qwen3", "qwen2", "llama", "mistral", "mixtral"):
    HEAD_LAYOUTS[_family, "sequence"] = HeadLayout(SCORE, LAST_TOKEN)
    HEAD_LAYOUTS[_family, "token"] = HeadLayout(SCORE)
for _family, _prefix, _dense, _inner in (
    ("bert", "bert.", "bert.pooler.dense.", "tanh"), ("roberta", "roberta.", "", "tanh"),
    ("xlm-roberta", "roberta.", "", "tanh"), ("mpnet", "mpnet.", "", "tanh"),
    ("electra", "electra.", "", "gelu"), ("distilbert", "distilbert.", "pre_classifier.", "relu"),
    ("albert", "albert.", "albert.pooler.", "tanh"),
    ("deberta-v2", "deberta.", "pooler.dense.", "gelu"),
):  # fmt: skip
    _pairs = ((_dense, "dense."), *CLASSES) if _dense else DENSE
    HEAD_LAYOUTS[_family, "sequence"] = HeadLayout(_pairs, {"inner": _inner}, _prefix)
    HEAD_LAYOUTS[_family, "token"] = HeadLayout(CLASSES, prefix=_prefix)
    HEAD_LAYOUTS[_family, "span"] = HeadLayout(SPANS, prefix=_prefix)
OWN_HEAD_LAYOUT = HeadLayout((("head.", ""),))


class HeadFiles(NamedTuple):
    """The config.json of a model with a head, and how the head's tensors are stored."""

    values: dict[str, Any]
    layout: HeadLayout


def without_own_output_weights(config: ModelConfig) -> ModelConfig:
    """The configuration with no output weights of its own: heads read hidden states only.

    A decoder keeps its logits, from the embeddings.
    """
    output = OutputConfig(logits=config.kind != "encoder")
    return config.model_copy(update={"output": output, "tied_embeddings": True})


def _classification_kind(values: Mapping[str, Any]) -> str | None:
    """What a config.json classifies, as in CLASSIFIER_SUFFIXES; None if it is no classifier.

    >>> _classification_kind({"architectures": ["BertForTokenClassification"]})
    'token'
    """
    names = get_architectures(values)
    kinds = CLASSIFIER_SUFFIXES.items()
    return next((kind for end, kind in kinds for name in names if name.endswith(end)), None)


def has_head(values: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a head."""
    return HEAD_KEY in values or _classification_kind(values) is not None


def read_head(values: Mapping[str, Any], config: ModelConfig) -> tuple[HeadConfig, HeadLayout]:
    """The head that a config.json describes; `config` is its base model's.

    Raises ArtifactError for an unsupported head.
    """
    try:
        if HEAD_KEY in values:
            return HeadConfig(**values[HEAD_KEY]), OWN_HEAD_LAYOUT
        family, kind = str(values["model_type"]), _classification_kind(values)
        layout = HEAD_LAYOUTS.get((family, str(kind)))
        if layout is None:
            raise ArtifactError(
                f"config.json is of a {values['architectures'][0]}; groundup supports classifiers "
                f"of {', '.join(sorted({each for each, _ in HEAD_LAYOUTS}))}."
            )
        names = _parse_label_names(values)
        parts = dict(layout.fields)
        if family == "modernbert":
            parts |= _modernbert_fields(values, config)
        if kind == "span":
            return HeadConfig(kind="token", names=SPAN_LABELS, **parts), layout
        if kind == "discriminator":
            require_supported(values, {"hidden_act": ("gelu",)})
            return HeadConfig(kind="token", labels=1, **parts), layout
        parts["kind"] = "number" if len(names) == 1 and kind == "sequence" else kind
        parts["names"] = () if names == _default_label_names(len(names)) else names
        return HeadConfig(labels=len(names), **parts), layout
    except (ConfigError, TypeError) as error:
        raise ArtifactError(f"config.json has an invalid head: {error}") from None


def _modernbert_fields(values: Mapping[str, Any], config: ModelConfig) -> dict[str, Any]:
    """HeadConfig's fields from a ModernBERT config.json.

    Raises ArtifactError for an unsupported pooling or activation.
    """
    supported = {"classifier_pooling": (*POOLINGS,), "classifier_activation": ("gelu",)}
    require_supported(values, supported)
    has_bias = get_bool(values, "classifier_bias", False)
    parts = {"inner_bias": has_bias, "inner_norm": config.norm}
    if _classification_kind(values) != "token":
        parts["pooling"] = POOLINGS[values.get("classifier_pooling", "cls")]
    return parts


def _parse_label_names(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names of a config.json in the order of their ids; two classes by default.

    >>> _parse_label_names({"id2label": {"0": "bad", "1": "good"}})
    ('bad', 'good')

    Raises ArtifactError for ids that do not count from 0, and for names that are not strings.
    """
    labels = values.get("id2label")
    if labels is None:
        return _default_label_names(get_int(values, "num_labels", "classifier", 2, maximum=100_000))
    names = [labels.get(str(i)) for i in range(len(labels))] if isinstance(labels, Mapping) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise ArtifactError(
            f"config.json has id2label={str(labels)[:80]}; expected a name for each id from 0 on."
        )
    return tuple(str(name) for name in names)


def _default_label_names(count: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{i}" for i in range(count))


def write_head(head: HeadConfig, values: dict[str, Any], config: ModelConfig) -> HeadFiles | None:
    """The config.json of a model with a head; None if its family cannot express it.

    values  the config.json of the base model
    config  the base model's configuration
    """
    kind = "sequence" if head.kind == "number" else head.kind
    kind = "span" if kind == "token" and head.names == SPAN_LABELS else kind
    is_electra = (values["model_type"], values.get("hidden_act")) == ("electra", "gelu")
    if is_electra and kind == "token" and head.inner == "gelu":
        kind = "discriminator"
    layout = HEAD_LAYOUTS.get((values["model_type"], kind))
    if layout is None:
        return None
    title = values["architectures"][0]
    for suffix in BASE_SUFFIXES:
        title = title.removesuffix(suffix)
    names = head.names or _default_label_names(1 if head.kind == "number" else head.labels)
    suffix = next(end for end, each in CLASSIFIER_SUFFIXES.items() if each == kind)
    written = values | {
        "architectures": [f"{title}{suffix.removeprefix(title)}"],
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if values["model_type"] == "modernbert":
        hf_names = {pooling: name for name, pooling in POOLINGS.items()}
        written["classifier_pooling"] = hf_names[head.pooling]
        written |= {"classifier_activation": "gelu", "classifier_bias": head.inner_bias}
    read_back, _ = read_head(written, config)
    is_same = _canonical_head(read_back) == _canonical_head(head)
    return HeadFiles(written, layout) if is_same else None


def _canonical_head(head: HeadConfig) -> HeadConfig:
    """The head with every field that does not affect its kind reset to the default."""
    default = HeadConfig()
    unused = [] if head.kind == "embedding" else ["unit"]
    unused += ["pooling"] if head.kind == "token" else []
    unused += ["inner_bias"] if head.inner == "none" else []
    unused += ["labels"] if head.kind in ("number", "embedding") else []
    unused += ["names"] if head.names == _default_label_names(head.labels) else []
    return head.model_copy(update={name: getattr(default, name) for name in unused})
