"""What is removed depends on the texts alone, not on their order, and each removal is exact."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.core import ConfigError
from groundup.corpus import (
    jaccard,
    minhash,
    near_duplicates,
    remove_exact,
    remove_near,
    remove_overlapping,
    shingles,
)
from groundup.documents import Document, read_bytes

VOCABULARY = [f"word{n}" for n in range(500)]


def text(seed: int, words: int = 200) -> str:
    return " ".join(random.Random(seed).choices(VOCABULARY, k=words))


def edited(source: str, changes: int, seed: int = 0) -> str:
    words, chance = source.split(), random.Random(seed)
    for place in chance.sample(range(len(words)), changes):
        words[place] = "changed"
    return " ".join(words)


def document(path: str, content: str) -> Document:
    return read_bytes(content.encode(), path)


def family(seed: int) -> list[Document]:
    """Some texts, each with close and distant relatives."""
    found = []
    for number in range(6):
        base = text(100 * seed + number, 120)
        found.append(document(f"{number}/base.txt", base))
        found.append(document(f"{number}/same.txt", base))
        found += [document(f"{number}/{n}.txt", edited(base, n, n)) for n in (1, 2, 3, 8, 40)]
    return found


def shingle_sets(content: str) -> set[tuple[str, ...]]:
    """Word 5-grams, plainly."""
    words = content.lower().split()
    return {tuple(words[n : n + 5]) for n in range(max(1, len(words) - 4))}


@pytest.mark.parametrize("seed", range(3))
def test_any_order_gives_the_same_result(seed):
    documents = family(seed)
    held_out = documents[:3]
    expected = remove_near(documents[3:], held_out)
    exact = remove_exact(documents)
    for order in range(3):
        shuffled, fixed = documents[3:], documents[:3]
        random.Random(order).shuffle(shuffled)
        random.Random(order).shuffle(fixed)
        again = remove_near(shuffled, fixed)
        assert again == expected
        assert remove_exact(shuffled + fixed) == exact


def test_near_duplicates_are_those_of_all_pairs_compared_plainly():
    texts = [d.text for d in family(7)]
    sets = [shingle_sets(content) for content in texts]
    expected = {
        (i, j): len(sets[i] & sets[j]) / len(sets[i] | sets[j])
        for j in range(len(texts))
        for i in range(j)
    }
    for threshold in (0.5, 0.8, 0.95):
        pairs = near_duplicates(texts, threshold)
        assert {(p.i, p.j): p.jaccard for p in pairs} == {
            pair: similarity for pair, similarity in expected.items() if similarity >= threshold
        }
        assert pairs == sorted(pairs)


def test_nothing_near_a_held_out_document_stays():
    documents = family(3)
    held_out = [d for d in documents if d.path.endswith("base.txt")]
    rest = [d for d in documents if not d.path.endswith("base.txt")]
    kept = remove_near(rest, held_out, threshold=0.8)
    for document in kept.documents:
        for held in held_out:
            assert jaccard(shingles(document.text), shingles(held.text)) < 0.8
    assert len(kept.documents) + len(kept.removed) == len(rest)
    first = kept.removed[0]
    assert first.reason == "near-duplicate of held-out" and first.of == "0/base.txt"


def test_what_lies_within_a_held_out_document_goes_and_what_holds_one_too():
    page, other = text(1, 120), text(2, 120)
    book = " ".join([text(3, 900), page, text(4, 900)])
    rest = [document("book", book), document("other", other), document("page", page)]
    assert jaccard(shingles(page), shingles(book)) < 0.1  # too far apart for near-duplicates
    for held, gone, kept in (("page", {"book"}, ["other"]), ("book", {"page"}, ["other"])):
        held_out = [d for d in rest if d.path == held]
        found = remove_overlapping([d for d in rest if d.path != held], held_out)
        assert [d.path for d in found.documents] == kept
        assert {(row.path, row.of) for row in found.removed} == {(path, held) for path in gone}


def test_overlap_is_that_of_plain_sets_and_the_threshold_counts():
    documents = family(5)
    held_out, rest = documents[::4], [d for n, d in enumerate(documents) if n % 4]
    for threshold in (0.3, 0.5, 0.9):
        kept = {d.path for d in remove_overlapping(rest, held_out, threshold).documents}
        for d in rest:
            mine = shingle_sets(d.text)
            shares = [
                len(mine & theirs) / min(len(mine), len(theirs))
                for theirs in (shingle_sets(held.text) for held in held_out)
            ]
            assert (d.path in kept) is (max(shares) < threshold)


def test_a_short_text_within_another_is_no_overlap():
    licence, long = text(6, 30), text(7, 400)  # 26 shingles
    rest = [document("long", f"{licence} {long}")]
    assert not remove_overlapping(rest, [document("licence", licence)]).removed
    assert not remove_overlapping(rest, []).removed


def test_kept_documents_are_not_near_each_other_and_the_first_path_wins():
    kept = remove_near(family(4))
    for n, a in enumerate(kept.documents):
        for b in kept.documents[:n]:
            assert jaccard(shingles(a.text), shingles(b.text)) < 0.8
    names = {d.path for d in kept.documents}
    assert all(row.of in names and row.of < row.path for row in kept.removed)


def test_exact_duplicates_go_to_the_first_path():
    kept = remove_exact([document("b", "x"), document("c", "y"), document("a", "x")])
    assert [d.path for d in kept.documents] == ["a", "c"]
    assert kept.removed == [("b", "exact duplicate", "a", "")]


def test_a_byte_order_mark_makes_no_difference():
    marked = read_bytes(b"\xef\xbb\xbfsame", "b.txt")
    assert len(remove_exact([document("a.txt", "same"), marked]).documents) == 1


@given(st.text(st.sampled_from("ab é.\n"), max_size=60))
def test_shingles_are_a_sorted_set_that_case_and_marks_do_not_change(content):
    found = shingles(content)
    assert found.dtype == np.uint64
    assert (np.diff(found.astype(object)) > 0).all()
    assert np.array_equal(found, shingles(content.upper().replace(".", " ,! ")))


def test_shingles_tell_order_and_length_apart():
    def one(content: str) -> int:
        (found,) = shingles(content)
        return int(found)

    different = ["a b c d e", "b a c d e", "a b c d", "a", "a a", "e d c b a"]
    assert len({one(content) for content in different}) == len(different)
    assert len(shingles(" .. ")) == 0


def test_equal_minima_estimate_the_similarity():
    a, b = shingles(text(1, 2000)), shingles(edited(text(1, 2000), 60))
    estimates = [(minhash(a, seed) == minhash(b, seed)).mean() for seed in range(10)]
    assert abs(np.mean(estimates) - jaccard(a, b)) < 0.04
    assert np.array_equal(minhash(a, 3), minhash(a[::-1], 3))
    assert not np.array_equal(minhash(a, 3), minhash(a, 4))


def test_texts_without_words_are_nobodys_duplicates():
    assert near_duplicates(["", "...", "!!!"]) == []
    kept = remove_near([document("a", "..."), document("b", "!!!")])
    assert len(kept.documents) == 2


def test_a_threshold_outside_its_range_is_refused():
    for threshold in (0, -1, 1.5):
        with pytest.raises(ConfigError, match="above 0 and at most 1"):
            near_duplicates(["a"], threshold)
