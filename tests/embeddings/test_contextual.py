"""A word's vectors in its sentences: the states of its own tokens, from any kind of model."""

import numpy as np
import pytest
import torch

from groundup.core import CapacityError, ConfigError, DataError
from groundup.embeddings.contextual import _layer_states, _overlapping_tokens, cosines, occurrences
from groundup.model import ModelConfig, Transformer
from groundup.tokenizer import FastTokenizer, train_bpe

TEXTS = ["The bank of the river. A bank!", "Every naïve bank lends money."]


@pytest.fixture
def tokenizer():
    return FastTokenizer(train_bpe(TEXTS * 5, vocab_size=290))


@pytest.fixture(params=["decoder", "encoder", "encoder_decoder"])
def model(request, tokenizer):
    config = ModelConfig(
        kind=request.param, vocab_size=tokenizer.vocab_size, width=16, layers=2, context_length=64,
        attention={"heads": 2, "kv_heads": 2, "head_dim": 8}, feedforward={"width": 24},
        encoder_layers=2 if request.param == "encoder_decoder" else 0,
    )  # fmt: skip
    made = Transformer(config)
    for block in [*made.layers, *(made.encoder.layers if made.encoder else ())]:
        torch.nn.init.normal_(block.attention.o_proj.weight, std=0.3)
    return made.eval()


def test_each_occurrence_has_its_own_vector(model, tokenizer):
    found = occurrences(model, tokenizer, TEXTS, "bank")
    assert [(one.text, one.start) for one in found] == [(0, 4), (0, 25), (1, 12)]
    near = cosines(np.stack([one.vector for one in found]))
    assert near.shape == (3, 3) and np.allclose(np.diag(near), 1, atol=1e-6)
    assert (near[~np.eye(3, dtype=bool)] < 0.99999).all()


def test_the_embedding_knows_no_sentence(model, tokenizer):
    one, other = occurrences(model, tokenizer, ["a bank b", "my bank is"], "bank", layer=0)
    if model.config.position.kind == "rope":
        assert np.array_equal(one.vector, other.vector)


def test_a_vector_is_that_of_the_words_tokens(model, tokenizer):
    text = TEXTS[1]
    tokens = _overlapping_tokens(tokenizer.offsets(text), 6, 12)
    assert tokenizer.decode([tokenizer.encode(text)[t] for t in tokens]).strip() == "naïve"
    states = _layer_states(model, tokenizer.encode(text), 1)[tokens].numpy()
    for pooling, wanted in (("mean", states.mean(0)), ("first", states[0]), ("last", states[-1])):
        [found] = occurrences(model, tokenizer, [text], "NAÏVE", layer=1, pooling=pooling)
        np.testing.assert_allclose(found.vector, wanted, atol=1e-6)


def test_what_cannot_be_asked(model, tokenizer):
    with pytest.raises(DataError, match="does not contain the word 'ban'"):
        occurrences(model, tokenizer, TEXTS, "ban")
    with pytest.raises(ConfigError, match="to 2 .the output"):
        occurrences(model, tokenizer, TEXTS, "bank", layer=3)
    with pytest.raises(CapacityError, match="the model's context is 64"):
        occurrences(model, tokenizer, ["bank " * 65], "bank")
