"""SpanBERT's spans: geometric lengths in whole words, edges that are seen and in the document."""

import numpy as np
from scipy import stats

from groundup.tokenizer import MASK
from groundup.train import get_objective
from groundup.train.objectives.draws import KeyedRandom
from groundup.train.objectives.span_boundary import LENGTH_WEIGHTS
from tests.train.objectives.rows import many
from tests.train.objectives.test_masked import within


def made(what):
    return get_objective("boundary").batch(what.context, what.rows, what.step)


def runs(hidden: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, start, end) of hidden tokens in a row."""
    found = []
    for row, line in enumerate(hidden):
        steps = np.flatnonzero(np.diff(np.concatenate([[0], line, [0]])))
        found += [(row, int(a), int(b)) for a, b in steps.reshape(-1, 2)]
    return found


def test_lengths_are_the_paper_s_geometric_up_to_ten():
    found = 1 + KeyedRandom(1).weighted_choice(LENGTH_WEIGHTS, 20_000)
    law = stats.geom(0.2).pmf(np.arange(1, 11))
    counts = np.bincount(found, minlength=11)[1:]
    assert stats.chisquare(counts, 20_000 * law / law.sum()).pvalue > 1e-3
    assert round(float((law * np.arange(1, 11)).sum() / law.sum()), 1) == 3.8  # as it says


def test_fifteen_in_a_hundred_are_hidden_and_no_special_is():
    what = many()
    batch, known = made(what), what.context.token_properties
    original = what.rows.ids[:, 1:]
    candidates = (what.rows.documents >= 0) & ~known.is_special[original]
    hidden = batch.weights.numpy() > 0
    assert within(hidden.sum(), candidates.sum(), 0.15)
    assert not (hidden & ~candidates).any()


def test_edges_are_seen_and_in_the_same_document():
    what = many()
    batch = made(what)
    hidden, documents = batch.weights.numpy() > 0, what.rows.documents
    spans = runs(hidden.astype(int))
    assert len(spans) > 2000
    for row, start, end in spans:
        assert start > 0 and end < hidden.shape[1]
        assert len(set(documents[row, start - 1 : end + 1])) == 1
        wanted = [(start - 1, end, place) for place in range(end - start)]
        assert batch.edges[row, start:end].tolist() == [list(each) for each in wanted]
        assert not hidden[row, start - 1] and not hidden[row, end]


def test_a_span_has_one_fate():
    what = many()
    batch, known = made(what), what.context.token_properties
    original, ids = what.rows.ids[:, 1:], batch.ids.numpy()
    spans = runs((batch.weights.numpy() > 0).astype(int))
    masks = [(ids[row, a:b] == known.special_token_id(MASK)) for row, a, b in spans]
    kept = [(ids[row, a:b] == original[row, a:b]).all() for row, a, b in spans]
    assert all(mask.all() or not mask.any() for mask in masks)
    assert within(sum(mask.all() for mask in masks), len(spans), 0.8)
    assert within(sum(kept), len(spans), 0.1)


def test_a_row_too_short_for_neighbours_hides_nothing():
    what = many()
    rows = what.rows._replace(ids=what.rows.ids[:, :3], documents=what.rows.documents[:, :2])
    assert made(what._replace(rows=rows)).weights.sum() == 0
