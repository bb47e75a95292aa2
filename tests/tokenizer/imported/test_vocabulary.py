"""vocab.txt, vocab.json with merges.txt, and tekken.json: the ids of their makers' libraries."""

import base64
import json
import os
from pathlib import Path

import pytest
import tiktoken
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ArtifactError, DataError
from groundup.tokenizer import load_tokenizer
from groundup.tokenizer.bpe import PATTERNS, byte_to_character
from groundup.tokenizer.imported.vocabulary import (
    _tokenizer_from_tekken,
    open_vocab_and_merges,
    open_wordpiece,
    wordpiece_tokenizer,
)
from tests.tokenizer.imported.fixtures import ROOT, ids_of, large, lines, small

WORDS = ["[UNK]", "[CLS]", "[SEP]", "a", "##b", "É", "é", "e", "中"]


def test_a_vocabulary_has_the_ids_of_its_tokenizer_json():
    tokenizer = open_wordpiece(ROOT / "words" / "vocab.txt")
    for text, expected in zip(lines(), ids_of("words"), strict=True):
        assert tokenizer.encode(text) == expected, text
    assert tokenizer.frame == small("words").frame


def test_real_word_pieces_too():
    theirs, ours = large("minilm"), large("minilm/vocab.txt")
    assert theirs.encode_batch(lines()) == ours.encode_batch(lines())
    assert theirs.frame == ours.frame and theirs.role_ids == ours.role_ids


@pytest.mark.parametrize(
    ("settings", "text", "names"),
    [
        ({}, "AB É", ["a", "##b", "e"]),
        ({"do_lower_case": False}, "ab É", ["a", "##b", "É"]),
        ({"strip_accents": False}, "É", ["é"]),
        ({}, "a中a", ["a", "中", "a"]),
        ({"tokenize_chinese_chars": False}, "a中a", ["[UNK]"]),
        ({}, "zz", ["[UNK]"]),
    ],
)
def test_settings_decide(settings, text, names):
    tokenizer = wordpiece_tokenizer(WORDS, settings)
    assert [tokenizer.names[id] for id in tokenizer.encode(text)] == names


def test_pairs_in_two_files():
    folder = ROOT / "pairs"
    tokenizer = open_vocab_and_merges(folder / "vocab.json", folder / "merges.txt")
    for text, expected in zip(lines(), ids_of("pairs"), strict=True):
        if "<think>" not in text:
            assert tokenizer.encode(text) == expected, text


def write_pairs(folder: Path, ids: list[str], merges: list[str]) -> tuple[Path, Path]:
    vocab = {text: id for id, text in enumerate(ids)}
    (folder / "vocab.json").write_text(json.dumps(vocab), encoding="utf-8")
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    return folder / "vocab.json", folder / "merges.txt"


def test_gpt_1s_pairs_have_the_ids_of_its_pipeline(tmp_path: Path):
    ids = [*"abc\u00e9", *"a</w>,b</w>,c</w>,.</w>,ab,ab</w>,abc</w>".split(","), "<unk>"]
    merges = ["a b", "a b</w>", "ab c</w>"]
    tokenizer = open_vocab_and_merges(*write_pairs(tmp_path, ids, merges))
    # as transformers 5.24's OpenAIGPTTokenizer puts it together
    pairs = [tuple(pair.split(" ")) for pair in merges]
    theirs = tokenizers.Tokenizer(tokenizers.models.BPE(
        vocab={text: id for id, text in enumerate(ids)}, merges=pairs, dropout=None,
        continuing_subword_prefix="", end_of_word_suffix="</w>", fuse_unk=False,
        unk_token="<unk>",
    ))  # fmt: skip
    theirs.normalizer = tokenizers.normalizers.BertNormalizer(lowercase=True)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    for text in ["ABC ab. abab", "a\u0301b cab", "zz a\tb\u4e2dc", "abc.abc", *lines()]:
        assert tokenizer.encode(text) == theirs.encode(text).ids, text
    assert tokenizer.decode(tokenizer.encode("Abc ab.")) == "abc ab ."
    assert tokenizer.loss_reason.code == "words" and tokenizer.role_ids == {"unk": 11}


def test_pairs_of_bytes_that_end_words_are_refused(tmp_path: Path):
    ids = [*byte_to_character().values(), "a</w>", "b</w>", "ab</w>", "<unk>"]
    with pytest.raises(ArtifactError, match="after words, as CLIP has"):
        open_vocab_and_merges(*write_pairs(tmp_path, ids, ["a b</w>"]))
    with pytest.raises(ArtifactError, match="no <unk> for unknown characters"):
        open_vocab_and_merges(*write_pairs(tmp_path, ["a", "b</w>", "ab</w>"], ["a b</w>"]))


def test_what_is_no_vocabulary_is_an_error(tmp_path: Path):
    with pytest.raises(DataError, match=r"no \[UNK\] for unknown words"):
        wordpiece_tokenizer(["a"])
    with pytest.raises(DataError, match="'a' is in the vocabulary twice"):
        wordpiece_tokenizer(["[UNK]", "a", "a"])
    (tmp_path / "vocab.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(ArtifactError, match="as lines of tokens"):
        open_wordpiece(tmp_path / "vocab.txt")
    (tmp_path / "vocab.txt").write_text("some\nlines\n")
    with pytest.raises(ArtifactError, match="no WordPiece vocabulary"):
        open_wordpiece(tmp_path / "vocab.txt")
    for content in ("[]", json.dumps({"a": "b"}), "{"):
        (tmp_path / "vocab.json").write_text(content)
        (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
        with pytest.raises(ArtifactError, match=r"no byte-level|vocab\.json"):
            open_vocab_and_merges(tmp_path / "vocab.json", tmp_path / "merges.txt")
    (tmp_path / "vocab.json").write_text("{}")
    (tmp_path / "merges.txt").unlink()
    os.mkfifo(tmp_path / "merges.txt")
    with pytest.raises(ArtifactError, match="no regular file"):
        open_vocab_and_merges(tmp_path / "vocab.json", tmp_path / "merges.txt")


SPECIALS = 5


def ranks() -> dict[bytes, int]:
    """The bytes, and words of the small byte-level tokenizer by rank."""
    words = [small("pairs").spelling.bytes_of[id] for id in range(258, 340)]
    return {token: rank for rank, token in enumerate([*map(bytes, zip(range(256))), *words])}


def value() -> dict:
    """A tekken.json's."""
    rows = [
        {"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
        for token, rank in ranks().items()
    ]
    config = {"pattern": PATTERNS["gpt-2"], "default_num_special_tokens": SPECIALS}
    return {"config": config | {"default_vocab_size": len(rows) + SPECIALS}, "vocab": rows}


PEER = tiktoken.Encoding(
    "peer", pat_str=PATTERNS["gpt-2"], mergeable_ranks=ranks(), special_tokens={}
)
OURS = _tokenizer_from_tekken(value())


@given(st.text(max_size=40) | st.sampled_from(lines()))
def test_ids_are_tiktokens_after_the_special_ones(text):
    text = text.encode("utf-8", "replace").decode()
    assert OURS.encode(text) == [id + SPECIALS for id in PEER.encode_ordinary(text)]


def test_special_tokens_have_the_first_ids():
    assert list(OURS.specials.values()) == list(range(SPECIALS))
    assert OURS.frame.before == (1,) and OURS.role_ids == {"unk": 0, "bos": 1, "eos": 2}
    named = _tokenizer_from_tekken(
        value() | {"special_tokens": [{"rank": 4, "token_str": "<new>"}]}
    )
    assert named.specials["<new>"] == 4


def test_opened_from_its_file(tmp_path: Path):
    (tmp_path / "tekken.json").write_text(json.dumps(value()))
    assert load_tokenizer(tmp_path).digest == OURS.digest
    for broken in ({}, value() | {"vocab": [{"rank": 0, "token_bytes": "!"}]}, {"config": 3}):
        (tmp_path / "tekken.json").write_text(json.dumps(broken))
        with pytest.raises(ArtifactError, match="no tekken.json"):
            load_tokenizer(tmp_path)
