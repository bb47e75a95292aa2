"""Pictures: the directions of variance, neighbours that stay, labels that never overlap."""

import itertools
import re

import numpy as np
import pytest

from groundup.core import CapacityError, DataError
from groundup.embeddings.plotting import (
    DOT,
    HEIGHT,
    MARGIN,
    WIDTH,
    LabelExtent,
    _extents_overlap,
    _find_label_extent,
    _joint_probabilities,
    _kl_gradient,
    _label_width,
    _scale_to_plot,
    pca,
    project,
    scatter_plot,
    tsne,
)


@pytest.fixture
def clusters():
    stream = np.random.default_rng(0)
    return np.concatenate([stream.normal(size=(20, 10)) + 12 * stream.normal(size=10)
                           for _ in range(3)])  # fmt: skip


def test_pca_is_the_eigenvectors_of_the_covariance(clusters):
    points = pca(clusters)
    variances = np.sort(np.linalg.eigvalsh(np.cov(clusters.T)))[::-1]
    np.testing.assert_allclose(points.var(0, ddof=1), variances[:2])
    assert abs(np.corrcoef(points.T)[0, 1]) < 1e-9
    np.testing.assert_allclose(pca(clusters @ np.linalg.qr(np.ones((10, 10)) + np.eye(10))[0]),
                               points, atol=1e-8)  # fmt: skip


def test_pca_of_too_few_directions_is_padded():
    assert pca(np.array([[1.0], [2.0], [4.0]])).shape == (3, 2)


def test_neighbours_stay_neighbours(clusters):
    points = tsne(clusters, perplexity=10, steps=400)
    assert np.isfinite(points).all()
    for space in (points,):
        distances = np.linalg.norm(space[:, None] - space, axis=2)
        np.fill_diagonal(distances, np.inf)
        assert (distances.argmin(1) // 20 == np.arange(60) // 20).all()
    assert np.array_equal(points, tsne(clusters, perplexity=10, steps=400))


def test_widths_give_the_perplexity(clusters):
    near = _joint_probabilities(clusters, 7)
    assert near.sum() == pytest.approx(1) and np.allclose(near, near.T)
    with_twins = _joint_probabilities(np.repeat(clusters, 2, axis=0), 7)
    assert np.isfinite(with_twins).all()


def test_the_gradient_is_that_of_the_divergence(clusters):
    near, points = _joint_probabilities(clusters, 7), np.random.default_rng(1).normal(size=(60, 2))

    def divergence(at):
        kernel = 1 / (1 + ((at[:, None] - at) ** 2).sum(2))
        np.fill_diagonal(kernel, 0)
        off = ~np.eye(60, dtype=bool)
        return (near[off] * np.log(near[off] / (kernel / kernel.sum())[off])).sum()

    shift = np.zeros_like(points)
    shift[3, 1] = 1e-5
    slope = (divergence(points + shift) - divergence(points - shift)) / 2e-5
    assert _kl_gradient(points, near)[3, 1] == pytest.approx(slope, rel=1e-4)


def test_sizes_that_cannot_be_drawn():
    with pytest.raises(CapacityError, match="at most 2000"):
        tsne(np.zeros((2001, 2)))
    with pytest.raises(DataError, match="at least 4"):
        tsne(np.zeros((3, 2)))
    with pytest.raises(DataError, match="at least 2"):
        project(np.zeros((1, 2)), "pca")


def test_one_scale_for_both_axes():
    places = _scale_to_plot(np.array([[0.0, 0], [10, 0], [0, 1]]))
    assert places[1, 0] - places[0, 0] == pytest.approx(10 * (places[0, 1] - places[2, 1]))
    assert np.isfinite(_scale_to_plot(np.zeros((3, 2)))).all()


def test_labels_never_overlap():
    taken: list[LabelExtent] = []
    for x, y in np.random.default_rng(0).uniform(0, 600, (300, 2)).tolist():
        if spot := _find_label_extent("a word", x, y, taken):
            taken.append(spot)
    assert 20 < len(taken) < 300
    assert not any(_extents_overlap(a, b) for a, b in itertools.combinations(taken, 2))
    assert all(spot.left > 0 and spot.right < WIDTH for spot in taken)


def test_labels_keep_off_dots():
    dots = [LabelExtent(x - DOT, x + DOT, y) for x, y in
            np.random.default_rng(1).uniform(0, 600, (80, 2)).tolist()]  # fmt: skip
    taken = list(dots)
    for dot in dots:
        if spot := _find_label_extent("文字 OF", dot.left + DOT, dot.y, taken):
            taken.append(spot)
    labels = taken[len(dots) :]
    assert len(labels) > 10
    height = 13 / 2  # of a letter's font, which the dot's radius is added to
    for one in labels:
        assert one.right - one.left == pytest.approx(_label_width("文字 OF"))
        near = [dot for dot in dots if one.left < dot.right and dot.left < one.right]
        assert all(abs(one.y - dot.y) >= height + DOT for dot in near)


def test_a_narrow_page_scrolls_the_picture_and_keeps_its_letters(clusters):
    html = scatter_plot("Words", ["a"] * 60, pca(clusters))
    assert "min-width:850px" in html and 'tabindex="0"' in html
    assert html.index('class="scroll"') < html.index("<svg")


def test_every_word_is_drawn_listed_and_escaped(clusters):
    words = [f"w{n}<b>" for n in range(60)]
    html = scatter_plot("Words", words, pca(clusters), [n // 20 for n in range(60)])
    assert html.count("<circle") == 60 and "<b>" not in html
    assert len(re.findall(r'<th scope="row">', html)) == 60
    assert {f"series-{n}" for n in (1, 2, 3)} <= set(re.findall(r"series-\d", html))


def test_points_fill_the_longer_side_between_the_margins():
    wide, tall = (
        _scale_to_plot(np.array([[0.0, 0.0], [9.0, 1.0]])),
        _scale_to_plot(np.array([[0.0, 0], [1, 9]])),
    )
    assert np.ptp(wide[:, 0]) == pytest.approx(WIDTH - 2 * MARGIN - 60)
    assert np.ptp(tall[:, 1]) == pytest.approx(HEIGHT - 2 * MARGIN)
    assert wide[:, 1].sum() == pytest.approx(HEIGHT), "the other side is centred"


def test_capitals_and_signs_of_two_cells_are_broader():
    assert _label_width("aB文") == pytest.approx(
        _label_width("a") + _label_width("B") + _label_width("文")
    )
    assert 0 < _label_width("a") < _label_width("B") < _label_width("文")
