"""What is cut stands elsewhere word for word, and nothing that long is left twice."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.corpus.dedup.substrings import (
    Substrings,
    SubstringsConfig,
    _merge_overlaps,
    _prefix_length,
    _winnow,
)
from groundup.documents import apply_result
from tests.corpus.dedup.shards import record, survey, words


def cut(texts: list[str], folder, shards: int = 2, settings=None) -> dict[str, str]:
    """Text by path of what stays."""
    records = [record(f"{n}", text) for n, text in enumerate(texts)]
    rulings = survey(Substrings(SubstringsConfig(**settings or {})), records, folder, shards)
    kept = [one for one in records if one.id not in rulings or not rulings[one.id].reason]
    return {
        one.path: apply_result(one, rulings[one.id]).text if one.id in rulings else one.text
        for one in kept
    }


def in_rows(text: str, length: int) -> list[tuple[str, ...]]:
    parts = text.split()
    return [tuple(parts[at : at + length]) for at in range(len(parts) - length + 1)]


@pytest.mark.parametrize("length", [50, 51, 80, 300])
def test_any_passage_of_fifty_words_stays_once(tmp_path, length):
    shared = words(99, length)
    texts = [f"{words(n, 40 + 7 * n)} {shared} {words(50 + n, 31)}" for n in range(6)]
    left = cut(texts, tmp_path)
    assert sum(shared in text for text in left.values()) == 1
    rows = [row for text in left.values() for row in in_rows(text, 50)]
    assert len(rows) == len(set(rows))
    for n, text in left.items():
        assert text == texts[int(n)] or text.split() == f"{words(int(n), 40 + 7 * int(n))} " \
            f"{words(50 + int(n), 31)}".split()  # fmt: skip


def test_forty_nine_words_stay(tmp_path):
    shared = words(99, 49)
    texts = [f"{words(n, 40)} {shared} {words(50 + n, 31)}" for n in range(4)]
    assert list(cut(texts, tmp_path).values()) == texts


@given(st.integers(0, 10**6))
@settings(max_examples=8)
def test_random_texts_of_repeated_pieces_keep_every_passage_once(tmp_path_factory, seed):
    chance = random.Random(seed)
    pieces = [words(seed + n, chance.randrange(1, 30)) for n in range(8)]
    texts = [" ".join(chance.choices(pieces, k=chance.randrange(1, 9))) for _ in range(6)]
    folder = tmp_path_factory.mktemp("s")
    left = cut(texts, folder, 3, {"min_tokens": 10, "min_left": 0})
    before = {row for text in texts for row in in_rows(text, 10)}
    after = " ".join(left.values()).split()
    assert {word for row in before for word in row} <= set(after)  # nothing is lost altogether


def test_order_and_shards_do_not_matter(tmp_path):
    shared = [words(900 + n, 70) for n in range(3)]
    records = [
        record(f"{n}", f"{words(n, 30)} {shared[n % 3]} {words(n + 60, 30)} {shared[n % 2]}")
        for n in range(20)
    ]
    step = Substrings(SubstringsConfig())
    first = survey(step, records, tmp_path / "0", 1)
    assert len(first) >= 18 and sum(len(ruling.edits) for ruling in first.values()) > 20
    random.Random(0).shuffle(records)
    assert survey(step, records, tmp_path / "1", 3) == first


def test_repetition_within_a_record_and_of_short_periods(tmp_path):
    passage = words(1, 60)
    left = cut([f"{passage} middle words {passage} end words", "word " * 500], tmp_path)
    assert left["0"].split() == f"{passage} middle words end words".split()
    assert len(left["1"].split()) == 50


def test_a_record_of_nothing_new_goes(tmp_path):
    text = words(2, 120)
    assert len(cut([text, text + ".", "\0" + text], tmp_path)) == 1


def test_places_are_characters_and_chinese_counts_by_them(tmp_path):
    chance = random.Random(5)
    shared = "".join(chr(0x4E00 + chance.randrange(3000)) for _ in range(60))
    texts = [f"äöü één 漢 {n} {shared}。{'尾首'[n]} {n} éé" for n in range(2)]
    left = cut([f"{text} {words(n, 30)}" for n, text in enumerate(texts)], tmp_path)
    short = [text for text in left.values() if shared not in text]
    assert len(short) == 1
    assert short[0].startswith(("äöü één 漢 0 。尾 0 éé", "äöü één 漢 1 。首 1 éé"))


def test_hostile_texts(tmp_path):
    texts = ["", "\0", "a" * 300_000, "<" * 100_000, "a " * 30_000]
    left = cut(texts, tmp_path)
    assert list(left.values())[:4] == texts[:4] and len(left["4"].split()) == 50


def test_winnowing_and_its_parts():
    assert _merge_overlaps([]) == [] and _winnow(np.zeros(2), 3).tolist() == []

    a = np.arange(1_000)
    assert (
        _prefix_length(a, a) == 1_000
        and _prefix_length(a[:7], a) == 7
        and _prefix_length(a, a[1:]) == 0
    )
    b = a.copy()
    b[700] = -1
    assert _prefix_length(a, b) == 700
