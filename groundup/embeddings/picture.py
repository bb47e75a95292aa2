"""Many dimensions in two: where words lie, as a picture.

    pca     the two directions along which the vectors differ most; distances far apart are right
    tsne    neighbours stay neighbours; distances between groups mean nothing

t-SNE is computed exactly, over all pairs, for at most 2,000 words.
Source: van der Maaten and Hinton 2008, https://jmlr.org/papers/v9/vandermaaten08a.html, with its
early exaggeration and momentum; the learning rate of Belkina et al. 2019.
"""

import unicodedata
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from groundup.core import CapacityError, DataError, page

Projection = Literal["pca", "tsne"]
MOST_POINTS = 2000
WIDTH, HEIGHT, MARGIN = 1000.0, 640.0, 48.0
COLOURS = 6
LETTER, CAPITAL, WIDE = 7.9, 9.0, 13.5
"""Width of a letter of a label in the picture's units: small; capital or digit; m, w or Chinese."""
LINE = 15.0
DOT = 3.5
LEAST_SCALE = 0.85
"""A narrower page scrolls the picture: its letters keep 11 px."""
TOO_NEAR = 1e-12


class Placed(NamedTuple):
    """A label that found room."""

    left: float
    right: float
    y: float


def pca(vectors: np.ndarray, dimensions: int = 2) -> np.ndarray:
    """Coordinates (n, dimensions) along the directions of the largest variance.

    A direction's sign is chosen so that its largest coordinate is positive.

    >>> pca(np.array([[0.0, 0, 0], [3, 0, 0], [6, 0, 0]]), 1).round(6).ravel() + 0.0
    array([ 3., 0., -3.])
    """
    centred = vectors - vectors.mean(0)
    left, spread, _ = np.linalg.svd(centred.astype(np.float64), full_matrices=False)
    points = left * spread
    if points.shape[1] < dimensions:
        points = np.pad(points, ((0, 0), (0, dimensions - points.shape[1])))
    points = points[:, :dimensions]
    largest = points[np.abs(points).argmax(0), np.arange(dimensions)]
    return points * np.where(largest < 0, -1.0, 1.0)


def tsne(
    vectors: np.ndarray, perplexity: float = 30.0, steps: int = 750, seed: int = 0
) -> np.ndarray:
    """Coordinates (n, 2) in which near vectors are near.

    perplexity  about how many neighbours count; at most a third of the points

    Raises CapacityError above 2,000 points and DataError below four.
    """
    n = len(vectors)
    if n > MOST_POINTS:
        raise CapacityError(f"t-SNE compares all pairs: at most {MOST_POINTS} words, got {n}.")
    if n < 4:
        raise DataError(f"t-SNE needs at least 4 words; got {n}.")
    near = joint(vectors.astype(np.float64), min(perplexity, (n - 1) / 3))
    points = pca(vectors)
    points *= 1e-4 / max(float(points.std()), TOO_NEAR)
    points = points + np.random.default_rng(seed).normal(scale=1e-6, size=points.shape)
    speed, gains, rate = np.zeros_like(points), np.ones_like(points), max(n / 12, 50.0)
    for number in range(steps):
        is_early = number < 250
        gradient = gradient_of(points, near * 12 if is_early else near)
        same = np.sign(gradient) == np.sign(speed)
        gains = np.maximum(np.where(same, gains * 0.8, gains + 0.2), 0.01)
        speed = (0.5 if is_early else 0.8) * speed - rate * gains * gradient
        points = points + speed
        points -= points.mean(0)
    return points


def squared_distances(points: np.ndarray) -> np.ndarray:
    """Squared distances (n, n) of all pairs."""
    squares = (points * points).sum(1)
    return np.maximum(squares[:, None] + squares - 2 * points @ points.T, 0)


def joint(vectors: np.ndarray, perplexity: float) -> np.ndarray:
    """Probabilities (n, n) of pairs: Gaussians whose widths give each point the perplexity."""
    distances, wanted = squared_distances(vectors), np.log(perplexity)
    n = len(vectors)
    low, high = np.zeros(n), np.full(n, np.inf)
    precision = 1 / np.maximum(distances.mean(1), TOO_NEAR)
    np.fill_diagonal(distances, np.inf)
    least = distances.min(1, keepdims=True)
    for _ in range(64):
        weights = np.exp(-(distances - least) * precision[:, None])
        shares = weights / weights.sum(1, keepdims=True)
        entropy = -(shares * np.log(np.maximum(shares, TOO_NEAR))).sum(1)
        is_wide = entropy > wanted
        low, high = np.where(is_wide, precision, low), np.where(is_wide, high, precision)
        precision = np.where(np.isinf(high), precision * 2, (low + np.minimum(high, 1e300)) / 2)
    return np.maximum((shares + shares.T) / (2 * n), TOO_NEAR)


def gradient_of(points: np.ndarray, near: np.ndarray) -> np.ndarray:
    """Gradient (n, 2) of the divergence between pairs there and here."""
    kernel = 1 / (1 + squared_distances(points))
    np.fill_diagonal(kernel, 0)
    pull = (near - kernel / kernel.sum()) * kernel
    return 4 * (pull.sum(1)[:, None] * points - pull @ points)


def project(vectors: np.ndarray, by: Projection, seed: int = 0) -> np.ndarray:
    """Coordinates (n, 2); DataError below two vectors."""
    if len(vectors) < 2:
        raise DataError(f"A picture needs at least 2 words; got {len(vectors)}.")
    return pca(vectors) if by == "pca" else tsne(vectors, seed=seed)


def scatter(
    title: str, words: Sequence[str], points: np.ndarray, groups: Sequence[int] = ()
) -> page.Html:
    """Words at their places; groups choose their colours. A label without room is left to its dot.

    Every word and place stands in the table behind the picture.
    """
    places = fitted(points).tolist()
    drawn, taken = [], [Placed(x - DOT, x + DOT, y) for x, y in places]
    for number, (word, (x, y)) in enumerate(zip(words, places, strict=True)):
        colour = f"series-{(groups[number] if len(groups) else 0) % COLOURS + 1}"
        drawn.append(mark(word, x, y, colour))
        if spot := room_for(word, x, y, taken):
            taken.append(spot)
            drawn.append(label(word, spot, is_left=spot.right < x))
    attributes = {
        "viewBox": f"0 0 {WIDTH:g} {HEIGHT:g}",
        "aria-hidden": "true",
        "style": f"min-width:{WIDTH * LEAST_SCALE:.0f}px",
    }
    columns = ["Word", page.Column("across", True), page.Column("up", True)]
    rows = [[word, *map(float, point)] for word, point in zip(words, points, strict=True)]
    return page.element(
        "figure.words",
        page.element("figcaption", page.element("strong", title)),
        page.scrolling(page.element("svg", *drawn, attributes=attributes), title),
        page.spoken(f"{title}: {len(words)} words at places that the table below lists."),
        page.details("Rows behind this picture", page.table(title, columns, rows)),
    )


def fitted(points: np.ndarray) -> np.ndarray:
    """Places in the picture; both axes have one scale, so distances compare."""
    low, high = points.min(0), points.max(0)
    room = np.array([WIDTH - 2 * MARGIN - 60, HEIGHT - 2 * MARGIN])
    scale = (room / np.maximum(high - low, TOO_NEAR)).min()
    offset = (np.array([WIDTH - 60, HEIGHT]) - (high - low) * scale) / 2
    places = (points - low) * scale + offset
    places[:, 1] = HEIGHT - places[:, 1]
    return places


def room_for(word: str, x: float, y: float, taken: Sequence[Placed]) -> Placed | None:
    """Where a label fits: right of its dot or left, level with it or half above or below."""
    length = breadth(word)
    for up in (0.0, -LINE / 2, LINE / 2):
        for left in (x + 8, x - 8 - length):
            spot = Placed(left, left + length, y + up)
            is_inside = left > 0 and spot.right < WIDTH
            if is_inside and not any(overlap(spot, other) for other in taken):
                return spot
    return None


def breadth(word: str) -> float:
    """About how broad a label is.

    >>> round(breadth("aB文"), 6)
    30.4
    """
    wide = sum(one in "mwMW@" or unicodedata.east_asian_width(one) in "WF" for one in word)
    capital = sum((one.isupper() or one.isdigit()) and one not in "MW" for one in word)
    return wide * WIDE + capital * CAPITAL + (len(word) - wide - capital) * LETTER


def overlap(a: Placed, b: Placed) -> bool:
    """Whether two labels, or a label and a dot, touch."""
    is_dot = min(a.right - a.left, b.right - b.left) <= 2 * DOT
    return (
        abs(a.y - b.y) < (LINE / 2 + DOT if is_dot else LINE)
        and a.left < b.right
        and b.left < a.right
    )


def mark(word: str, x: float, y: float, colour: str) -> page.Html:
    """A word's dot, which tells its word to the mouse."""
    attributes = {"cx": f"{x:.1f}", "cy": f"{y:.1f}", "r": DOT}
    title = page.element("title", word)
    return page.element(f"circle.{colour}", title, attributes=attributes)


def label(word: str, spot: Placed, *, is_left: bool) -> page.Html:
    """A word beside its dot, which it begins or ends at."""
    x, anchor = (spot.right, "end") if is_left else (spot.left, "start")
    attributes = {"x": f"{x:.1f}", "y": f"{spot.y + 4:.1f}", "text-anchor": anchor}
    return page.element("text", word, attributes=attributes)


STYLE = """
.words { background: var(--card); border: 1px solid var(--line); }
.words { border-radius: 8px; padding: 16px; }
.words .scroll { border: 0; padding: 0; background: none; }
.words svg { display: block; width: 100%; height: auto; }
.words circle { fill: var(--stroke); fill-opacity: .85; }
.words text { fill: var(--ink); font-size: 13px; }
"""
"""For a page that holds such pictures."""
