"""bpe.py: merges equal to Hugging Face's, the worked example, and round trips."""

import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Regex, pre_tokenizers, trainers

from groundup.core import ConfigError, DataError
from groundup.tokenizer import (
    PATTERNS,
    SPECIAL_SETS,
    SPECIALS,
    FastTokenizer,
    ReferenceBPE,
    TokenizerConfig,
    load_bpe_tokenizer,
    save_tokenizer,
    train_bpe,
    well_formed,
)
from groundup.tokenizer.bpe import byte_to_character
from tests.tokenizer.corpora import CORPORA, HOSTILE, texts


def peer(pattern: str) -> tokenizers.Tokenizer:
    """An untrained tokenizer of Hugging Face's library that cuts as ours does."""
    made = tokenizers.Tokenizer(tokenizers.models.BPE())
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    return made


def peer_model(corpus: list[str], vocab_size: int, pattern: str) -> dict:
    """What Hugging Face's trainer learns."""
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    made = peer(pattern)
    made.train_from_iterator(corpus, trainer)
    return json.loads(made.to_str())["model"]


def assert_same_as_peer(corpus: list[str], vocab_size: int, pattern: str) -> None:
    merges = train_bpe(corpus, vocab_size, pattern)
    theirs = peer_model(corpus, vocab_size, pattern)
    shown = byte_to_character()

    def spell(token: bytes) -> str:
        return "".join(shown[byte] for byte in token)

    assert [[spell(left), spell(right)] for left, right in merges] == theirs["merges"]
    ids = {spell(token): id for token, id in ReferenceBPE(merges, pattern).ids.items()}
    assert ids == theirs["vocab"]


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("corpus", CORPORA)
def test_merges_and_ids_are_those_of_the_peer(corpus, pattern):
    assert_same_as_peer(CORPORA[corpus], 900, pattern)


@given(st.lists(texts, max_size=5), st.integers(256, 330))
def test_merges_are_those_of_the_peer_on_any_text(corpus, vocab_size):
    assert_same_as_peer(corpus, vocab_size, "qwen2")


def test_classes_of_characters_are_those_of_the_peer():
    known = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000]
    cut = {}
    for name in PATTERNS:
        # One piece per class: white space, letters, numbers and the rest never share a piece.
        sample = [c for c in known if ord(c) < 0x3000]
        text = "\n".join("a" + c + "a" for c in sample if c.isprintable() or c.isspace())
        cut[name] = ReferenceBPE([], name).splitter.findall(text)
        parts = peer(name).pre_tokenizer.pre_tokenize_str(text)
        assert [text[start:end] for _, (start, end) in parts] == cut[name]


def test_worked_example():
    merges = train_bpe(["aaabdaaabac"], 259)
    assert merges == [(b"a", b"a"), (b"a", b"b"), (b"aa", b"ab")]
    pairs = ReferenceBPE(merges)
    assert [pairs.tokens[id] for id in pairs.encode("aaabdaaabac")] == [
        b"aaab", b"d", b"aaab", b"a", b"c",
    ]  # fmt: skip


def test_first_ids_are_the_bytes_in_the_usual_order():
    assert ReferenceBPE([]).tokens[:3] == [b"!", b'"', b"#"]
    assert sorted(ReferenceBPE([]).tokens) == [bytes([byte]) for byte in range(256)]
    assert byte_to_character()[ord(" ")] == "Ġ" and byte_to_character()[ord("\n")] == "Ċ"


@given(texts)
def test_decode_gives_the_text_back(text):
    pairs = ReferenceBPE(train_bpe(CORPORA["runs"] + CORPORA["scripts"], 400))
    assert pairs.decode(pairs.encode(text)) == text.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: repr(text[:9]))
def test_pieces_of_hostile_text_join_to_the_text(text):
    assert "".join(ReferenceBPE([]).splitter.findall(text)) == text


def test_surrogates_become_text():
    assert well_formed("a\ud83d\ude00b") == "a😀b"
    assert well_formed("\ud800") == "\ufffd" == well_formed("\udfff")
    assert well_formed("\udc00\ud800x\ud800") == "\ufffd\ufffdx\ufffd"


def test_order_of_documents_does_not_matter():
    assert train_bpe(CORPORA["python"], 400) == train_bpe(CORPORA["python"][::-1], 400)


def test_small_corpora_give_fewer_merges():
    assert train_bpe(["ab"], 1000) == [(b"a", b"b")]


def test_errors_say_what_to_do():
    with pytest.raises(ConfigError, match="vocab_size=255 must be at least 256"):
        train_bpe(["a"], 255)
    with pytest.raises(ConfigError, match="pattern='qwen' is not known; choose qwen2 or gpt-2"):
        train_bpe(["a"], 300, "qwen")
    with pytest.raises(DataError, match="merge 0 joins b'ab' and b'c'"):
        ReferenceBPE([(b"ab", b"c")])


def test_the_default_gives_the_ids_it_gave():
    assert TokenizerConfig().specials == ("<|endoftext|>", "<|im_start|>", "<|im_end|>") == SPECIALS
    assert TokenizerConfig().to_dict()["specials"] == list(SPECIALS)


def test_sets_are_asked_for_by_name_and_do_not_move_what_came_before():
    config = TokenizerConfig(specials=("chat", "encoder", "<|mine|>"))
    assert config.specials == (*SPECIALS, "[MASK]", "[CLS]", "[SEP]", "<|mine|>")
    few, more = FastTokenizer([]), FastTokenizer([], specials=config.specials)
    assert more.specials | few.specials == more.specials


def test_all_sets_go_to_a_file_and_back(tmp_path):
    names = [name for names in SPECIAL_SETS.values() for name in names]
    assert len(set(names)) == len(names) == 109
    tokenizer = FastTokenizer([], specials=names)
    save_tokenizer(tokenizer, tmp_path)
    assert load_bpe_tokenizer(tmp_path).specials == tokenizer.specials
    told = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert (told["mask_token"], told["cls_token"], told["sep_token"]) == (
        "[MASK]",
        "[CLS]",
        "[SEP]",
    )
    assert tokenizer.encode("[MASK]") == [tokenizer.encode(c)[0] for c in "[MASK]"]


def test_more_specials_than_ids_are_an_error():
    with pytest.raises(ConfigError):
        TokenizerConfig(vocab_size=256)
    with pytest.raises(ConfigError, match="distinct"):
        FastTokenizer([], specials=("a", "a"))
