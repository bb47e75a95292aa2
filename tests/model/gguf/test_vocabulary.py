"""Our tokenizer in metadata, and what is refused."""

import json

import pytest

from groundup.core import ArtifactError, ConfigError, GroundupError
from groundup.model import save
from groundup.model.gguf.vocabulary import tokenizer_metadata
from groundup.tokenizer import FastTokenizer
from groundup.tokenizer import save as save_tokenizer
from tests.model.gguf.models import MERGES, STORED, exact_model


@pytest.fixture
def model(tmp_path):
    save_tokenizer(FastTokenizer(MERGES), tmp_path / "tokenizer")
    save(exact_model(STORED), tmp_path / "model", tmp_path / "tokenizer", chat=True)
    return tmp_path / "model"


def test_every_id_has_its_token_and_kind(model):
    told, tokenizer = tokenizer_metadata(model, STORED.vocab_size), FastTokenizer(MERGES)
    tokens, kinds = (told[f"tokenizer.ggml.{key}"] for key in ("tokens", "token_type"))
    assert len(tokens) == len(kinds) == STORED.vocab_size
    assert tokens[256:259] == ["Ġt", "he", "Ġthe"]
    for name, id in tokenizer.specials.items():
        assert (tokens[id], kinds[id]) == (name, 3)
    assert tokens[262:] == ["[PAD0]", "[PAD1]", "[PAD2]"] and set(kinds[262:]) == {5}
    assert told["tokenizer.ggml.merges"] == ["Ġ t", "h e", "Ġt he"]
    assert told["tokenizer.ggml.eos_token_id"] == tokenizer.specials["<|im_end|>"]
    assert "tokenizer.ggml.bos_token_id" not in told


def test_a_base_model_ends_at_the_end_of_a_document(model, tmp_path):
    save(exact_model(STORED), tmp_path / "base", tmp_path / "tokenizer")
    told = tokenizer_metadata(tmp_path / "base", STORED.vocab_size)
    ends = FastTokenizer(MERGES).specials["<|endoftext|>"]
    assert told["tokenizer.ggml.eos_token_id"] == told["tokenizer.ggml.padding_token_id"] == ends


def test_a_model_with_fewer_rows_than_ids_is_refused(model):
    with pytest.raises(ConfigError, match="has 262 ids and its model 261; they do not belong"):
        tokenizer_metadata(model, 261)


def test_a_model_without_a_tokenizer_is_refused(tmp_path):
    save(exact_model(STORED), tmp_path / "bare")
    with pytest.raises(ArtifactError, match="tokenizer"):
        tokenizer_metadata(tmp_path / "bare", STORED.vocab_size)


def test_another_kind_of_tokenizer_is_refused(model):
    path = model / "tokenizer.json"
    told = json.loads(path.read_text())
    told["normalizer"] = {"type": "NFC"}
    path.write_text(json.dumps(told))
    with pytest.raises(GroundupError, match="byte-level BPE"):
        tokenizer_metadata(model, STORED.vocab_size)
