"""What is removed depends on the texts alone, not on their order, and each removal is exact."""

import random

import numpy as np
import pytest

from groundup.core import ConfigError
from groundup.corpus import near_duplicates, remove_exact, remove_near, remove_overlapping
from groundup.corpus.dedup import sketch
from groundup.corpus.dedup.clusters import resolve_stars
from groundup.corpus.dedup.in_memory import SetIndex, _minhash_settings
from groundup.corpus.dedup.minhash import MinHashDedup
from groundup.corpus.dedup.sketch import fold_table, pack_strings, shingle_sets
from groundup.documents import Document, read_bytes
from tests.corpus.dedup.shards import dropped, record, survey

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


def reference_shingles(content: str) -> set[tuple[str, ...]]:
    """Word 5-grams, plainly."""
    words = content.lower().split()
    return {tuple(words[n : n + 5]) for n in range(len(words) - 4)}


def jaccard(a: str, b: str) -> float:
    one, two = reference_shingles(a), reference_shingles(b)
    return len(one & two) / len(one | two)


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
    sets = [reference_shingles(content) for content in texts]
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
    for document in kept.kept:
        for held in held_out:
            assert jaccard(document.text, held.text) < 0.8
    assert len(kept.kept) + len(kept.removed) == len(rest)
    first = kept.removed[0]
    assert first.reason == "near-duplicate of held-out" and first.of == "0/base.txt"


def test_what_lies_within_a_held_out_document_goes_and_what_holds_one_too():
    page, other = text(1, 120), text(2, 120)
    book = " ".join([text(3, 900), page, text(4, 900)])
    rest = [document("book", book), document("other", other), document("page", page)]
    assert jaccard(page, book) < 0.1  # too far apart for near-duplicates
    for held, gone, kept in (("page", {"book"}, ["other"]), ("book", {"page"}, ["other"])):
        held_out = [d for d in rest if d.path == held]
        found = remove_overlapping([d for d in rest if d.path != held], held_out)
        assert [d.path for d in found.kept] == kept
        assert {(row.path, row.of) for row in found.removed} == {(path, held) for path in gone}


def test_overlap_is_that_of_plain_sets_and_the_threshold_counts():
    documents = family(5)
    held_out, rest = documents[::4], [d for n, d in enumerate(documents) if n % 4]
    for threshold in (0.3, 0.5, 0.9):
        kept = {d.path for d in remove_overlapping(rest, held_out, threshold).kept}
        for d in rest:
            mine = reference_shingles(d.text)
            shares = [
                len(mine & theirs) / min(len(mine), len(theirs))
                for theirs in (reference_shingles(held.text) for held in held_out)
            ]
            assert (d.path in kept) is (max(shares) < threshold)


def test_a_short_text_within_another_is_no_overlap():
    licence, long = text(6, 30), text(7, 400)  # 26 shingles
    rest = [document("long", f"{licence} {long}")]
    assert not remove_overlapping(rest, [document("licence", licence)]).removed
    assert not remove_overlapping(rest, []).removed


def test_kept_documents_are_not_near_each_other_and_the_first_path_wins():
    kept = remove_near(family(4))
    for n, a in enumerate(kept.kept):
        for b in kept.kept[:n]:
            assert jaccard(a.text, b.text) < 0.8
    names = {d.path for d in kept.kept}
    assert all(row.of in names and row.of < row.path for row in kept.removed)


def test_exact_duplicates_go_to_the_first_path():
    kept = remove_exact([document("b", "x"), document("c", "y"), document("a", "x")])
    assert [d.path for d in kept.kept] == ["a", "c"]
    assert kept.removed == [("b", "exact duplicate", "a", "")]


def test_a_byte_order_mark_makes_no_difference():
    marked = read_bytes(b"\xef\xbb\xbfsame", "b.txt")
    assert len(remove_exact([document("a.txt", "same"), marked]).kept) == 1


def test_equal_words_in_other_white_space_are_exact_duplicates():
    kept = remove_exact([document("a", "one  two\n"), document("b", "one two"), document("c", " ")])
    assert [d.path for d in kept.kept] == ["a", "c"]


def test_the_survey_and_the_stage_drop_the_same(tmp_path):
    """One definition: on shards and in memory the same records go, for the same ones."""
    documents = sorted(family(4), key=lambda one: record(one.path, one.text).id)
    names = {record(one.path, one.text).id: one.path for one in documents}
    rulings = survey(
        MinHashDedup(_minhash_settings(0.8)), [record(d.path, d.text) for d in documents], tmp_path
    )
    pairs = near_duplicates([one.text for one in documents])
    found = resolve_stars(
        np.array([pair[:2] for pair in pairs]), np.array([pair[2] for pair in pairs])
    )
    of = dict(zip(found.dropped.tolist(), found.kept.tolist(), strict=True))
    assert len(of) == 18
    assert {documents[a].path: documents[b].path for a, b in of.items()} == {
        names[one]: names[rulings[one].details.split()[0]] for one in dropped(rulings)
    }


def test_without_a_compiler_the_same_goes(monkeypatch):
    documents = family(6)
    held_out, rest = documents[::5], [d for n, d in enumerate(documents) if n % 5]
    compiled = remove_near(rest, held_out), remove_overlapping(rest, held_out)
    monkeypatch.setattr(sketch, sketch._sketch_library.__name__, lambda: None)
    assert (remove_near(rest, held_out), remove_overlapping(rest, held_out)) == compiled


def test_what_sets_share_is_counted_exactly():
    texts = [d.text for d in family(8)] + ["", "too short"]
    made = shingle_sets(pack_strings(texts), fold_table(True, False), 5)
    index, rows = SetIndex(made), np.split(made.items, made.bounds[1:-1])
    for row, own in zip(rows, texts, strict=True):
        plain = [len(reference_shingles(own) & reference_shingles(other)) for other in texts]
        assert index.intersection_sizes(row).tolist() == plain
        union = [len(reference_shingles(own) | reference_shingles(other)) for other in texts]
        expected = [a / max(b, 1) for a, b in zip(plain, union, strict=True)]
        assert index.jaccards(row).tolist() == expected


def test_a_thousand_copies_cost_no_square_and_all_but_one_go():
    documents = [document(f"{n:04}", f"{text(9, 40)} tail{n % 3}") for n in range(1_100)]
    assert [d.path for d in remove_near(documents).kept] == ["0000"]


def test_texts_without_words_are_nobodys_duplicates():
    assert near_duplicates(["", "...", "!!!"]) == []
    kept = remove_near([document("a", "..."), document("b", "!!!")])
    assert len(kept.kept) == 2


def test_a_threshold_outside_its_range_is_refused():
    for threshold in (0, -1, 1.5):
        with pytest.raises(ConfigError, match="threshold"):
            near_duplicates(["a"], threshold)
