"""GPT-1's words: norms after the sums, and a `gelu` that is not BERT's."""

import pytest
import torch

from groundup.core import ArtifactError, ConfigError
from groundup.model import FeedForwardConfig
from groundup.model.families.gpt1 import from_hf_config, to_hf_config
from tests.model.families.bert_gpt import (
    SHAPES,
    check_peer,
    check_written,
    decoder,
    opened,
    rewritten,
    run,
)


@pytest.mark.parametrize("name", SHAPES["openai-gpt"])
def test_states_and_logits_are_the_peers_and_what_we_write_is_what_it_opened(name, tmp_path):
    check_peer("openai-gpt", name)
    check_written("openai-gpt", name, tmp_path)


def test_the_published_file_has_no_prefix_and_holds_the_mask(tmp_path):
    def published(state):
        plain = {name.removeprefix("transformer."): tensor for name, tensor in state.items()}
        masks = {f"h.{i}.attn.bias": torch.ones(1, 1, 18, 18).tril() for i in range(2)}
        return plain | masks | {"position_ids": torch.arange(18)}

    model, expected = opened("openai-gpt", "published")
    again = rewritten("openai-gpt", "published", tmp_path, published)
    assert torch.equal(run(again, expected), run(model, expected))


def test_configurations_go_there_and_back_and_gelu_is_the_approximation():
    for config in (decoder("post"), decoder("post", tied_embeddings=False)):
        assert to_hf_config(config)["afn"] == "gelu"
        assert from_hf_config(to_hf_config(config)) == config


def test_what_a_gpt1_cannot_be_is_not_written():
    for part, message in (
        ({"activation": "gelu"}, "FeedForwardConfig.activation='gelu' cannot .* 'gelu_tanh'"),
        ({"width": 30}, "FeedForwardConfig.width=30 cannot"),
    ):
        feed = decoder("post").feedforward.model_copy(update=part)
        assert isinstance(feed, FeedForwardConfig)
        with pytest.raises(ConfigError, match=message):
            to_hf_config(decoder("post", feedforward=feed))


@pytest.mark.parametrize("changes, message", [
    ({"afn": "gelu_new"}, "afn='gelu_new'; openai-gpt supports gelu, relu, silu, swish"),
    ({"n_positions": -1}, "n_positions=-1"),
    ({"layer_norm_epsilon": 0}, "layer_norm_epsilon=0"),
])  # fmt: skip
def test_what_cannot_be_or_is_not_computed_names_the_key(changes, message):
    with pytest.raises(ArtifactError, match=message):
        from_hf_config(to_hf_config(decoder("post")) | changes)
