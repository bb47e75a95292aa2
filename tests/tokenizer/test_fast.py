"""fast.py: ids equal to the reference and to `tokenizers`, on real and on hostile text."""

import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Tokenizer
from groundup.tokenizer import FastTokenizer, ReferenceBPE, well_formed
from groundup.tokenizer.fast import to_tokenizer_json
from tests.core.contracts.tokenizer import TokenizerContract
from tests.tokenizer.corpora import CORPORA, HOSTILE, texts, tokenizer

TRAINED = tokenizer()

# "abc" is made by (ab, c) and by (a, bc): tiktoken's rule and the merges' disagree on "abc".
TWO_WAYS = FastTokenizer([(b"b", b"c"), (b"a", b"b"), (b"ab", b"c"), (b"a", b"bc"), (b"x", b"abc")])


class TestTheFastTokenizerIsATokenizer(TokenizerContract):
    @pytest.fixture
    def tokenizer(self) -> FastTokenizer:
        return TRAINED


def peer(ours: FastTokenizer) -> tokenizers.Tokenizer:
    """The same tokenizer in Hugging Face's library; special tokens in a text stay text."""
    made = tokenizers.Tokenizer.from_str(json.dumps(to_tokenizer_json(ours)))
    made.encode_special_tokens = True
    return made


THEIRS, THEIR_TWO_WAYS = peer(TRAINED), peer(TWO_WAYS)


@pytest.mark.parametrize("text", [*CORPORA["python"], *HOSTILE], ids=lambda text: repr(text[:9]))
def test_ids_are_those_of_the_reference_and_of_the_peer(text):
    ids = TRAINED.encode(text)
    assert ids == THEIRS.encode(text).ids
    if len(text) < 2000:
        assert ids == ReferenceBPE(TRAINED.merges).encode(text)


@given(texts)
def test_ids_are_those_of_the_peer_on_any_text(text):
    assert TRAINED.encode(text) == THEIRS.encode(text).ids == TRAINED.reference.encode(text)


@given(st.text("abcx ", max_size=30))
def test_a_token_that_two_merges_make_gets_the_ids_of_the_peer(text):
    assert not TWO_WAYS.is_tiktoken_exact
    assert TWO_WAYS.encode(text) == THEIR_TWO_WAYS.encode(text).ids
    assert TWO_WAYS.encode(text) == TWO_WAYS.reference.encode(text)


def test_merges_in_an_order_that_tiktoken_would_not_follow_are_noticed():
    # (a, bc) cannot be reached from "abc", because (a, b) goes first; tiktoken would reach it.
    ours = FastTokenizer([(b"a", b"b"), (b"b", b"c"), (b"a", b"bc")])
    assert not ours.is_tiktoken_exact
    assert ours.encode("abc") == peer(ours).encode("abc").ids == ours.reference.encode("abc")
    assert ours._tiktoken.encode_ordinary("abc") != ours.encode("abc")


@pytest.mark.parametrize("corpus", CORPORA)
def test_trained_merges_are_always_exact(corpus):
    from groundup.tokenizer import train_bpe

    assert FastTokenizer(train_bpe(CORPORA[corpus], 800)).is_tiktoken_exact


@pytest.mark.parametrize("character", " \n\ta=0é", ids=repr)
def test_a_megabyte_of_one_character(character):
    text = character * (2**20 // len(character.encode())) + "x"
    ids = TRAINED.encode(text)
    assert TRAINED.decode(ids) == text
    short = character * 3000 + "x"
    assert TRAINED.encode(short) == THEIRS.encode(short).ids


def test_more_space_than_tiktoken_survives():
    text = "!" + "\n" * 3 + " " * 1_000_001 + "x"
    assert TRAINED.encode(text) == THEIRS.encode(text).ids


@given(st.binary(max_size=60))
def test_any_bytes_come_back(content):
    ids = TRAINED.encode_bytes(content)
    assert TRAINED.decode_bytes(ids) == content
    assert max(ids, default=0) < min(TRAINED.specials.values())


@given(texts)
def test_bytes_of_a_text_have_the_ids_of_the_text(text):
    assert TRAINED.encode_bytes(text.encode("utf-8")) == TRAINED.encode(text)


@given(st.text(max_size=30))
def test_any_text_comes_back_well_formed(text):
    assert TRAINED.decode(TRAINED.encode(text)) == well_formed(text)


def test_lone_surrogates_are_replaced():
    assert TRAINED.encode("x\ud800y") == TRAINED.encode("x\ufffdy")
    assert TRAINED.encode("\ud83d\ude00") == TRAINED.encode("😀")


@given(st.lists(st.sampled_from([*TRAINED.specials, "<|", "|>", "im_end", " "])).map("".join))
def test_special_tokens_never_arise_from_text(text):
    special = set(TRAINED.specials.values())
    assert not special & set(TRAINED.encode(text))
    assert not special & set(TRAINED.encode_bytes(text.encode()))
    assert TRAINED.decode(TRAINED.encode(text)) == text


@given(texts)
def test_offsets_are_the_bytes_of_each_id(text):
    content = text.encode("utf-8")
    ids = TRAINED.encode(text)
    ranges = TRAINED.offsets(text)
    assert [content[start:end] for start, end in ranges] == [TRAINED.decode_bytes([i]) for i in ids]


def test_it_is_a_tokenizer():
    assert isinstance(TRAINED, Tokenizer)
    assert TRAINED.vocab_size == 700
    assert TRAINED.specials == {"<|endoftext|>": 697, "<|im_start|>": 698, "<|im_end|>": 699}
    assert TRAINED.decode([699]) == "<|im_end|>"
    assert TRAINED.encode_batch(["a b", ""]) == [TRAINED.encode("a b"), []]


def test_digest_changes_with_whatever_decides_ids():
    merges = [(b"a", b"b"), (b"c", b"d")]
    others = [
        FastTokenizer(merges),
        FastTokenizer(merges[::-1]),
        FastTokenizer(merges, "gpt-2"),
        FastTokenizer(merges, specials=["<|endoftext|>"]),
    ]
    assert len({other.digest for other in others}) == 4
    assert FastTokenizer(merges).digest == others[0].digest


def test_errors_say_what_to_do():
    with pytest.raises(DataError, match="id 700 is not in the vocabulary \\(0 to 699"):
        TRAINED.decode([1, 700])
    with pytest.raises(DataError, match="id -1 "):
        TRAINED.decode([-1])
    with pytest.raises(ConfigError, match="no special token '<eos>'; it has <|endoftext|>"):
        TRAINED.special_id("<eos>")
    with pytest.raises(ConfigError, match="must be distinct"):
        FastTokenizer([], specials=["<a>", "<a>"])
