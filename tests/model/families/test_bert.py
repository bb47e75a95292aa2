"""BERT and RoBERTa: the peers' states and logits, with the masked head and without."""

import json

import pytest
import torch
from torch.testing import assert_close

from groundup.core import ArtifactError, ConfigError
from groundup.model import (
    OutputConfig,
    PositionConfig,
    Transformer,
    load,
    save,
)
from groundup.model.families.encoders.bert import BERT, ROBERTA
from groundup.model.families.encoders.outline import _modernise_name
from tests.model.families.bert_gpt import (
    encoder,
    opened,
    rewritten,
    run,
)


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
    with pytest.raises(ArtifactError, match="is a classifier, which has no token logits"):
        rewritten("bert", "three_heads", tmp_path, architectures=["BertForQuestionAnswering"],
                  edit=lambda s: bare(s) | {"qa_outputs.weight": torch.ones(2, 12)})  # fmt: skip


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
