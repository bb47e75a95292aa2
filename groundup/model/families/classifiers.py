"""Classifiers in Hugging Face files: their tensors, and their keys in config.json.

    BERT, RoBERTa   first state, dense layer with tanh, classes
    ModernBERT      first or mean state, dense layer and norm, classes
    decoders        last state, classes without a bias
    of tokens       each token's state; ModernBERT's dense layer and norm come before the classes

A sequence classifier with one class is a regression head. A head that a family's files cannot
express is written under groundup's own key.
Source: transformers 5.24, models/*/modeling_*.py and modeling_layers.py.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from groundup.core import ArtifactError, ConfigError

from ..config import ModelConfig, OutputConfig
from ..heads import HeadConfig, Pooling
from .names import Pairs, answered, architectures, counted, only

KEY = "groundup_head"
CLASSIFIERS = ("ForSequenceClassification", "ForTokenClassification")
"""Suffixes of the names of classes with a head."""
HEADLESS = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "Model")
"""Suffixes of the names of classes without one."""
POOLINGS: dict[str, Pooling] = {"cls": "first", "mean": "mean"}
"""ModernBERT's names of poolings, and groundup's."""


class Place(NamedTuple):
    """How a family's files store a head."""

    pairs: Pairs = ()
    """Prefixes of its tensors' names, Hugging Face's and groundup's."""
    parts: dict[str, Any] = {}
    """Fields of HeadConfig that every such head has."""
    prefix: str = ""
    """Prefix of the base model's tensors in a model with a head."""


CLASSES = (("classifier.", "classes."),)
SCORE = (("score.", "classes."),)
POOLED = (("bert.pooler.dense.", "dense."), *CLASSES)
DENSE = (("classifier.dense.", "dense."), ("classifier.out_proj.", "classes."))
NORMED = (("head.dense.", "dense."), ("head.norm.", "norm."), *CLASSES)
LAST = {"pooling": "last", "bias": False}

PLACES: dict[tuple[str, str], Place] = {
    ("bert", "sequence"): Place(POOLED, {"inner": "tanh"}, "bert."),
    ("bert", "token"): Place(CLASSES, prefix="bert."),
    ("roberta", "sequence"): Place(DENSE, {"inner": "tanh"}, "roberta."),
    ("roberta", "token"): Place(CLASSES, prefix="roberta."),
    ("modernbert", "sequence"): Place(NORMED, {"inner": "gelu"}, "model."),
    ("modernbert", "token"): Place(NORMED, {"inner": "gelu"}, "model."),
    ("gpt2", "sequence"): Place(SCORE, LAST),
    ("gpt2", "token"): Place(CLASSES),
    ("openai-gpt", "sequence"): Place(SCORE, LAST),
    ("olmo2", "sequence"): Place(SCORE, LAST),
}
"""By model_type and what is classified: the sequence, or each of its tokens."""
for _family in ("qwen3", "qwen2", "llama", "mistral", "mixtral"):
    PLACES[_family, "sequence"], PLACES[_family, "token"] = Place(SCORE, LAST), Place(SCORE)
OWN = Place((("head.", ""),))


class Placed(NamedTuple):
    """A head and how its tensors are stored."""

    head: HeadConfig
    place: Place


class Written(NamedTuple):
    """The config.json of a model with a head, and how the head's tensors are stored."""

    values: dict[str, Any]
    place: Place


def without_output(config: ModelConfig) -> ModelConfig:
    """The configuration without the output layer: heads read hidden states only."""
    output = OutputConfig(logits=config.kind != "encoder")
    return config.model_copy(update={"output": output, "tied_embeddings": True})


def class_of(values: Mapping[str, Any]) -> str | None:
    """What a config.json classifies: `sequence` or `token`; None if it is no classifier.

    >>> class_of({"architectures": ["BertForTokenClassification"]})
    'token'
    """
    names = architectures(values)
    suffixes = (end for end in CLASSIFIERS for name in names if name.endswith(end))
    suffix = next(suffixes, None)
    return suffix and suffix.removeprefix("For").removesuffix("Classification").lower()


def has_head(values: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a head."""
    return KEY in values or class_of(values) is not None


def read_head(values: Mapping[str, Any], config: ModelConfig) -> Placed:
    """The head that a config.json describes; `config` is its base model's.

    Raises ArtifactError for an unsupported head.
    """
    try:
        if KEY in values:
            return Placed(HeadConfig(**values[KEY]), OWN)
        family, kind = str(values["model_type"]), class_of(values)
        layout = PLACES.get((family, str(kind)))
        if layout is None:
            raise ArtifactError(
                f"config.json is of a {values['architectures'][0]}; groundup supports classifiers "
                f"of {', '.join(sorted({each for each, _ in PLACES}))}."
            )
        names = labels_of(values)
        parts = layout.parts | (modernbert_parts(values, config) if family == "modernbert" else {})
        parts["kind"] = "number" if len(names) == 1 and kind == "sequence" else kind
        parts["names"] = () if names == plain_names(len(names)) else names
        return Placed(HeadConfig(labels=len(names), **parts), layout)
    except (ConfigError, TypeError) as error:
        raise ArtifactError(f"config.json has an invalid head: {error}") from None


def modernbert_parts(values: Mapping[str, Any], config: ModelConfig) -> dict[str, Any]:
    """HeadConfig's fields from a ModernBERT config.json.

    Raises ArtifactError for an unsupported pooling or activation.
    """
    only(values, {"classifier_pooling": (*POOLINGS,), "classifier_activation": ("gelu",)})
    has_bias = answered(values, "classifier_bias", False)
    parts = {"inner_bias": has_bias, "inner_norm": config.norm}
    is_token = class_of(values) == "token"
    return parts | (
        {} if is_token else {"pooling": POOLINGS[values.get("classifier_pooling", "cls")]}
    )


def labels_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The class names of a config.json in the order of their ids; two classes by default.

    >>> labels_of({"id2label": {"0": "bad", "1": "good"}})
    ('bad', 'good')

    Raises ArtifactError for ids that do not count from 0, and for names that are not strings.
    """
    labels = values.get("id2label")
    if labels is None:
        return plain_names(counted(values, "num_labels", "classifier", 2, most=100_000))
    names = [labels.get(str(i)) for i in range(len(labels))] if isinstance(labels, Mapping) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise ArtifactError(
            f"config.json has id2label={str(labels)[:80]}; expected a name for each id from 0 on."
        )
    return tuple(str(name) for name in names)


def plain_names(count: int) -> tuple[str, ...]:
    return tuple(f"LABEL_{i}" for i in range(count))


def write_head(head: HeadConfig, values: dict[str, Any], config: ModelConfig) -> Written | None:
    """The config.json of a model with a head; None if its family cannot express it.

    values  the config.json of the base model
    config  the base model's configuration
    """
    kind = "sequence" if head.kind == "number" else head.kind
    layout = PLACES.get((values["model_type"], kind))
    if layout is None:
        return None
    title = values["architectures"][0]
    for suffix in HEADLESS:
        title = title.removesuffix(suffix)
    names = head.names or plain_names(1 if head.kind == "number" else head.labels)
    written = values | {
        "architectures": [f"{title}For{kind.title()}Classification"],
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if values["model_type"] == "modernbert":
        hf_names = {pooling: name for name, pooling in POOLINGS.items()}
        written["classifier_pooling"] = hf_names[head.pooling]
        written |= {"classifier_activation": "gelu", "classifier_bias": head.inner_bias}
    read_back = read_head(written, config).head
    return Written(written, layout) if essence(read_back) == essence(head) else None


def essence(head: HeadConfig) -> HeadConfig:
    """The head with every field that does not affect its kind reset to the default."""
    default = HeadConfig()
    unused = [] if head.kind == "embedding" else ["unit"]
    unused += ["pooling"] if head.kind == "token" else []
    unused += ["inner_bias"] if head.inner == "none" else []
    unused += ["labels"] if head.kind in ("number", "embedding") else []
    unused += ["names"] if head.names == plain_names(head.labels) else []
    return head.model_copy(update={name: getattr(default, name) for name in unused})
