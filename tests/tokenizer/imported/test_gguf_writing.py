"""gguf_writing.py: what is written is read as the same tokenizer; what llama.cpp lacks is named."""

import json

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.tokenizer import ImportedTokenizer, gguf_of_tokenizer, tokenizer_of_gguf
from groundup.tokenizer.imported.content import metaspace_steps, tokenizer_content
from tests.tokenizer.imported.fixtures import lines, small

KINDS = {"llama": "llama", "gemma": "llama", "tied": "llama", "t5": "t5", "words": "bert",
         "pairs": "gpt2"}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_a_written_tokenizer_is_read_as_it_was(name):
    tokenizer = small(name)
    metadata = gguf_of_tokenizer(tokenizer, tokenizer.vocab_size)
    again = tokenizer_of_gguf(metadata)
    assert metadata["tokenizer.ggml.model"] == KINDS[name]
    assert again.encode_batch(lines()) == tokenizer.encode_batch(lines())
    assert again.specials == tokenizer.specials
    twice = gguf_of_tokenizer(again, tokenizer.vocab_size)
    np.testing.assert_equal(twice, metadata)


def bytes_and(*pieces: str) -> dict[str, int]:
    """A vocabulary of all bytes and these pieces."""
    texts = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), *pieces]
    return {text: id for id, text in enumerate(texts)}


def merged(vocab, merges, added=(), **steps) -> ImportedTokenizer:
    """A tokenizer.json with byte fallback, as Transformers writes it."""
    model = {"type": "BPE", "unk_token": "<unk>", "byte_fallback": True, "fuse_unk": True,
             "vocab": vocab, "merges": [pair.split() for pair in merges]}  # fmt: skip
    found = metaspace_steps(prefix=True) | steps
    return ImportedTokenizer(json.loads(json.dumps(tokenizer_content(model, added, found))))


def test_merges_become_scores_of_which_tokens_are_lowest():
    vocab = bytes_and("c", "a", "b", "\u2581", "bc", "ab", "abc")
    tokenizer = merged(vocab, ["a b", "b c", "ab c"])
    metadata = gguf_of_tokenizer(tokenizer, len(vocab) + 2)
    scores, kinds = (metadata[f"tokenizer.ggml.{key}"] for key in ("scores", "token_type"))
    assert [scores[vocab[text]] for text in ("ab", "bc", "abc", "c", "a")] == [0, -1, -2, -3, -4]
    assert scores[vocab["<0x41>"]] == min(scores[: len(vocab)]) == -7
    assert (kinds[0], kinds[1], kinds[257], *kinds[-2:]) == (2, 6, 1, 5, 5)
    assert metadata["tokenizer.ggml.tokens"][-1] == f"[PAD{len(vocab) + 1}]"
    assert metadata["tokenizer.ggml.add_space_prefix"] is True
    again = tokenizer_of_gguf(metadata)
    for text in ("abc", "ab bc cab", " a b", "z\u00e9 abcabc"):
        assert again.encode(text) == tokenizer.encode(text)


def test_runs_that_are_found_only_in_marked_text_are_merged():
    vocab = bytes_and("a", "\u2581", "\u2581\u2581")
    run = {"id": vocab["\u2581\u2581"], "content": "\u2581\u2581", "special": False}
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    for is_normalised, kind in ((False, 1), (True, 4)):
        token = run | flags | {"normalized": is_normalised}
        tokenizer = merged(vocab, ["\u2581 \u2581"], [token], **metaspace_steps(prefix=False))
        metadata = gguf_of_tokenizer(tokenizer, len(vocab))
        assert metadata["tokenizer.ggml.token_type"][run["id"]] == kind
        assert metadata["tokenizer.ggml.tokens"][run["id"]] == ("\u2581" if kind == 1 else " ") * 2


def test_a_missing_byte_may_have_its_character():
    vocab = {text.replace("<0x09>", "\t"): id for text, id in bytes_and("a", "\u2581").items()}
    tokenizer = merged(vocab, [])
    again = tokenizer_of_gguf(gguf_of_tokenizer(tokenizer, len(vocab)))
    assert again.encode("a\t\u00e9") == tokenizer.encode("a\t\u00e9")
    assert again.decode(again.encode("a\t\u00e9")) == "a\t\u00e9"


def test_white_space_after_tokens_is_theirs_in_phi_3_alone():
    vocab = bytes_and("a", "\u2581") | {"<|user|>": 259}
    flags = {"single_word": False, "lstrip": False, "rstrip": True, "normalized": False}
    token = {"id": 259, "content": "<|user|>", "special": True} | flags
    tokenizer = merged(vocab, [], [token])
    with pytest.raises(ConfigError, match=r"'<\|user\|>' has rstrip, .* has phi-3 in its name"):
        gguf_of_tokenizer(tokenizer, 260, "my-model")
    found = gguf_of_tokenizer(tokenizer, 260, "My-Phi-3-tuned")
    assert found["tokenizer.ggml.token_type"][259] == 3


SQUEEZE = {"normalizer": {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "}}
META = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": True}


@pytest.mark.parametrize(
    ("vocab", "merges", "steps", "message"),
    [
        ({"<unk>": 0, "a": 1}, [], {}, "without a piece of every byte"),
        (bytes_and("a"), [], {"normalizer": {"type": "NFKC"}}, "the step .*NFKC.* normalizer has"),
        (bytes_and("a"), [], SQUEEZE, "BPE with normalisation or collapsed spaces"),
        (bytes_and("a", "a\u2581"), [], {"pre_tokenizer": META}, "pieces that cross"),
        (bytes_and(*"abc", "ab", "bc", "abc"), ["b c", "a b", "ab c"], {}, "cut 'abc' as no"),
    ],
)  # fmt: skip
def test_what_llama_cpp_lacks_is_named(vocab, merges, steps, message):
    with pytest.raises(ConfigError, match=message):
        gguf_of_tokenizer(merged(vocab, merges, **steps), len(vocab))


def test_unused_pieces_that_merge_are_named():
    with pytest.raises(ConfigError, match="has the unused piece .*; llama.cpp would use it"):
        gguf_of_tokenizer(small("unused"), small("unused").vocab_size)


def test_the_unknown_piece_is_named_though_no_settings_name_it():
    tokenizer = small("t5")
    assert "unk_token" not in tokenizer.settings
    metadata = gguf_of_tokenizer(tokenizer, tokenizer.vocab_size)
    unknown = metadata["tokenizer.ggml.unknown_token_id"]
    assert unknown == tokenizer.content["model"]["unk_id"]
    assert metadata["tokenizer.ggml.token_type"][unknown] == 2


def test_line_breaks_that_end_words_are_named():
    content = json.loads(json.dumps(small("t5").content))
    content |= {"normalizer": None, "pre_tokenizer": {"type": "WhitespaceSplit"}}
    with pytest.raises(ConfigError, match="also at line breaks; llama.cpp's t5 at spaces"):
        gguf_of_tokenizer(ImportedTokenizer(content), 200)


def test_words_keep_their_case_by_name():
    content = json.loads(json.dumps(small("words").content))
    content["normalizer"]["lowercase"] = False
    tokenizer = ImportedTokenizer(content)
    metadata = gguf_of_tokenizer(tokenizer, tokenizer.vocab_size)
    assert metadata["tokenizer.ggml.normalizer.lowercase"] is False
    again = tokenizer_of_gguf(metadata)
    assert again.encode_batch(lines()) == tokenizer.encode_batch(lines())
    content["normalizer"]["clean_text"] = False
    with pytest.raises(ConfigError, match="WordPiece with the steps .*; llama.cpp has those of"):
        gguf_of_tokenizer(ImportedTokenizer(content), 9)
