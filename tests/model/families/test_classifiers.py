"""What config.json says of a head: every kind there and back, and refusals that name the key."""

import pytest

from groundup.core import ArtifactError
from groundup.model import HeadConfig, NormConfig
from groundup.model.families import FAMILIES
from groundup.model.families.classifiers import (
    _classification_kind,
    _parse_label_names,
    has_head,
    read_head,
    without_own_output_weights,
    write_head,
)
from tests.model.families.bert_gpt import MASKED, decoder, encoder, modern
from tests.model.shapes import tiny_config

bert, gpt2, modernbert, qwen3 = (FAMILIES[name] for name in ("bert", "gpt2", "modernbert", "qwen3"))

NORM = NormConfig(kind="layer", eps=1e-5, bias=False)
LAYER = {"inner": "gelu", "inner_bias": False, "inner_norm": NORM}


@pytest.mark.parametrize("family, config, head", [
    (bert, encoder(), HeadConfig(inner="tanh", labels=3, names=("a", "b", "c"))),
    (bert, encoder(), HeadConfig(kind="number", inner="tanh", labels=1)),
    (bert, encoder(), HeadConfig(kind="token", labels=4)),
    (bert, encoder(), HeadConfig(kind="token", names=("start", "end"))),
    (modernbert, modern(), HeadConfig(pooling="mean", **LAYER)),
    (modernbert, modern(), HeadConfig(kind="token", labels=1, **LAYER)),
    (gpt2, decoder("pre"), HeadConfig(pooling="last", bias=False, labels=5)),
    (qwen3, tiny_config(), HeadConfig(kind="number", labels=1, pooling="last", bias=False)),
])  # fmt: skip
def test_heads_go_there_and_back(family, config, head):
    written = write_head(head, family.to_hf_config(config), config)
    assert written is not None
    assert has_head(written.values)
    assert read_head(written.values, config)[0] == head
    assert family.from_hf_config(written.values) == without_own_output_weights(config)


@pytest.mark.parametrize("family, config, head", [
    (bert, encoder(), HeadConfig()),
    (bert, encoder(), HeadConfig(inner="tanh", pooling="mean")),
    (bert, encoder(), HeadConfig(kind="token", bias=False)),
    (modernbert, modern(), HeadConfig(inner="tanh", inner_bias=False, inner_norm=NORM)),
    (modernbert, modern(), HeadConfig(inner="gelu", inner_bias=False)),
    (gpt2, decoder("pre"), HeadConfig(pooling="last")),
    (bert, encoder(), HeadConfig(kind="embedding", inner="tanh")),
])  # fmt: skip
def test_what_a_family_cannot_say_of_a_head_is_not_written(family, config, head):
    assert write_head(head, family.to_hf_config(config), config) is None


def test_what_does_not_matter_to_a_head_does_not_keep_it_from_being_written():
    token = HeadConfig(kind="token", pooling="mean", names=("LABEL_0", "LABEL_1"), inner_bias=False)
    assert write_head(token, bert.to_hf_config(encoder()), encoder()) is not None
    number = HeadConfig(kind="number", inner="tanh", unit=False)
    assert write_head(number, bert.to_hf_config(encoder()), encoder()) is not None


def test_a_head_takes_the_place_of_what_reads_tokens():
    config = without_own_output_weights(encoder(output=MASKED, tied_embeddings=False))
    assert config == encoder()
    assert _classification_kind(bert.to_hf_config(encoder(output=MASKED))) is None
    assert (
        _classification_kind({"architectures": ["x", "QwenForSequenceClassification"]})
        == "sequence"
    )
    for silent in (None, []):
        assert _classification_kind({"architectures": silent}) is None
    for nonsense in (3, "BertForTokenClassification", {"a": 1}, [7]):
        with pytest.raises(ArtifactError, match="expected a list of names"):
            _classification_kind({"architectures": nonsense})


SAID = bert.to_hf_config(encoder()) | {"architectures": ["BertForSequenceClassification"]}


def test_two_classes_are_meant_where_nothing_is_said():
    assert _parse_label_names({}) == ("LABEL_0", "LABEL_1")
    assert read_head(SAID, encoder())[0] == HeadConfig(inner="tanh")


@pytest.mark.parametrize("changes, message", [
    ({"id2label": {}}, "id2label={}; expected a name for each id"),
    ({"id2label": {"1": "a"}}, "id2label="),
    ({"id2label": {"0": 7}}, "id2label="),
    ({"id2label": ["a"]}, "id2label="),
    ({"num_labels": 0}, "num_labels=0"),
    ({"model_type": "t5", "architectures": ["T5ForSequenceClassification"]},
     "is of a T5ForSequenceClassification; groundup supports classifiers of albert, bert,"),
    ({"groundup_head": {"kind": "word"}}, "an invalid head: HeadConfig.kind"),
    ({"groundup_head": 3}, "an invalid head"),
])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_is_named(changes, message):
    with pytest.raises(ArtifactError, match=message):
        read_head(SAID | changes, encoder())


@pytest.mark.parametrize("changes, message", [
    ({"classifier_pooling": "max"}, "classifier_pooling='max'"),
    ({"classifier_activation": "relu"}, "classifier_activation='relu'"),
    ({"classifier_bias": 1}, "classifier_bias=1"),
])  # fmt: skip
def test_what_modernbert_says_and_we_do_not_compute_is_named(changes, message):
    values = modernbert.to_hf_config(modern()) | {
        "architectures": ["ModernBertForSequenceClassification"]
    }
    with pytest.raises(ArtifactError, match=message):
        read_head(values | changes, modern())
