"""GloVe: counts of cells, and vectors that fit them."""

import numpy as np
import pytest
from safetensors.numpy import load_file

from groundup.core import DataError, device
from groundup.embeddings.glove import (
    CELL,
    GloveConfig,
    _fit_cells,
    _initial_sides,
    _merge_runs,
    _sum_by_key,
    _train_block,
    _train_cells,
    cooccurrences,
    glove,
)
from groundup.embeddings.text import TokenizedText, assign_ids

WORDS = 30


def text_of(length=1500):
    ids = np.random.default_rng(0).zipf(1.5, length).astype(np.int32) % WORDS
    ends = np.unique(np.append(np.random.default_rng(1).integers(1, length, 90), length))
    return TokenizedText(ids, ends.astype(np.int64))


def by_hand(text, window, is_symmetric, by_distance):
    table = np.zeros((WORDS, WORDS))
    for start, stop in zip([0, *text.ends[:-1]], text.ends, strict=True):
        words = text.ids[start:stop]
        for place, word in enumerate(words):
            for distance in range(1, min(window, place) + 1):
                before, amount = words[place - distance], 1 / distance if by_distance else 1
                table[before, word] += amount
                if is_symmetric:
                    table[word, before] += amount
    return table


def table_of(cells):
    table = np.zeros((WORDS, WORDS))
    table[cells["word"], cells["context"]] = cells["count"]
    return table


@pytest.mark.parametrize("is_symmetric", [True, False])
@pytest.mark.parametrize("by_distance", [True, False])
@pytest.mark.parametrize("memory", [1 << 14, 1 << 29])
def test_cells_are_those_counted_by_hand(tmp_path, is_symmetric, by_distance, memory):
    text = text_of()
    cells = cooccurrences(
        text, WORDS, 4, tmp_path, is_symmetric=is_symmetric, by_distance=by_distance,
        memory_bytes=memory,
    )  # fmt: skip
    assert cells.dtype == CELL
    assert len(set(zip(cells["word"].tolist(), cells["context"].tolist(), strict=True))) == len(
        cells
    )
    wanted = by_hand(text, 4, is_symmetric, by_distance)
    np.testing.assert_allclose(table_of(cells), wanted, rtol=1e-12)


def test_runs_are_merged_whatever_their_ranges():
    stream = np.random.default_rng(0)
    runs = [_sum_by_key(stream.integers(0, 9000, 4000), np.ones(4000)) for _ in range(5)]
    whole = _sum_by_key(
        np.concatenate([run.keys for run in runs]), np.concatenate([run.counts for run in runs])
    )
    parts = list(_merge_runs(runs, 1500))
    assert len(parts) > 3
    assert np.array_equal(np.concatenate([part.keys for part in parts]), whole.keys)
    assert np.array_equal(np.concatenate([part.counts for part in parts]), whole.counts)


@pytest.mark.parametrize("memory", [1 << 14, 1 << 29])
def test_cells_are_shuffled(tmp_path, memory):
    cells = cooccurrences(text_of(), WORDS, 5, tmp_path, memory_bytes=memory)
    places = np.arange(len(cells))
    keys = cells["word"].astype(int) * WORDS + cells["context"]
    assert abs(np.corrcoef(places, keys)[0, 1]) < 0.15
    (tmp_path / "again").mkdir()
    again = cooccurrences(text_of(), WORDS, 5, tmp_path / "again", memory_bytes=memory)
    assert np.array_equal(cells, again)


def test_single_words_give_no_cells(tmp_path):
    alone = TokenizedText(np.array([0, 1, 0], np.int32), np.array([1, 2, 3]))
    with pytest.raises(DataError, match="No sentence has two words"):
        cooccurrences(alone, 2, 5, tmp_path)


needs_compiler = pytest.mark.skipif(not device.compiler(), reason="no C++ compiler")


@pytest.mark.parametrize("run", [_train_cells, _train_block])
def test_losses_and_vectors_are_glove_cs(root, run):
    expected = load_file(root / "tests/fixtures/glove/expected.safetensors")
    rows, first, last = (expected[name] for name in ("cells", "first", "last"))
    cells = np.empty(len(rows), CELL)
    for name, column in zip(CELL.names, rows.T, strict=True):
        cells[name] = column
    words, width = len(first) // 2, first.shape[1] - 1
    sides = _initial_sides(words, width, 0)
    for side, values in zip(sides, (first[:words], first[words:]), strict=True):
        side.vectors[:, :width], side.bias[:] = values[:, :width], values[:, width]
    config = GloveConfig(width=width, x_max=10)
    losses = [run(*sides, cells, config) / len(cells) for _ in expected["losses"]]
    np.testing.assert_allclose(losses, expected["losses"], rtol=2e-6, atol=1e-6)
    for side, values in zip(sides, (last[:words], last[words:]), strict=True):
        np.testing.assert_allclose(side.vectors[:, :width], values[:, :width], atol=2e-5)
        np.testing.assert_allclose(side.bias, values[:, width], atol=2e-5)


def cells_of(words=40, n=900):
    stream = np.random.default_rng(0)
    cells = np.empty(n, CELL)
    keys = stream.permutation(words * words)[:n]
    cells["word"], cells["context"] = keys // words, keys % words
    cells["count"] = np.exp(stream.normal(1, 2, n))
    return cells


@needs_compiler
@pytest.mark.parametrize("width", [3, 50, 128])
@pytest.mark.parametrize("clip", [100.0, 0.02])
def test_the_compiled_loop_is_the_definition(width, clip):
    config = GloveConfig(width=width, x_max=5, clip=clip, bias_learning_rate=0.05)
    slow, fast = _initial_sides(40, width, 1), _initial_sides(40, width, 1)
    for _ in range(3):
        a, b = (run(*s, cells_of(), config) for run, s in
                ((_train_cells, slow), (_train_block, fast)))  # fmt: skip
        assert a == pytest.approx(b, rel=1e-6)
    for ours, theirs in zip((*slow[0], *slow[1]), (*fast[0], *fast[1]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-6)


@needs_compiler
def test_threads_reach_nearly_the_same_loss():
    config = GloveConfig(width=8, epochs=8)
    found = [_fit_cells(cells_of(), 40, config, threads=t) for t in (1, 1, 2)]
    (one, losses), (again, same), (_, near) = found
    assert np.array_equal(one, again) and losses == same
    assert len(losses) == 8 and (np.diff(losses) < 0).all()
    assert near[-1] == pytest.approx(losses[-1], rel=0.1)


@needs_compiler
def test_threads_share_all_cells():
    cells = cells_of(words=7, n=7)
    cells["word"] = cells["context"] = np.arange(7)  # no two threads meet at a word
    config = GloveConfig(width=8, epochs=2)
    alone, shared = (_fit_cells(cells, 7, config, threads=t) for t in (1, 4))
    assert np.array_equal(alone[0], shared[0]) and alone[1] == pytest.approx(shared[1])


def test_words_of_like_use_become_alike(tmp_path):
    stream = np.random.default_rng(0)
    kinds = [[f"{kind}{n}" for n in range(5)] for kind in "abc"]
    # Cells of zero are never seen, so words of other kinds must meet now and then.
    given = [
        list(stream.choice(kinds[n % 3] + (sum(kinds, []) if n % 4 == 0 else []), 8))
        for n in range(900)
    ]
    text, vocabulary = assign_ids(given, tmp_path)
    config = GloveConfig(width=8, x_max=20, epochs=25)
    found = glove(text, len(vocabulary.words), config, tmp_path, threads=1)[0]
    units = found / np.linalg.norm(found, axis=1, keepdims=True)
    same = np.array([[a[0] == b[0] for b in vocabulary.words] for a in vocabulary.words])
    near = units @ units.T
    assert near[same & ~np.eye(len(near), dtype=bool)].mean() > near[~same].mean() + 0.3
