"""Heads in peers' files: where a classifier's tensors are, and what config.json says of it.

    BERT, RoBERTa   the first state through a dense layer with tanh, then the classes
    ModernBERT      the first state or the mean through a dense layer and a norm, then the classes
    decoders        the last state, and classes without a bias
    of tokens       each token's state; ModernBERT's layer and norm stand before its classes too

One class of a text is a number. A head that a family's files cannot say is written in our words.
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
"""How a peer's classes of models with a head end."""
HEADLESS = ("ForMaskedLM", "ForCausalLM", "LMHeadModel", "Model")
"""How those of models without one end."""
POOLINGS: dict[str, Pooling] = {"cls": "first", "mean": "mean"}
"""ModernBERT's, and ours."""


class Place(NamedTuple):
    """Where a family's files keep a head."""

    pairs: Pairs = ()
    """Beginnings of its tensors' names, theirs and ours."""
    parts: dict[str, Any] = {}
    """What is the same in every such head."""
    prefix: str = ""
    """How the model's own names begin where a head stands beside it."""


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
"""By model_type and what has classes: the text, or each of its tokens."""
for _family in ("qwen3", "qwen2", "llama", "mistral", "mixtral"):
    PLACES[_family, "sequence"], PLACES[_family, "token"] = Place(SCORE, LAST), Place(SCORE)
OWN = Place((("head.", ""),))


class Placed(NamedTuple):
    """A head, and where its tensors are."""

    head: HeadConfig
    place: Place


class Written(NamedTuple):
    """The config.json of a model with a head, and where the head's tensors go."""

    values: dict[str, Any]
    place: Place


def without_output(config: ModelConfig) -> ModelConfig:
    """The configuration of the hidden states alone, which is all that a head reads."""
    output = OutputConfig(logits=config.kind != "encoder")
    return config.model_copy(update={"output": output, "tied_embeddings": True})


def class_of(values: Mapping[str, Any]) -> str | None:
    """What a config.json has classes of: `sequence` or `token`; None if of nothing.

    >>> class_of({"architectures": ["BertForTokenClassification"]})
    'token'
    """
    names = architectures(values)
    found = (end for end in CLASSIFIERS for name in names if name.endswith(end))
    ending = next(found, None)
    return ending and ending.removeprefix("For").removesuffix("Classification").lower()


def has_head(values: Mapping[str, Any]) -> bool:
    """Whether a config.json describes a head."""
    return KEY in values or class_of(values) is not None


def read_head(values: Mapping[str, Any], config: ModelConfig) -> Placed:
    """The head that a config.json describes; `config` is that of its model.

    Raises ArtifactError for one that we do not compute.
    """
    try:
        if KEY in values:
            return Placed(HeadConfig(**values[KEY]), OWN)
        family, kind = str(values["model_type"]), class_of(values)
        place = PLACES.get((family, str(kind)))
        if place is None:
            raise ArtifactError(
                f"config.json is of a {values['architectures'][0]}; groundup opens classifiers "
                f"of {', '.join(sorted({each for each, _ in PLACES}))}."
            )
        names = labels_of(values)
        parts = place.parts | (modernbert_parts(values, config) if family == "modernbert" else {})
        parts["kind"] = "number" if len(names) == 1 and kind == "sequence" else kind
        parts["names"] = () if names == plain_names(len(names)) else names
        return Placed(HeadConfig(labels=len(names), **parts), place)
    except (ConfigError, TypeError) as error:
        raise ArtifactError(f"config.json has a head that cannot be: {error}") from None


def modernbert_parts(values: Mapping[str, Any], config: ModelConfig) -> dict[str, Any]:
    """What ModernBERT's config.json says of the layer before its classes.

    Raises ArtifactError for a pooling or an activation that we do not compute.
    """
    only(values, {"classifier_pooling": (*POOLINGS,), "classifier_activation": ("gelu",)})
    has_bias = answered(values, "classifier_bias", False)
    parts = {"inner_bias": has_bias, "inner_norm": config.norm}
    is_token = class_of(values) == "token"
    return parts | (
        {} if is_token else {"pooling": POOLINGS[values.get("classifier_pooling", "cls")]}
    )


def labels_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of a config.json's classes, in the order of their ids; two where it says nothing.

    >>> labels_of({"id2label": {"0": "bad", "1": "good"}})
    ('bad', 'good')

    Raises ArtifactError for ids that are not counted from 0, and names that are no text.
    """
    named = values.get("id2label")
    if named is None:
        return plain_names(counted(values, "num_labels", "classifier", 2, most=100_000))
    names = [named.get(str(i)) for i in range(len(named))] if isinstance(named, Mapping) else []
    if not names or not all(isinstance(name, str) for name in names):
        raise ArtifactError(
            f"config.json has id2label={str(named)[:80]}; expected a name for each id from 0 on."
        )
    return tuple(str(name) for name in names)


def plain_names(count: int) -> tuple[str, ...]:
    """Names of classes that have none."""
    return tuple(f"LABEL_{i}" for i in range(count))


def write_head(head: HeadConfig, values: dict[str, Any], config: ModelConfig) -> Written | None:
    """What config.json says of a model with a head; None where its family cannot say that.

    values  the config.json of the model alone
    config  the model's configuration
    """
    kind = "sequence" if head.kind == "number" else head.kind
    place = PLACES.get((values["model_type"], kind))
    if place is None:
        return None
    title = values["architectures"][0]
    for ending in HEADLESS:
        title = title.removesuffix(ending)
    names = head.names or plain_names(1 if head.kind == "number" else head.labels)
    said = values | {
        "architectures": [f"{title}For{kind.title()}Classification"],
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if values["model_type"] == "modernbert":
        said["classifier_pooling"] = {ours: name for name, ours in POOLINGS.items()}[head.pooling]
        said |= {"classifier_activation": "gelu", "classifier_bias": head.inner_bias}
    found = read_head(said, config).head
    return Written(said, place) if essence(found) == essence(head) else None


def essence(head: HeadConfig) -> HeadConfig:
    """The head with every choice that does not matter to its kind as the default."""
    plain = HeadConfig()
    idle = [] if head.kind == "embedding" else ["unit"]
    idle += ["pooling"] if head.kind == "token" else []
    idle += ["inner_bias"] if head.inner == "none" else []
    idle += ["labels"] if head.kind in ("number", "embedding") else []
    idle += ["names"] if head.names == plain_names(head.labels) else []
    return head.model_copy(update={name: getattr(plain, name) for name in idle})
