"""loader.py: every token once an epoch, any step in any order, documents told apart."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ConfigError, DataError
from groundup.tokenizer import Loader, Shard, TextBatch
from groundup.tokenizer.loader import BLOCK_TOKENS, _stable_permutation

END = 0


def numbered(name: str, lengths: list[int], first: int = 1) -> Shard:
    """A shard in which every token but the documents' ends has an id of its own."""
    documents = []
    for number, length in enumerate(lengths):
        documents.append((f"{name}{number}", list(range(first, first + length)), length))
        first += length
    return Shard.from_documents(name, documents, END)


lengths = st.lists(st.integers(0, 30), min_size=1, max_size=12)
sizes = st.tuples(st.integers(1, 5), st.integers(1, 40), st.integers(0, 2**31))


def targets(batch: TextBatch) -> list[int]:
    return batch.ids[:, 1:][batch.documents >= 0].tolist()


def epoch_of_rows(loader: Loader, rows: int) -> list[int]:
    """Targets of the first `batch_size` rows."""
    found: list[int] = []
    for row in range(rows):
        step, place = divmod(row, loader.batch_size)
        batch = loader.batch(step)
        found += batch.ids[place, 1:][batch.documents[place] >= 0].tolist()
    return found


@given(lengths, sizes)
def test_every_token_is_the_target_once_an_epoch(documents, size):
    shard = numbered("a", documents)
    batch, length, seed = size
    loader = Loader([shard], batch, length, seed)
    windows = -(-len(shard) // length)
    assert sorted(epoch_of_rows(loader, windows)) == sorted(shard.ids.tolist())
    twice = Counter(epoch_of_rows(loader, 2 * windows))
    assert twice == Counter({id: 2 * n for id, n in Counter(shard.ids.tolist()).items()})
    assert loader.tokens_per_epoch == len(shard)


@given(lengths, sizes, st.lists(st.integers(0, 50), max_size=6))
def test_any_step_is_the_same_in_any_order(documents, size, steps):
    shard = numbered("a", documents)
    used = Loader([shard], *size)
    for step in steps:
        fresh = Loader([shard], *size).batch(step)
        for ours, theirs in zip(used.batch(step), fresh, strict=True):
            assert np.array_equal(ours, theirs)


@given(lengths, sizes)
def test_inputs_are_the_tokens_before_the_targets(documents, size):
    shard = numbered("a", documents)
    ring = [END, *shard.ids.tolist()]
    pairs = Counter(zip(ring, ring[1:], strict=False))
    loader = Loader([shard], *size)
    batch = loader.batch(0)
    kept = batch.documents >= 0
    for pair in zip(batch.ids[:, :-1][kept], batch.ids[:, 1:][kept], strict=True):
        assert tuple(map(int, pair)) in pairs
    assert batch.weights.sum() == kept.sum()


@given(lengths, sizes)
def test_document_numbers_are_those_of_the_targets(documents, size):
    shard = numbered("a", documents)
    home = {int(id): n for n in range(len(documents)) for id in shard.document_ids(n)[:-1]}
    batch = Loader([shard], *size).batch(0)
    for ids, numbers, name in zip(batch.ids, batch.documents, batch.names, strict=True):
        assert name == f"a{numbers[0]}"
        for target, number in zip(ids[1:], numbers, strict=True):
            if number >= 0 and target != END:
                assert home[int(target)] == number


def test_an_end_opens_the_next_document():
    shard = Shard.from_documents("a", [("x", [1, 2], 2), ("y", [3, 4], 2)], END)
    batch = Loader([shard], batch=1, length=6).batch(0)
    assert batch.ids.tolist() == [[END, 1, 2, END, 3, 4, END]]
    assert batch.documents.tolist() == [[0, 0, 0, 1, 1, 1]]


def test_orders_differ_by_seed_and_epoch():
    shard = numbered("a", [500])
    first, other = (Loader([shard], 1, 10, seed) for seed in (0, 1))
    orders = [[targets(each.batch(s)) for s in range(51)] for each in (first, other)]
    assert orders[0] != orders[1]
    assert orders[0] != [targets(first.batch(s + 51)) for s in range(51)]


@settings(max_examples=10)
@given(st.integers(3 * BLOCK_TOKENS, 8 * BLOCK_TOKENS), st.integers(0, 9), st.floats(0.3, 0.7))
def test_parts_share_no_token_whatever_their_lengths(size, seed, border):
    shard = numbered("a", [size])
    short = Loader([shard], 64, 256, seed, part=(0.0, border))
    long = Loader([shard], 2, 2048, seed, part=(border, 1.0))
    seen = [epoch_of_rows(each, len(each.sources[0])) for each in (short, long)]
    assert sorted(seen[0] + seen[1]) == sorted(shard.ids.tolist())
    assert [each.tokens_per_epoch for each in (short, long)] == list(map(len, seen))


def test_a_shard_too_small_to_share_is_read_by_every_part():
    shard = numbered("a", [100])
    for part in [(0.0, 0.1), (0.1, 0.9), (0.9, 1.0)]:
        assert Loader([shard], 1, 8, part=part).tokens_per_epoch == len(shard)


@settings(max_examples=10)
@given(lengths, lengths, sizes, st.floats(0.05, 0.95))
def test_a_mixture_draws_its_shares_and_each_shard_whole(one, two, size, share):
    shards = [numbered("a", one), numbered("b", two, first=10_000)]
    loader = Loader(shards, *size, mixture={"a": share, "b": 1 - share})
    rows = 500
    names = Counter(n[0] for s in range(-(-rows // size[0])) for n in loader.batch(s).names)
    total = sum(names.values())
    assert abs(names["a"] / total - share) < 0.03
    assert targets(loader.batch(7)) == targets(
        Loader(shards, *size, mixture={"b": 2 - 2 * share, "a": 2 * share}).batch(7)
    )
    for name, shard in zip("ab", shards, strict=True):
        windows = -(-len(shard) // size[1])
        seen: list[int] = []
        step = 0
        drawn = 0
        while drawn < windows:
            batch = loader.batch(step)
            for row in range(size[0]):
                if batch.names[row].startswith(name) and drawn < windows:
                    seen += batch.ids[row, 1:][batch.documents[row] >= 0].tolist()
                    drawn += 1
            step += 1
        assert sorted(seen) == sorted(shard.ids.tolist())


def test_several_shards_without_a_mixture_are_read_as_one():
    shards = [numbered("a", [70, 5]), numbered("b", [33], first=1000)]
    loader = Loader(shards, 3, 8)
    rows = len(loader.sources[0])
    assert sorted(epoch_of_rows(loader, rows)) == sorted(
        shards[0].ids.tolist() + shards[1].ids.tolist()
    )


def test_the_order_is_pinned():
    # A run that is resumed under another version of anything must go on with the same text.
    assert _stable_permutation(8, [0, 0, 0]).tolist() == [4, 1, 0, 6, 7, 3, 5, 2]
    shards = [numbered("a", [300]), numbered("b", [300], first=1000)]
    rows = Loader(shards, 10, 8, mixture={"a": 0.7, "b": 0.3}).batch(0).names
    assert "".join(name[0] for name in rows) == "aabaabaaab"


def test_errors_say_what_to_do():
    shard = numbered("a", [100])
    with pytest.raises(DataError, match="shard 'b' is empty.*Add documents.*validation_share"):
        Loader([shard, Shard.from_documents("b", [], END)], 1, 8)
    with pytest.raises(DataError, match="none was given"):
        Loader([], 1, 8)
    with pytest.raises(ConfigError, match="batch=0 and length=8"):
        Loader([shard], 0, 8)
    with pytest.raises(ConfigError, match=r"part=\(0.5, 0.5\) must be"):
        Loader([shard], 1, 8, part=(0.5, 0.5))
    with pytest.raises(ConfigError, match="length=300 must divide 4096 .* try 256"):
        Loader([shard], 1, 300, part=(0.0, 0.5))
    with pytest.raises(ConfigError, match="must give each shard"):
        Loader([shard], 1, 8, mixture={"b": 1.0})
    with pytest.raises(ConfigError, match="step=-1"):
        Loader([shard], 1, 8).batch(-1)
