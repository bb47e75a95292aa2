"""Two-dimensional scatter plots of word vectors.

    pca     the two directions of largest variance; preserves large distances
    tsne    preserves neighbourhoods; distances between clusters are meaningless

t-SNE is exact, over all pairs, for at most 2,000 words.
Source: van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html, with its
early exaggeration and momentum; the learning rate of Belkina et al. 2019.
"""

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import CapacityError, DataError, page

Projection = Literal["pca", "tsne"]
MAX_POINTS = 2000
WIDTH, HEIGHT, MARGIN = 1000.0, 640.0, 48.0
COLOURS = 6
LETTER, CAPITAL, WIDE = 7.9, 9.0, 13.5
"""Width of a label's letter in SVG units: lower case; capital or digit; m, w or East Asian."""
LINE = 15.0
DOT = 3.5
LEAST_SCALE = 0.85
"""A narrower page scrolls the plot, so that its letters keep 11 px."""
MIN_DISTANCE = 1e-12


class LabelExtent(NamedTuple):
    """The extent of a placed label or dot."""

    left: float
    right: float
    y: float


def pca(vectors: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """Coordinates (n, dimensions) along the directions of largest variance.

    The sign of a direction makes its coordinate of largest magnitude positive.

    >>> pca(np.array([[0.0, 0, 0], [3, 0, 0], [6, 0, 0]]), 1).round(6).ravel() + 0.0
    array([ 3., 0., -3.])
    """
    centred = vectors - vectors.mean(0)
    left, spread, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    points = (left * spread)[:, :dimensions]
    points = np.pad(points, ((0, 0), (0, dimensions - points.shape[1])))
    largest = points[np.abs(points).argmax(0), np.arange(dimensions)]
    return points * np.where(largest < 0, -1.0, 1.0)


def tsne(
    vectors: np.ndarray, perplexity: float = 30.0, steps: int = 750, seed: int = 0
) -> np.ndarray:
    """t-SNE coordinates (n, 2).

    perplexity  effective number of neighbours; at most a third of the points

    Raises CapacityError above 2,000 points and DataError below four.
    """
    n = len(vectors)
    if n > MAX_POINTS:
        raise CapacityError(f"t-SNE compares all pairs: at most {MAX_POINTS} words, got {n}.")
    if n < 4:
        raise DataError(f"t-SNE needs at least 4 words; got {n}.")
    target = _joint_probabilities(vectors.astype(np.float64), min(perplexity, (n - 1) / 3))
    points = pca(vectors)
    points *= 1e-4 / max(float(points.std()), MIN_DISTANCE)
    points = points + np.random.default_rng(seed).normal(scale=1e-6, size=points.shape)
    velocity, gains, rate = np.zeros_like(points), np.ones_like(points), max(n / 12, 50.0)
    for step in range(steps):
        is_early = step < 250
        gradient = _kl_gradient(points, target * 12 if is_early else target)
        same = np.sign(gradient) == np.sign(velocity)
        gains = np.maximum(np.where(same, gains * 0.8, gains + 0.2), 0.01)
        velocity = (0.5 if is_early else 0.8) * velocity - rate * gains * gradient
        points = points + velocity
        points -= points.mean(0)
    return points


def _squared_distances(points: np.ndarray) -> np.ndarray:
    squares = (points * points).sum(1)
    return np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)


def _joint_probabilities(vectors: np.ndarray, perplexity: float) -> np.ndarray:
    """Joint probabilities (n, n) of pairs, from Gaussians with the given perplexity."""
    distances, target = _squared_distances(vectors), np.log(perplexity)
    n = len(vectors)
    low, high = np.zeros(n), np.full(n, np.inf)
    precision = 1 / np.maximum(distances.mean(1), MIN_DISTANCE)
    np.fill_diagonal(distances, np.inf)
    least = distances.min(1, keepdims=True)
    for _ in range(64):
        weights = np.exp(-(distances - least) * precision[:, None])
        shares = weights / weights.sum(1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, MIN_DISTANCE))).sum(1)
        is_wide = entropy > target
        low, high = np.where(is_wide, precision, low), np.where(is_wide, high, precision)
        precision = np.where(np.isinf(high), precision * 2, (low + np.minimum(high, 1e300)) / 2)
    return np.maximum((shares + shares.T) / (2 * n), MIN_DISTANCE)


def _kl_gradient(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Gradient (n, 2) of the KL divergence from the target probabilities to the points'."""
    kernel = 1 / (1 + _squared_distances(points))
    np.fill_diagonal(kernel, 0)
    pull = (target - kernel / kernel.sum()) * kernel
    return 4 * (pull.sum(1)[:, None] * points - pull @ points)


def project(vectors: np.ndarray, by: Projection, seed: int = 0) -> np.ndarray:
    """Coordinates (n, 2); DataError below two vectors."""
    if len(vectors) < 2:
        raise DataError(f"A plot needs at least 2 words; got {len(vectors)}.")
    return pca(vectors) if by == "pca" else tsne(vectors, seed=seed)


def scatter_plot(
    title: str, words: Sequence[str], points: np.ndarray, groups: Sequence[int] = ()
) -> page.Html:
    """A scatter plot of words, coloured by group; labels that would overlap are omitted.

    A table below the plot lists all words and coordinates.
    """
    coordinates = _scale_to_plot(points).tolist()
    drawn, taken = [], [LabelExtent(x - DOT, x + DOT, y) for x, y in coordinates]
    for index, (word, (x, y)) in enumerate(zip(words, coordinates, strict=True)):
        colour = f"series-{(groups[index] if len(groups) else 0) % COLOURS + 1}"
        dot = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": DOT}
        drawn.append(page.element(f"circle.{colour}", page.element("title", word), attributes=dot))
        if spot := _find_label_extent(word, x, y, taken):
            taken.append(spot)
            at, anchor = (spot.right, "end") if spot.right < x else (spot.left, "start")
            label = {"x": f"{at:.1f}", "y": f"{spot.y + 4:.1f}", "text-anchor": anchor}
            drawn.append(page.element("text", word, attributes=label))
    attributes = {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
        "aria-hidden": "true",
        "style": f"min-width:{WIDTH * LEAST_SCALE:.0f}px",
    }
    columns = ["Word", page.TableColumn("across", True), page.TableColumn("up", True)]
    rows = [[word, *map(float, point)] for word, point in zip(words, points, strict=True)]
    return page.element(
        "figure.words",
        page.element("figcaption", page.element("strong", title)),
        page.scroll_box(page.element("svg", *drawn, attributes=attributes), title),
        page.screen_reader_text(f"{title}: {len(words)} words; the table below lists them."),
        page.details("Data of this plot", page.table_element(title, columns, rows)),
    )


def _scale_to_plot(points: np.ndarray) -> np.ndarray:
    """Coordinates in the plot; both axes have the same scale."""
    low, high = points.min(0), points.max(0)
    room = np.array([WIDTH - 2 * MARGIN - 60, HEIGHT - 2 * MARGIN])
    scale = (room / np.maximum(high - low, MIN_DISTANCE)).min()
    offset = (np.array([WIDTH - 60, HEIGHT]) - (high - low) * scale) / 2
    coordinates = (points - low) * scale + offset
    coordinates[:, 1] = HEIGHT - coordinates[:, 1]
    return coordinates


def _find_label_extent(
    word: str, x: float, y: float, taken: Sequence[LabelExtent]
) -> LabelExtent | None:
    """A free extent for a label: right or left of its dot, level or half a line up or down."""
    length = _label_width(word)
    for up in (0.0, -LINE / 2, LINE / 2):
        for left in (x + 8, x - 8 - length):
            spot = LabelExtent(left, left + length, y + up)
            is_inside = left > 0 and spot.right < WIDTH
            if is_inside and not any(_extents_overlap(spot, other) for other in taken):
                return spot
    return None


def _label_width(word: str) -> float:
    """Approximate width of a label.

    >>> round(_label_width("aB文"), 6)
    30.4
    """
    wide = sum(char in "mwMW@" or unicodedata.east_asian_width(char) in "WF" for char in word)
    capital = sum((char.isupper() or char.isdigit()) and char not in "MW" for char in word)
    return wide * WIDE + capital * CAPITAL + (len(word) - wide - capital) * LETTER


def _extents_overlap(a: LabelExtent, b: LabelExtent) -> bool:
    is_dot = min(a.right - a.left, b.right - b.left) <= 2 * DOT
    is_level = abs(a.y - b.y) < (LINE / 2 + DOT if is_dot else LINE)
    return is_level and a.left < b.right and b.left < a.right


STYLE = """
.words { background: var(--card); border: 1px solid var(--line); }
.words { border-radius: 8px; padding: 16px; }
.words .scroll { border: 0; padding: 0; background: none; }
.words svg { display: block; width: 100%; height: auto; }
.words circle { fill: var(--stroke); fill-opacity: .85; }
.words text { fill: var(--ink); font-size: 13px; }
"""
"""CSS for a page with such plots."""
