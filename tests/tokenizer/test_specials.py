"""Sets of special tokens: asked for by name, at the end, the default ones where they were."""

import json

import pytest

from groundup.core import ConfigError
from groundup.tokenizer import (
    SPECIAL_SETS,
    SPECIALS,
    FastTokenizer,
    TokenizerConfig,
    load_bpe_tokenizer,
    save_tokenizer,
)


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
