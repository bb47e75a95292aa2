"""BERT and RoBERTa: the peers' states and logits, with the masked head and without."""

import json

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ArtifactError, ConfigError
from groundup.model import (
    AttentionConfig,
    EmbeddingConfig,
    OutputConfig,
    PositionConfig,
    Transformer,
    load,
    save,
)
from groundup.model.families.bert import BERT, ROBERTA, _modernise_name
from tests.model.families.bert_gpt import (
    MASKED,
    SHAPES,
    check_gradients,
    check_peer,
    check_written,
    encoder,
    opened,
    rewritten,
    run,
)


@pytest.mark.parametrize("name", SHAPES["bert"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened(name, tmp_path):
    check_peer("bert", name)
    check_written("bert", name, tmp_path)


def test_gradients_are_the_peers():
    check_gradients("bert", "three_heads")


@pytest.mark.parametrize("config", [
    encoder(), encoder(output=MASKED), encoder(output=MASKED, tied_embeddings=False),
    encoder(output=OutputConfig(transform="dense", activation="relu", bias=True),
            feedforward=encoder().feedforward.model_copy(update={"activation": "relu"})),
])  # fmt: skip
def test_configurations_go_there_and_back(config):
    assert BERT.from_hf_config(BERT.to_hf_config(config)) == config


@pytest.mark.parametrize("config, message", [
    (encoder(embedding=EmbeddingConfig(norm=True)), "EmbeddingConfig.types=0 .* which has 1"),
    (encoder(output=OutputConfig(transform="dense")), "OutputConfig.bias=False"),
    (encoder(attention=AttentionConfig(heads=2, kv_heads=1, head_dim=4, qk_norm="none",
                                       bias="all")), "kv_heads=1"),
])  # fmt: skip
def test_what_a_bert_cannot_be_is_not_written(config, message):
    with pytest.raises(ConfigError, match=message):
        BERT.to_hf_config(config)


def old(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors as files of 2019 name them, with what stands beside the masked model."""
    named = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in state.items()
    }
    assert sum(name.endswith(("gamma", "beta")) for name in named) == 12
    return named | {
        "bert.embeddings.position_ids": torch.arange(18)[None],
        "bert.pooler.dense.weight": torch.ones(12, 12),
        "bert.pooler.dense.bias": torch.ones(12),
        "cls.seq_relationship.weight": torch.ones(2, 12),
        "cls.seq_relationship.bias": torch.ones(2),
        "cls.predictions.decoder.weight": state["bert.embeddings.word_embeddings.weight"].clone(),
        "cls.predictions.decoder.bias": state["cls.predictions.bias"].clone(),
    }


@pytest.mark.parametrize("classes", [..., ["BertForPreTraining"], ["BertForMaskedLM"]])
def test_files_of_2019_open(tmp_path, classes):
    model, expected = opened("bert", "three_heads")
    values = {"architectures": classes, "layer_norm_eps": 1e-12, "tie_word_embeddings": ...}
    again = rewritten("bert", "three_heads", tmp_path, old, **values)
    assert again.config == model.config
    assert torch.equal(run(again, expected), run(model, expected))


def bare(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The encoder's tensors as BertModel saves them, with its pooler."""
    encoders = {name.removeprefix("bert."): t for name, t in state.items() if "cls." not in name}
    return encoders | {
        "pooler.dense.weight": torch.ones(12, 12),
        "pooler.dense.bias": torch.ones(12),
    }


@pytest.mark.parametrize("edit", [bare, dict, old])
def test_an_encoder_without_a_masked_head_opens_as_one(tmp_path, edit):
    model, expected = opened("bert", "three_heads")
    again = rewritten("bert", "three_heads", tmp_path, edit, architectures=["BertModel"])
    assert again.config.output == OutputConfig(logits=False)
    assert torch.equal(run(again, expected), run(model, expected))
    save(again, tmp_path / "saved")
    assert load(tmp_path / "saved").config == again.config


def test_a_masked_model_without_its_head_is_refused_and_nothing_is_made_up(tmp_path):
    with pytest.raises(ArtifactError, match="lacks lm_bias, transform.dense.bias"):
        rewritten("bert", "three_heads", tmp_path, bare)
    with pytest.raises(ArtifactError, match="unexpected qa_outputs.weight"):
        rewritten("bert", "three_heads", tmp_path, architectures=["BertForQuestionAnswering"],
                  edit=lambda s: bare(s) | {"qa_outputs.weight": torch.ones(2, 12)})  # fmt: skip


@pytest.mark.parametrize("changes, message", [
    ({"position_embedding_type": "relative_key"}, "position_embedding_type='relative_key'"),
    ({"is_decoder": True}, "is_decoder=True"),
    ({"add_cross_attention": True}, "add_cross_attention=True"),
    ({"hidden_act": "mish"}, "hidden_act='mish'"),
    ({"hidden_size": "8"}, "hidden_size='8'"),
    ({"num_hidden_layers": 2**30}, "num_hidden_layers=1073741824"),
    ({"num_attention_heads": 0}, "num_attention_heads=0"),
    ({"num_attention_heads": 3}, "width 8, which 3 heads do not"),
    ({"vocab_size": None}, "no vocab_size"),
    ({"type_vocab_size": -1}, "type_vocab_size=-1"),
    ({"layer_norm_eps": "small"}, "layer_norm_eps='small'"),
    ({"tie_word_embeddings": 3}, "tie_word_embeddings=3"),
])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_names_the_key(changes, message):
    with pytest.raises(ArtifactError, match=message):
        BERT.from_hf_config(BERT.to_hf_config(encoder(output=MASKED)) | changes)


def test_only_norms_have_old_names():
    assert _modernise_name("cls.predictions.transform.LayerNorm.beta").endswith("LayerNorm.bias")
    assert _modernise_name("layer.gamma") == "layer.gamma"


def test_names_of_an_encoder_alone_have_no_prefix():
    state = Transformer(encoder(), seed=0).state_dict()
    assert all(
        n.startswith(("embeddings.", "encoder.layer."))
        for n in BERT.to_hf_state_dict(state, encoder())
    )
    assert_close(
        BERT.to_hf_state_dict(state, encoder())["embeddings.LayerNorm.weight"], torch.ones(8)
    )


def test_an_encoder_without_a_masked_head_has_no_logits(tmp_path):
    _, expected = opened("bert", "three_heads")
    bare = rewritten("bert", "three_heads", tmp_path, dict, architectures=["BertModel"])
    with pytest.raises(ConfigError, match="no masked-LM head and so no logits"):
        bare.logits(expected["ids"])
    assert bare(expected["ids"]).shape[-1] == bare.config.width


def roberta(offset: int = 2, **parts):
    """A small RoBERTa."""
    return encoder(position=PositionConfig(kind="learned", offset=offset), **parts)


@pytest.mark.parametrize("name", SHAPES["roberta"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened_of_roberta(
    name, tmp_path
):
    check_peer("roberta", name)
    check_written("roberta", name, tmp_path)


@pytest.mark.parametrize("config", [
    roberta(), roberta(1, output=MASKED), roberta(6, output=MASKED, tied_embeddings=False)
])  # fmt: skip
def test_configurations_go_there_and_back_of_roberta(config):
    assert ROBERTA.from_hf_config(ROBERTA.to_hf_config(config)) == config


def test_padding_is_the_published_one_where_nothing_is_said():
    values = ROBERTA.to_hf_config(roberta())
    del values["pad_token_id"]
    assert ROBERTA.from_hf_config(values).position.offset == 2
    assert ROBERTA.from_hf_config(values).context_length == roberta().context_length


def test_a_saved_model_keeps_the_padding_that_its_places_count_from(tmp_path):
    save(Transformer(roberta(4), seed=0), tmp_path)
    for file in ("config.json", "generation_config.json"):
        assert json.loads((tmp_path / file).read_text())["pad_token_id"] == 3


def test_old_files_repeat_the_decoder(tmp_path):
    def repeated(state):
        word = state["roberta.embeddings.word_embeddings.weight"]
        return state | {
            "lm_head.decoder.weight": word.clone(),
            "lm_head.decoder.bias": state["lm_head.bias"].clone(),
            "roberta.embeddings.position_ids": torch.arange(20)[None],
        }

    model, expected = opened("roberta", "published")
    again = rewritten("roberta", "published", tmp_path, repeated)
    assert torch.equal(run(again, expected), run(model, expected))


@pytest.mark.parametrize("changes, message", [
    ({"pad_token_id": None}, "pad_token_id=None; roberta needs"),
    ({"pad_token_id": 2.5}, "pad_token_id=2.5"),
    ({"pad_token_id": 13}, "max_position_embeddings=14.*leaves no position"),
    ({"max_position_embeddings": "long"}, "max_position_embeddings='long'"),
])  # fmt: skip
def test_padding_that_cannot_be_names_the_key(changes, message):
    with pytest.raises(ArtifactError, match=message):
        ROBERTA.from_hf_config(ROBERTA.to_hf_config(roberta()) | changes)


def test_a_bert_is_no_roberta():
    with pytest.raises(ConfigError, match="cannot be written as roberta"):
        ROBERTA.to_hf_config(encoder())
