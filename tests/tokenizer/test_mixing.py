"""A mixture reads its sources by their shares, each whole, and held-out text as it is."""

import shutil

import numpy as np
import pytest

from groundup.core import ConfigError, DataError
from groundup.tokenizer import (
    Loader,
    MixConfig,
    Shard,
    TokensConfig,
    encode_corpus,
    mix_named,
    mix_tokens,
    open_shards,
)
from tests.train.small import small, without_compiler


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mixing")
    with without_compiler():
        one = small(folder)
    code = encode_corpus(
        TokensConfig(splits=("train",)), one.corpus, one.tokenizer, folder / "code"
    )
    return one, {"all": one.tokens, "code": code}


def test_a_mixture_reads_its_sources_by_their_shares(made, tmp_path):
    one, sources = made
    size = sum(len(Shard.open(source, "train")) for source in sources.values())
    config = MixConfig(tokens=size, weights={"all": 3, "code": 1})
    mixed = mix_tokens(config, sources, one.tokenizer, tmp_path / "mixed")
    assert mixed.kind == "tokens" and mixed.numbers["weights"] == {"all": 0.75, "code": 0.25}
    text = open_shards(mixed, "train")
    assert [shard.name for shard in text.shards] == ["all", "code"]
    loader = Loader(text.shards, 4, 16, mixture=text.mixture)
    turn = loader.interleaving.sources_at(np.arange(400))
    assert np.bincount(turn.source).tolist() == [300, 100]
    again = Loader(text.shards, 4, 16, mixture=text.mixture)
    np.testing.assert_array_equal(loader.batch(17).ids, again.batch(17).ids)
    held_out = open_shards(mixed, "validation")
    assert [shard.name for shard in held_out.shards] == ["all"] and held_out.mixture is None
    with pytest.raises(DataError, match="has the split"):
        open_shards(mixed, "other")
    assert open_shards(one.tokens, "train").mixture is None


def test_a_source_that_moved_or_changed_is_told(made, tmp_path):
    one, sources = made
    copy = tmp_path / "copy"
    shutil.copytree(sources["code"].path, copy)
    again = {"all": one.tokens, "code": type(one.tokens).open(copy)}
    mixed = mix_tokens(MixConfig(tokens=100), again, one.tokenizer, tmp_path / "mixed")
    shutil.rmtree(copy)
    with pytest.raises(DataError, match="is not at .*copy; restore it"):
        open_shards(mixed, "train")
    shutil.copytree(one.tokens.path, copy)
    if one.tokens.id != again["code"].id:
        with pytest.raises(DataError, match="recreate the mixture"):
            open_shards(mixed, "train")


def test_what_cannot_be_mixed_is_refused(made, tmp_path):
    one, sources = made
    with pytest.raises(ConfigError, match="at least two sources"):
        mix_tokens(MixConfig(tokens=1), {"all": one.tokens}, one.tokenizer, tmp_path / "a")
    with pytest.raises(ConfigError, match="max_epochs"):
        mix_tokens(MixConfig(tokens=10**9), sources, one.tokenizer, tmp_path / "b")
    mixed = mix_tokens(MixConfig(tokens=100), sources, one.tokenizer, tmp_path / "c")
    with pytest.raises(ConfigError, match="is a mixture or no tokens artifact"):
        mix_tokens(MixConfig(tokens=100), sources | {"x": mixed}, one.tokenizer, tmp_path / "d")


def test_sources_are_named_on_the_command_line(made, tmp_path):
    one, sources = made
    named = [f"{name}={source.path}" for name, source in sources.items()]
    config = MixConfig(tokens=100)
    mixed = mix_named(config, one.tokenizer, tmp_path / "mixed", source=named)
    assert mixed.id == mix_tokens(config, sources, one.tokenizer, tmp_path / "again").id
    for wrong in (["code"], ["=x"], ["code="], [named[0], named[0]]):
        with pytest.raises(ConfigError, match="NAME=DIR"):
            mix_named(config, one.tokenizer, tmp_path / "not", source=wrong)
