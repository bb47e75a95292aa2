from hypothesis import given
from hypothesis import strategies as st

from groundup.generate.text import IncrementalDetokenizer, decode_text
from groundup.tokenizer import FastTokenizer
from tests.tokenizer.imported.fixtures import small

TOKENIZER = FastTokenizer([])  # one token a byte: every character beyond ASCII is split


@given(st.text())
def test_pieces_joined_are_the_text_and_none_is_broken(text):
    pieces, ids = IncrementalDetokenizer(TOKENIZER), TOKENIZER.encode(text)
    parts = [pieces.add(token) for token in ids]
    assert "".join(parts) == decode_text(ids, TOKENIZER) == text
    if "\ufffd" not in text:
        assert all("\ufffd" not in part for part in parts)


@given(st.text("ab \ud7ff\u2581é", max_size=20))
def test_a_space_is_dropped_at_the_beginning_alone(text):
    tokenizer = small("llama")
    pieces, ids = IncrementalDetokenizer(tokenizer), tokenizer.encode(text)
    assert "".join(map(pieces.add, ids)) == decode_text(ids, tokenizer) == tokenizer.decode(ids)


def test_a_character_cut_off_at_the_end_is_left_out():
    ids = TOKENIZER.encode("né")[:-1]
    assert decode_text(ids, TOKENIZER) == "n"


def test_special_tokens_have_no_text():
    end = TOKENIZER.special_id("<|im_end|>")
    assert IncrementalDetokenizer(TOKENIZER).add(end) == ""
    assert decode_text([*TOKENIZER.encode("a"), end], TOKENIZER) == "a"


def test_bytes_that_are_no_character_show_as_such():
    stray = TOKENIZER.encode("é")[-1]
    assert decode_text([stray, *TOKENIZER.encode("a")], TOKENIZER) == "\ufffda"
