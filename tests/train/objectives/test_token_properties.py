"""Words are whole, specials are none of them, and a missing special says how to get it."""

import json

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.tokenizer import FastTokenizer, ImportedTokenizer
from groundup.train import token_properties_of
from groundup.train.objectives.token_properties import (
    TokenSpan,
    document_spans,
    token_spans,
    word_spans,
)
from tests.tokenizer.imported.fixtures import small
from tests.train.objectives.rows import setting, shard, tokenizer


def spelt(text: str) -> list[str]:
    ids = np.array(tokenizer().encode(text))
    found = word_spans(ids, TokenSpan(0, len(ids)), setting().token_properties)
    return [tokenizer().decode(ids[word.start : word.end].tolist()) for word in found]


def test_words_are_not_cut_where_tokens_are():
    text = "Unbelievable incomprehensibilities"
    assert len(tokenizer().encode(text)) > 4
    assert "".join(spelt(text)) == text
    assert spelt(text)[-1].strip() == "incomprehensibilities"


def test_punctuation_digits_and_lines_are_words_of_their_own():
    assert spelt("a, b.\n12") == ["a", ",", " b", ".\n", "1", "2"]


def test_words_cover_a_document_and_leave_specials_out():
    ids, known = shard().document_ids(0), setting().token_properties
    whole = TokenSpan(0, len(ids))
    assert sum(w.end - w.start for w in word_spans(ids, whole, known)) == len(ids) - 1
    assert len(token_spans(ids, whole, known)) == len(ids) - 1


def test_pieces_are_documents_in_a_row():
    assert document_spans([-1, -1]) == []
    assert document_spans([3, 3, -1, 5]) == [TokenSpan(0, 2), TokenSpan(3, 4)]


def test_sizes_are_the_bytes_of_text():
    known = setting().token_properties
    text = "naïve ☃ text"
    assert known.byte_lengths[tokenizer().encode(text)].sum() == len(text.encode())
    assert known.byte_lengths[list(known.specials.values())].sum() == 0


def test_sentinels_are_counted_in_a_row():
    assert len(setting().token_properties.sentinels) == 100
    few = FastTokenizer([], specials=["<extra_id_0>", "<extra_id_1>", "<extra_id_3>"])
    assert len(token_properties_of(few).sentinels) == 2


def test_a_missing_special_names_its_set():
    with pytest.raises(ConfigError, match=r'no \[MASK\].*specials=\["chat", "encoder"\]'):
        token_properties_of(FastTokenizer([])).special_token_id("[MASK]")


def test_an_imported_vocabulary_counts_spaces_and_may_have_holes():
    llama = small("llama")
    known = token_properties_of(llama)
    ids = llama.encode("a cat")  # a space is put before the first word, and taken away again
    assert known.byte_lengths[ids].sum() == len(" a cat")
    assert not known.starts_with_letter[ids[0]]
    content = json.loads(json.dumps(llama.content))
    content["model"]["vocab"]["far"] = 430
    far = token_properties_of(ImportedTokenizer(content))
    assert far.byte_lengths[420:].tolist() == [0] * 10 + [3]
