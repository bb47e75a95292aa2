"""Our tokenizer in metadata, and what is refused."""

import json

import numpy as np
import pytest

from groundup.core import ArtifactError, ConfigError
from groundup.model import save
from groundup.model.weights.gguf.vocabulary import tokenizer_metadata
from groundup.tokenizer import (
    CHATML_TEMPLATE,
    PATTERNS,
    FastTokenizer,
    save_tokenizer,
    tokenizer_of_gguf,
)
from tests.model.weights.gguf.models import MERGES, STORED, exact_model

LLAMA = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Llama 3's tokenizer.json cuts text."""


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
    assert tokens[262:] == ["[PAD262]", "[PAD263]", "[PAD264]"] and set(kinds[262:]) == {5}
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


def changed(model, change):
    """The model with its tokenizer.json changed."""
    path = model / "tokenizer.json"
    told = json.loads(path.read_text())
    change(told)
    path.write_text(json.dumps(told))
    return model


def test_a_tokenizer_of_others_is_written_if_it_cuts_as_the_peer_does(model):
    ours = tokenizer_metadata(model, STORED.vocab_size)
    splits = {"qwen2": PATTERNS["qwen2"], "llama-bpe": LLAMA}
    for name, expression in splits.items():

        def change(told, expression=expression):
            told["normalizer"] = {"type": "NFC"}
            told["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": expression}

        theirs = tokenizer_metadata(changed(model, change), STORED.vocab_size)
        assert theirs.pop("tokenizer.ggml.pre") == name
        for key, value in theirs.items():
            np.testing.assert_array_equal(value, ours[key])


def test_the_peers_reading_gives_the_ids_back(model):
    told = tokenizer_metadata(model, STORED.vocab_size)
    again, tokenizer = tokenizer_of_gguf(told), FastTokenizer(MERGES)
    for text in ("see the cat", "  two  spaces\n\nand 1234 naïve 😀", "don't <|im_end|>"):
        assert again.encode(text) == tokenizer.encode(text)
    assert again.settings["chat_template"] == CHATML_TEMPLATE


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda told: told["pre_tokenizer"]["pretokenizers"].pop(1), "is not byte-level BPE"),
        (lambda told: told["pre_tokenizer"]["pretokenizers"][0]["pattern"].update(Regex="[a-z]+"),
         r"splits text by \['\[a-z\]\+'\]; expected the pre-tokenizer of qwen2, gpt-2"),
    ],
)  # fmt: skip
def test_a_tokenizer_that_the_peer_cannot_replay_is_refused(model, change, said):
    with pytest.raises(ConfigError, match=said):
        tokenizer_metadata(changed(model, change), STORED.vocab_size)
