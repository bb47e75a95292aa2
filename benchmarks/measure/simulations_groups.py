"""Data in uneven groups, nearly equal scores and rare labels, for simulations.py.

Groups have effects of their own, drawn alike for large and small ones; sizes are even, Zipf's
(1, 1/2, 1/3 …), or one group has half or nine tenths of all values.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from groundup.measure import (
    Interval,
    at_least,
    bootstrap,
    check_requirement,
    difference_of_rates,
    loses_at_most,
    paired_difference,
    rate,
)
from groundup.measure.stats.agreement import cohen_kappa, krippendorff_alpha
from groundup.measure.stats.sums import corpus_interval
from groundup.measure.text.edit import ErrorRate

Random = np.random.Generator
EACH = 20
"""Values a group on average."""
WIDE = 0.9
"""Intervals of a share this wide say next to nothing."""


class Grouped(NamedTuple):
    """What intervals of grouped data said."""

    name: str
    call: str
    groups: int
    held: float
    width: float
    """Median width."""
    wide: float
    """Share of intervals wider than WIDE."""
    passed: float
    """Share that passed `at_least(truth)`: 2.5 % if one bound is to be trusted."""


class Jittered(NamedTuple):
    """How often a gate passes models with nearly equal scores."""

    name: str
    n: int
    margin: float
    worse: float
    equal: float


def sizes(kind: str, groups: int) -> np.ndarray:
    """Values in each group."""
    number = groups * EACH
    shares = {
        "even": np.ones(groups),
        "Zipf": 1 / np.arange(1, groups + 1),
        "half in one": np.append(groups - 1, np.ones(groups - 1)),
        "90 % in one": np.append(9 * (groups - 1), np.ones(groups - 1)),
    }[kind]
    return np.maximum(1, np.round(shares / shares.sum() * number)).astype(int)


def rights(random: Random, kind: str, groups: int) -> tuple[np.ndarray, list[int]]:
    """Right and wrong answers: 80 % right, each group with a difficulty of its own."""
    codes = np.repeat(np.arange(groups), sizes(kind, groups))
    chance = random.beta(4, 1, groups)[codes]
    return (random.random(len(codes)) < chance).astype(float), codes.tolist()


def of_rate(random: Random, kind: str, groups: int) -> Interval:
    return rate(*rights(random, kind, groups))


def of_two(random: Random, kind: str, groups: int) -> Interval:
    (a, groups_a), (b, groups_b) = (rights(random, kind, groups) for _ in range(2))
    return difference_of_rates(a, b, groups_a, groups_b)


def of_scores(random: Random, kind: str, groups: int) -> Interval:
    codes = np.repeat(np.arange(groups), sizes(kind, groups))
    usual = random.beta(6, 2, groups)[codes]
    values = random.beta(4 * usual, 4 * (1 - usual))
    return bootstrap(values, codes.tolist(), limits=(0, 1), repeats=1000)


def of_pairs(random: Random, kind: str, groups: int) -> Interval:
    codes = np.repeat(np.arange(groups), sizes(kind, groups))
    values = 0.1 * random.normal(size=groups)[codes] + 0.2 * random.normal(size=len(codes))
    return paired_difference(values, np.zeros(len(values)), codes.tolist(), repeats=1000)


def of_words(random: Random, kind: str, groups: int) -> Interval:
    """Word errors of recordings of very different length, most of them with few."""
    words = np.maximum(1, np.round(random.lognormal(2.3, 0.8, groups))).astype(int)
    errors = random.binomial(words, random.beta(0.5, 4.5, groups))
    nothing = np.zeros(groups)
    rows = np.stack([errors, nothing, nothing, words], axis=1)
    return corpus_interval(ErrorRate(), rows, repeats=1000)


def raters(random: Random, groups: int, rare: float, kappa: float) -> tuple[list, list]:
    """Two raters who both see the truth or guess; kappa is the chance that both see it."""
    truth = random.random(groups) < rare
    sides = []
    for _ in range(2):
        guess = random.random(groups) < rare
        sides.append(np.where(random.random(groups) < np.sqrt(kappa), truth, guess))
    return sides[0].tolist(), sides[1].tolist()


def of_kappa(random: Random, kind: str, groups: int) -> Interval:
    found = cohen_kappa(*raters(random, groups, float(kind), 0.7), repeats=400)
    return found if isinstance(found, Interval) else of_kappa(random, kind, groups)


def of_alpha(random: Random, kind: str, groups: int) -> Interval:
    sides = raters(random, groups, float(kind), 0.7)
    found = krippendorff_alpha(list(zip(*sides, strict=True)), repeats=400)
    return found if isinstance(found, Interval) else of_alpha(random, kind, groups)


Draw = Callable[[Random, str, int], Interval]
UNEVEN = (
    *((kind, n) for kind in ("even", "Zipf", "half in one") for n in (20, 50, 200)),
    ("90 % in one", 20),
)
CASES: tuple[tuple[str, str, Draw, float, str, int], ...] = (
    *((f"right answers, {kind}", "rate", of_rate, 0.8, kind, n) for kind, n in UNEVEN),
    *(
        (f"right answers, {kind}", "difference_of_rates", of_two, 0.0, kind, n)
        for kind, n in UNEVEN
        if n != 50
    ),
    *(
        (f"scores from 0 to 1, {kind}", "bootstrap", of_scores, 0.75, kind, n)
        for kind, n in UNEVEN
        if n != 50
    ),
    *(
        (f"differences, {kind}", "paired_difference", of_pairs, 0.0, kind, n)
        for kind, n in UNEVEN
        if n != 50
    ),
    *(("word errors", "corpus_interval", of_words, 0.1, "", n) for n in (20, 50, 200)),
    *(
        (f"{100 * float(rare):.0f} % of one label", call, draw, 0.7, rare, n)
        for call, draw in (("cohen_kappa", of_kappa), ("krippendorff_alpha", of_alpha))
        for rare in ("0.05", "0.2")
        for n in (20, 100)
    ),
)  # fmt: skip


def grouped(number: int, repeats: int) -> Grouped:
    """Count how often one case's interval holds the truth, and what that costs."""
    name, call, draw, truth, kind, groups = CASES[number]
    random = np.random.default_rng([5, number])
    found = [draw(random, kind, groups) for _ in range(repeats)]
    widths = np.array([one.high - one.low for one in found])
    held = sum(one.low <= truth <= one.high for one in found)
    passed = sum(check_requirement("x", one, at_least(truth)).passed for one in found)
    return Grouped(
        name, call, groups, held / repeats, float(np.median(widths)),
        float((widths > WIDE).mean()), passed / repeats,
    )  # fmt: skip


MARGINS = (0.02, 0.05)
JITTERED = tuple((margin, n) for margin in MARGINS for n in (20, 50, 200, 500))


def jittered(number: int, repeats: int) -> Jittered:
    """Scores that differ in the fourth digit; the worse model loses everything on a few items."""
    margin, n = JITTERED[number]
    random, rule = np.random.default_rng([6, number]), loses_at_most(margin)
    passed = {True: 0, False: 0}
    for is_worse in passed:
        for _ in range(repeats):
            base = 1 - 1e-4 * random.integers(0, 7, n)
            ours = 1 - 1e-4 * random.integers(0, 7, n)
            ours[random.random(n) < margin * is_worse] = 0.0
            found = paired_difference(ours, base, limits=(-1, 1), repeats=400)
            passed[is_worse] += check_requirement("kept", found, rule).passed
    return Jittered(
        "nearly equal scores", n, margin, passed[True] / repeats, passed[False] / repeats
    )
