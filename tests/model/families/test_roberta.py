"""RoBERTa's words: places begin after the padding's, also in what we save."""

import json

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import PositionConfig, Transformer, save
from groundup.model.families.roberta import from_hf_config, to_hf_config
from tests.model.families.bert_gpt import (
    MASKED,
    SHAPES,
    check_peer,
    check_written,
    encoder,
    opened,
    rewritten,
    run,
)


def roberta(offset: int = 2, **parts):
    """A small RoBERTa."""
    return encoder(position=PositionConfig(kind="learned", offset=offset), **parts)


@pytest.mark.parametrize("name", SHAPES["roberta"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened(name, tmp_path):
    check_peer("roberta", name)
    check_written("roberta", name, tmp_path)


@pytest.mark.parametrize("config", [
    roberta(), roberta(1, output=MASKED), roberta(6, output=MASKED, tied_embeddings=False)
])  # fmt: skip
def test_configurations_go_there_and_back(config):
    assert from_hf_config(to_hf_config(config)) == config


def test_padding_is_the_published_one_where_nothing_is_said():
    values = to_hf_config(roberta())
    del values["pad_token_id"]
    assert from_hf_config(values).position.offset == 2
    assert from_hf_config(values).context_length == roberta().context_length


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
        from_hf_config(to_hf_config(roberta()) | changes)


def test_a_bert_is_no_roberta():
    with pytest.raises(ConfigError, match="cannot be written as roberta"):
        to_hf_config(encoder())
