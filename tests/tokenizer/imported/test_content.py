"""content.py: what other formats become opens in `tokenizers` itself, to the same ids."""

import json

import pytest
import tokenizers

from groundup.tokenizer.imported.content import (
    added_tokens,
    byte_level_steps,
    metaspace_steps,
    sequence_step,
    special_tokens_processor,
)
from groundup.tokenizer.imported.pieces import CONTROL, USER_DEFINED, ScoredPiece
from tests.tokenizer.imported.fixtures import lines, small


@pytest.mark.parametrize("name", ["llama", "t5", "words", "pairs"])
def test_the_content_is_a_tokenizer_for_everybody(name):
    ours = small(name)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(ours.content))
    theirs.no_truncation()
    theirs.no_padding()
    theirs.encode_special_tokens = True
    for text in lines():
        if name == "t5" and any(special in text for special in ours.specials):
            continue  # the library's unigram finds them in any text; ours does not
        assert theirs.encode(text, add_special_tokens=False).ids == ours.encode(text), text


@pytest.mark.parametrize("name", ["llama", "words", "pairs"])
def test_what_stands_around_a_text_is_there_for_everybody(name):
    ours = small(name)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(ours.content))
    theirs.no_truncation()
    theirs.no_padding()
    assert theirs.encode("def x").ids == ours.frame.wrap(ours.encode("def x"))


def test_steps_are_joined():
    step = {"type": "Fuse"}
    assert sequence_step("decoders", []) is None and sequence_step("decoders", [None, step]) == step
    assert sequence_step("decoders", [step, step])["decoders"] == [step, step]
    assert special_tokens_processor([], []) is None


def test_a_space_is_put_before_by_a_step_or_by_the_caller():
    def names(**options: bool) -> list[str]:
        normaliser = metaspace_steps(prefix=True, **options)["normalizer"]
        return [step["type"] for step in normaliser.get("normalizers", [normaliser])]

    assert names() == ["Prepend", "Replace"] and names(is_put_by_caller=True) == ["Replace"]
    assert names(squeezed=True) == ["Replace", "Replace", "Prepend", "Replace"]


def test_a_byte_level_model_splits_text_by_its_patterns_alone():
    empty = tokenizers.Tokenizer(tokenizers.models.BPE())
    content = json.loads(empty.to_str()) | byte_level_steps([r"\S+|\s"])
    theirs = tokenizers.Tokenizer.from_str(json.dumps(content))
    pieces = theirs.pre_tokenizer.pre_tokenize_str("don't42 x")  # GPT-2's has don 't 42
    assert [piece for piece, _ in pieces] == ["don't42", "Ġ", "x"]


def test_control_pieces_are_special_and_matched_ones_are_not():
    pieces = [
        ScoredPiece("a"),
        ScoredPiece("<s>", 0, CONTROL),
        ScoredPiece("\u2581\u2581", 0, USER_DEFINED),
    ]
    found = added_tokens(pieces, marked=True)
    assert [(each["id"], each["special"], each["normalized"]) for each in found] == [
        (1, True, False), (2, False, True)
    ]  # fmt: skip
