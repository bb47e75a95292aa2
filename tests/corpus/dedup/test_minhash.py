"""What goes is nearly the same as what stays, whatever the order of records and their shards."""

import json
import random

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.corpus.dedup.exact import ExactConfig, ExactDedup, resolve_stars
from groundup.corpus.dedup.minhash import (
    MinHashConfig,
    MinHashDedup,
    _describe_minhash,
    band_keys,
    candidate_probability,
    near_duplicates,
)
from groundup.corpus.dedup.sketch import fold_table, minhash_signatures, pack_strings, shingle_sets
from groundup.corpus.engine.specs import GlobalStep
from tests.corpus.dedup.shards import dropped, edited, family, here, pooled, record, survey, words


def jaccard(a: str, b: str) -> float:
    one, two = (set(zip(*(t.split()[n:] for n in range(5)), strict=False)) for t in (a, b))
    return len(one & two) / len(one | two)


def test_near_duplicates_are_those_of_all_pairs_compared_plainly():
    texts = [one.text for one in family(7)]
    values = {(i, j): jaccard(texts[i], texts[j]) for j in range(len(texts)) for i in range(j)}
    for threshold in (0.5, 0.8, 0.95):
        pairs = near_duplicates(texts, threshold)
        assert {(p.i, p.j): p.jaccard for p in pairs} == {
            pair: value for pair, value in values.items() if value >= threshold
        }
        assert pairs == sorted(pairs)
    assert near_duplicates(["", "...", "!!!"]) == [], "texts without words"
    for threshold in (0, -1, 1.5):
        with pytest.raises(ConfigError, match="threshold"):
            near_duplicates(["a"], threshold)


def test_shards_and_memory_have_one_definition(tmp_path):
    records = sorted(family(4), key=lambda one: one.id)
    settings = {"bands": 32, "rows": 4, "threshold": 0.8, "fold_digits": False}
    step = MinHashDedup(MinHashConfig(**settings))
    assert isinstance(step, GlobalStep)
    rulings = survey(step, records, tmp_path)
    pairs = near_duplicates([one.text for one in records], seed=1)
    found = resolve_stars(
        np.array([pair[:2] for pair in pairs]), np.array([pair[2] for pair in pairs])
    )
    of = dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True))
    assert len(of) > 20
    assert {records[a].id: records[b].id for a, b in of.items()} == {
        one: rulings[one].details.split()[0] for one in dropped(rulings)
    }


@pytest.mark.parametrize("kind", ["stars", "components"])
def test_any_order_any_shards_any_workers_give_the_same_rulings(tmp_path, kind):
    records = family(1)
    step = MinHashDedup(MinHashConfig(priority=("s",), clusters=kind, bands=40, rows=4))
    first = survey(step, records, tmp_path / "0", 1)
    assert len(dropped(first)) >= 30
    for number, (shards, each) in enumerate([(2, here), (3, pooled if kind == "stars" else here)]):
        random.Random(number).shuffle(records)
        assert survey(step, records, tmp_path / f"{number + 1}", shards, each) == first
    small = step.config.model_copy(update={"memory_bytes": 2**16})
    assert survey(MinHashDedup(small), records, tmp_path / "small", 3) == first


def test_who_goes_is_alike_to_who_stays(tmp_path):
    records = family(2)
    texts = {one.id: one.text for one in records}
    rulings = survey(MinHashDedup(MinHashConfig(bands=50, rows=4)), records, tmp_path)
    gone = dropped(rulings)
    for name in gone:
        kept = rulings[name].details.split()[0]
        assert kept not in gone and rulings[name].value >= 0.7
        assert rulings[name].value == pytest.approx(jaccard(texts[name], texts[kept]))
    for name in set(texts) - set(gone):
        others = [one for one in texts if one not in gone and one != name]
        assert max(jaccard(texts[name], texts[one]) for one in others) < 0.7
    sizes = [ruling.metadata["near_copies"] for ruling in rulings.values() if ruling.metadata]
    assert sum(sizes) == len(gone) + len(sizes)


def test_a_chain_drops_what_is_like_nothing_only_if_told_to(tmp_path):
    chain = [words(3, 150)]
    for step in range(12):
        chain.append(edited(chain[-1], 4, step))
    records = [record(f"{n}", text) for n, text in enumerate(chain)]
    settings = {"bands": 56, "rows": 2}
    whole = survey(
        MinHashDedup(MinHashConfig(clusters="components", **settings)), records, tmp_path
    )
    stars = survey(MinHashDedup(MinHashConfig(**settings)), records, tmp_path / "stars")
    assert len(dropped(whole)) == 12 > len(dropped(stars)) > 3


def test_the_best_source_stays(tmp_path):
    records = [record("a", words(1), "poor"), record("b", words(1) + " end", "good")]
    for step in (MinHashDedup(MinHashConfig(priority=("good", "poor"))),):
        assert list(dropped(survey(step, records, tmp_path))) == [records[0].id]


def test_a_huge_bucket_costs_no_square_and_still_drops_its_records(tmp_path):
    records = [record(f"{n}", words(5) + f" tail{n % 5}") for n in range(300)]
    step = MinHashDedup(MinHashConfig(bucket_cap=10))
    assert len(dropped(survey(step, records, tmp_path))) == 299
    report = json.loads((tmp_path / "scratch" / "report.json").read_text())
    assert report["capped_buckets"] > 0 and report["candidates"] < 2_000
    assert report["largest"][0]["size"] == 300 and len(report["largest"][0]["dropped"]) == 5


def test_chinese_is_compared_by_characters(tmp_path):
    base = "".join(chr(0x4E00 + random.Random(n).randrange(3000)) for n in range(200))
    other = "".join(chr(0x4E00 + random.Random(n + 999).randrange(3000)) for n in range(200))
    records = [record("a", base), record("b", base[:198] + "。的"), record("c", other)]
    assert len(dropped(survey(MinHashDedup(MinHashConfig()), records, tmp_path))) == 1


def test_hostile_texts_pass(tmp_path):
    texts = [
        "", " ", "\0" * 50, "one two", "a" * 5_000_000, "<" * 1_000_000, "\u0301" * 999, "é" * 9,
    ]  # fmt: skip
    records = [record(f"{n}", text) for n, text in enumerate(texts)]
    for name, step in (("m", MinHashDedup(MinHashConfig())), ("e", ExactDedup(ExactConfig()))):
        assert dropped(survey(step, records, tmp_path / name)) == {}
    assert survey(MinHashDedup(MinHashConfig()), [], tmp_path / "none") == {}


@pytest.mark.parametrize("similarity", [0.7, 0.8, 0.9])
def test_pairs_are_found_as_often_as_the_theory_says(similarity):
    """2,000 planted pairs of sets each; the interval of the share holds the chance."""
    chance, count, size = random.Random(int(similarity * 10)), 2_000, 100
    changes = round(size * (1 - similarity) / (1 + similarity))
    exact = (size - changes) / (size + changes)
    texts = []
    for number in range(count):
        own = [f"{number}x{n}" for n in range(size + changes)]
        chance.shuffle(own)
        texts += [" ".join(own[:size]), " ".join(own[changes:])]
    config = MinHashConfig(ngram=1, fold_digits=False)
    table = fold_table(True, False)
    made = minhash_signatures(
        pack_strings(texts), table, 1, config.bands * config.rows, config.seed
    )
    keys = band_keys(made.minima, config.bands)
    share = (keys[::2] == keys[1::2]).any(1).mean()
    wanted = candidate_probability(exact, config.bands, config.rows)
    assert abs(share - wanted) < 2.6 * np.sqrt(wanted * (1 - wanted) / count) + 1e-9
    estimate = (made.minima[::2] == made.minima[1::2]).mean()
    assert estimate == pytest.approx(exact, abs=0.005)
    assert (
        np.diff(shingle_sets(pack_strings(texts), table, 1).bounds).tolist() == [size] * 2 * count
    )


def test_the_settings_show_their_curve():
    assert "0.70→0.565" in _describe_minhash(
        MinHashConfig()
    ) and "b=14 bands of r=8" in _describe_minhash(MinHashConfig())
    with pytest.raises(ConfigError, match="14 × 8"):
        MinHashConfig(bands=1000, rows=10)
