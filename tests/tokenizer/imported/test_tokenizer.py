"""tokenizer.py: everybody's tokenizers keep our contract; large ones give their makers' ids."""

import json
import unicodedata

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError, Reason
from groundup.tokenizer import ImportedTokenizer, SpecialFrame, well_formed
from groundup.tokenizer.imported.content import added_token, bpe_model, tokenizer_content
from groundup.tokenizer.imported.tokenizer import _offsets_by_character
from tests.core.contracts.tokenizer import TEXTS, TokenizerContract
from tests.tokenizer.imported.fixtures import ROOT, ids_of, large, lines, small, told


class TestByteLevelIsATokenizer(TokenizerContract):
    @pytest.fixture
    def tokenizer(self) -> ImportedTokenizer:
        return small("pairs")


class TestByteFallbackIsATokenizer(TokenizerContract):
    @pytest.fixture
    def tokenizer(self) -> ImportedTokenizer:
        return small("llama")

    def keeps(self, text: str) -> bool:
        return "\u2581" not in text


class TestMatchedPiecesAreATokenizer(TestByteFallbackIsATokenizer):
    @pytest.fixture
    def tokenizer(self) -> ImportedTokenizer:
        return small("gemma")


class TestTheCutterIsATokenizer(TestByteFallbackIsATokenizer):
    @pytest.fixture
    def tokenizer(self) -> ImportedTokenizer:
        return small("tied")


class TestWordPieceIsALossyTokenizer(TokenizerContract):
    @pytest.fixture
    def tokenizer(self) -> ImportedTokenizer:
        return small("words")

    def keeps(self, text: str) -> bool:
        return False


class TestUnigramIsALossyTokenizer(TestWordPieceIsALossyTokenizer):
    @pytest.fixture
    def tokenizer(self) -> ImportedTokenizer:
        return small("t5")


@pytest.mark.parametrize("name", ["pairs", "words"])
def test_ids_are_those_of_the_library(name):
    for text, expected in zip(lines(), ids_of(name), strict=True):
        assert small(name).encode(text) == expected, text


@pytest.mark.parametrize("name", list(told()["ids"]))
def test_ids_of_large_tokenizers_are_their_makers(name):
    tokenizer = large(name)
    for text, expected in zip(told()["lines"], told()["ids"][name], strict=True):
        assert tokenizer.encode(text) == expected, text


@pytest.mark.parametrize("name", ["llama3_1", "deepseek_v3", "tekken_240911.json"])
def test_large_byte_level_ones_give_every_text_back(name):
    assert large(name).loss_reason is None
    for text in lines():
        assert large(name).encode_exactly(text) == large(name).encode(text)


@given(TEXTS)
def test_bytes_of_tokens_are_the_bytes_of_offsets(text):
    for name in ("pairs", "gemma"):
        tokenizer, whole = small(name), text.replace("\u2581", "").encode()
        ids = tokenizer.encode(whole.decode())
        cut = [whole[start:end] for start, end in tokenizer.offsets(whole.decode())]
        assert cut == [tokenizer.decode_bytes([id]) for id in ids]


def test_a_space_put_before_the_text_belongs_to_nothing():
    assert small("llama").offsets("def")[0][0] == 0
    assert small("llama").decode(small("llama").encode(" def")) == " def"


def test_words_are_where_they_stand():
    tokenizer, text = small("words"), "  The\u0301 SELF, é def"
    ranges = tokenizer.offsets(text)
    shown = [text.encode()[start:end].decode() for start, end in ranges]
    assert "".join(shown) == "TheSELF,édef"  # an accent taken away belongs to nothing


def test_a_text_that_is_normalised_has_the_places_of_its_characters():
    made = json.loads((ROOT / "pairs" / "tokenizer.json").read_text())
    tokenizer = ImportedTokenizer(made | {"normalizer": {"type": "NFC"}})
    text = "x e\u0301 y"
    assert isinstance(tokenizer.encode_exactly(text), Reason)
    assert tokenizer.encode_exactly("x é y") == tokenizer.encode("x é y")
    assert tokenizer.decode(tokenizer.encode(text)) == unicodedata.normalize("NFC", text)
    ranges = tokenizer.offsets(text)
    assert ranges[-1][1] == len(text.encode()) and ranges == sorted(ranges)


def test_exact_bytes_are_asked_for_and_there_is_a_reason():
    found = small("words").encode_exactly("Two words")
    assert isinstance(found, Reason) and found.code == "words"
    assert small("pairs").loss_reason is None


def test_special_tokens_in_a_text_are_text_and_tokens_that_are_not_special_are_found():
    tokenizer = small("pairs")
    assert tokenizer.specials == {"<|begin|>": 0, "<|end|>": 1}
    ids = tokenizer.encode("<|end|><think>")
    assert not {0, 1} & set(ids) and ids[-1] == tokenizer.vocab_size - 1
    assert tokenizer.decode(ids) == "<|end|><think>"


def test_a_merge_that_makes_a_special_token_is_not_followed():
    vocab = {"<": 0, "s": 1, ">": 2, "<s": 3, "<s>": 4}
    model = bpe_model(vocab, [("<", "s"), ("<s", ">")])
    tokenizer = ImportedTokenizer(tokenizer_content(model, [added_token(4, "<s>", True)], {}))
    assert tokenizer.encode("<s>") == [3, 2] and tokenizer.decode([4]) == "<s>"


def test_names_of_special_tokens_may_come_from_the_settings():
    made = tokenizer_content(bpe_model({"a": 0, "</s>": 1, "<x>": 2}, []), [], {})
    settings = {"eos_token": {"content": "</s>"}, "extra_special_tokens": {"image_token": "<x>"}}
    tokenizer = ImportedTokenizer(made, settings)
    assert tokenizer.specials == {"</s>": 1, "<x>": 2} and tokenizer.role_ids == {"eos": 1}


def test_what_stands_around_a_text():
    assert small("pairs").frame == SpecialFrame((0,), ())
    words = small("words")
    assert words.frame.wrap([9]) == [words.role_ids["cls"], 9, words.role_ids["sep"]]
    made = json.loads((ROOT / "pairs" / "tokenizer.json").read_text())
    without = ImportedTokenizer(made, {"bos_token": "<|begin|>", "add_bos_token": False})
    ended = ImportedTokenizer(made, {"eos_token": "<|end|>", "add_eos_token": True})
    assert without.frame == SpecialFrame() and ended.frame == SpecialFrame((0,), (1,))


def test_truncation_padding_and_dropout_are_no_part_of_encoding():
    made = json.loads((ROOT / "words" / "tokenizer.json").read_text())
    assert made["truncation"]["max_length"] == 8
    assert small("words").encode("self " * 50) == small("words").encode("self") * 50
    pairs = json.loads((ROOT / "pairs" / "tokenizer.json").read_text())
    pairs["model"]["dropout"] = 0.9
    assert ImportedTokenizer(pairs).encode("def return") == small("pairs").encode("def return")


def test_digest_changes_with_whatever_decides_ids():
    made = json.loads((ROOT / "pairs" / "tokenizer.json").read_text())
    same = ImportedTokenizer(made | {"padding": None}, {"chat_template": "x"})
    assert ImportedTokenizer(made).digest == same.digest
    others = [
        ImportedTokenizer(made | {"normalizer": {"type": "NFC"}}),
        ImportedTokenizer(made, {"eos_token": "a"}),
        ImportedTokenizer(made, extra={"lead": " "}),
        small("llama"),
    ]
    assert len({other.digest for other in [*others, same]}) == 5


@given(st.text(max_size=20))
def test_lone_surrogates_are_replaced(text):
    tokenizer = small("pairs")
    assert tokenizer.decode(tokenizer.encode(text)) == well_formed(text)


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6))
def test_ranges_are_in_order_and_inside_whatever_the_places(places):
    ranges = _offsets_by_character("aé☃𝔘 b", [(min(pair), max(pair)) for pair in places])
    flat = [place for pair in ranges for place in pair]
    assert flat == sorted(flat) and all(0 <= place <= 12 for place in flat)


EMPTY = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
BROKEN = [
    {},
    {"model": {}},
    {"model": {"type": "BPE", "vocab": {"a": 0, "b": 0}, "merges": []}},
    {"model": {"type": "BPE", "vocab": {"a": 2**30}, "merges": []}},
    {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "z"]]}},
    {"model": {"type": "Unigram", "vocab": [["a", 0.0]], "unk_id": 7}},
    {"model": EMPTY, "added_tokens": [{"id": 1}]},
    {"model": EMPTY, "added_tokens": [added_token(9, "x", True)]},
    {"model": {"type": "Nothing", "vocab": {}}},
    {"model": {"type": "BPE", "vocab": [], "merges": 3}},
]  # fmt: skip


@pytest.mark.parametrize("broken", BROKEN, ids=repr)
def test_what_is_no_tokenizer_is_an_error(broken):
    with pytest.raises(DataError, match="No tokenizer .*expected the value of a tokenizer.json"):
        ImportedTokenizer(broken)


def test_errors_say_what_to_do():
    tokenizer = small("pairs")
    with pytest.raises(DataError, match="id 999 is not in the vocabulary \\(0 to 340"):
        tokenizer.decode([0, 999])
    with pytest.raises(DataError, match="id -1 "):
        tokenizer.decode_bytes([-1])
    with pytest.raises(ConfigError, match="no special token '<eos>'; it has <|begin|>"):
        tokenizer.special_id("<eos>")


def test_the_library_itself_would_match_typed_special_tokens():
    theirs = tokenizers.Tokenizer.from_file(str(ROOT / "pairs" / "tokenizer.json"))
    assert theirs.encode("<|end|>", add_special_tokens=False).ids == [1]


def test_an_added_token_that_normalisation_makes_empty_is_refused():
    model = {"type": "BPE", "vocab": {"a": 0}, "merges": []}
    token = {"id": 1, "content": "\n", "normalized": True, "special": False,
             "single_word": False, "lstrip": False, "rstrip": False}  # fmt: skip
    strip = {"type": "Strip", "strip_left": True, "strip_right": True}
    made = {"version": "1.0", "added_tokens": [token], "normalizer": strip, "model": model}
    with pytest.raises(DataError, match="is nothing after the tokenizer's own normalisation"):
        ImportedTokenizer(made)
    assert ImportedTokenizer(made | {"added_tokens": [token | {"normalized": False}]})


def test_a_pattern_without_end_is_a_refusal_of_the_text():
    made = tokenizer_content(bpe_model({"a": 0, "c": 1}, []), [], {})
    pattern = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
               "invert": False}  # fmt: skip
    tokenizer = ImportedTokenizer({**made, "pre_tokenizer": pattern})
    assert tokenizer.encode("aa") == [0, 0]
    for read in (tokenizer.encode, tokenizer.encode_with_ranges):
        with pytest.raises(DataError, match="cannot split a text: .*retry-limit"):
            read("a" * 60 + "c")
