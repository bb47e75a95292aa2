"""Statistics held against the truth: how often do intervals, sequences and gates say what is so?

    python -m benchmarks.measure.simulations  10,000 repeats; writes docs/benchmarks/simulations.md
    python -m benchmarks.measure.simulations --repeats 500  a quick look, printed and not written
    python -m benchmarks.measure.simulations --groups  only the part on groups, put into the page

Data are drawn where the truth is known, the public functions of groundup.measure are called on them
as a user would, and what they say is counted. Seeds are fixed, so that the page can be made again.
"""

import argparse
import multiprocessing
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before numpy starts its threads: the processes are enough

import numpy as np  # noqa: E402

from benchmarks.measure import simulations_groups as grouping  # noqa: E402
from groundup.measure import (  # noqa: E402
    Interval,
    above,
    bootstrap,
    check_requirement,
    difference_of_rates,
    loses_at_most,
    paired_difference,
    rate,
    ratio_of_sums,
    reuse_standard_errors,
)
from groundup.measure.gate import widen_for_reuse  # noqa: E402
from groundup.measure.stats.distribution import normal_quantile  # noqa: E402
from groundup.measure.stats.sequence import (  # noqa: E402
    RunningMoments,
    _bet_sizes,
    _log_growth,
    _mixture_capital,
)

PAGE = Path(__file__).resolve().parents[2] / "docs" / "benchmarks" / "simulations.md"
REPEATS = 10_000
SIZES = (20, 200, 500)
LOOKS = 1000
CANDIDATES = 50
Random = np.random.Generator


# ---- intervals -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """Data of a known truth and the interval that a user would take."""

    name: str
    call: str
    truth: float
    draw: Callable[[Random, int], Interval]


class Coverage(NamedTuple):
    """How often an interval held the truth."""

    name: str
    call: str
    n: int
    held: float
    above: float
    """Share of intervals that lay above the truth."""
    below: float


def exponential(random: Random, n: int) -> Interval:
    return bootstrap(random.exponential(size=n))


def normal(random: Random, n: int) -> Interval:
    return bootstrap(random.normal(size=n))


def lognormal(random: Random, n: int) -> Interval:
    return bootstrap(random.lognormal(size=n))


def shares(random: Random, n: int) -> Interval:
    """Scores from 0 to 1, most of them low."""
    return bootstrap(random.beta(0.2, 2, size=n), limits=(0, 1))


def ones(random: Random, n: int) -> Interval:
    return bootstrap((random.random(n) < 0.3).astype(float), limits=(0, 1))


def bits_per_byte(random: Random, n: int) -> Interval:
    """Documents of very different length, harder and easier ones."""
    size = random.lognormal(6, 0.6, n)
    return bootstrap(size * random.gamma(16, 1 / 16, n), weights=size)


def against(random: Random, n: int) -> Interval:
    """Two systems on the same documents, ours at 0.9 of the other."""
    other = random.lognormal(6, 0.6, n)
    return ratio_of_sums(0.9 * other * random.gamma(40, 1 / 40, n), other)


def clustered(random: Random, n: int) -> Interval:
    """1 to 9 questions on each of n documents, which make half of the variance."""
    groups = np.repeat(np.arange(n), random.integers(1, 10, n))
    values = random.exponential(size=n)[groups] + random.normal(size=len(groups))
    return bootstrap(values, groups.tolist())


def paired_scores(random: Random, n: int) -> Interval:
    """Two systems' scores on items that are hard or easy for both."""
    hard = random.normal(size=n)
    return paired_difference(hard + random.gamma(1, 0.3, n), hard + random.normal(0, 0.3, n))


def paired_ones(random: Random, n: int) -> Interval:
    """Two systems right or wrong: 10 % gained, 5 % lost."""
    kind = random.choice(3, size=n, p=[0.10, 0.05, 0.85])
    return paired_difference((kind == 0).astype(float), (kind == 1).astype(float), limits=(-1, 1))


def share_of(share: float, random: Random, n: int) -> Interval:
    return rate((random.random(n) < share).astype(float))


def any_share(random: Random, n: int) -> Interval:
    """Bounds less the share, which is another one every time."""
    share = random.uniform(0.05, 0.95)
    found = share_of(share, random, n)
    return found._replace(low=found.low - share, high=found.high - share)


def clustered_ones(random: Random, n: int) -> Interval:
    """4 questions on each of n documents, some of which are hard."""
    groups = np.repeat(np.arange(n), 4)
    return rate(
        (random.random(4 * n) < random.beta(4, 1, n)[groups]).astype(float), groups.tolist()
    )


def two_rates(random: Random, n: int) -> Interval:
    return difference_of_rates(
        (random.random(n) < 0.9).astype(float), (random.random(n) < 0.8).astype(float)
    )


SOURCES = (
    Source("normal values", "bootstrap", 0.0, normal),
    Source("exponential values (skewness 2)", "bootstrap", 1.0, exponential),
    Source("log-normal values (skewness 6)", "bootstrap", float(np.exp(0.5)), lognormal),
    Source("scores from 0 to 1, most near 0", "bootstrap", 0.2 / 2.2, shares),
    Source("0 and 1, 30 % ones", "bootstrap", 0.3, ones),
    Source("ratio of sums: bits per byte", "bootstrap, weights", 1.0, bits_per_byte),
    Source("ratio of two systems", "ratio_of_sums", 0.9, against),
    Source("n groups of 1 to 9 values", "bootstrap, groups", 1.0, clustered),
    Source("paired scores", "paired_difference", 0.3, paired_scores),
    Source("paired 0 and 1", "paired_difference", 0.05, paired_ones),
    Source("0 and 1, 30 % ones", "rate (Wilson)", 0.3, partial(share_of, 0.3)),
    Source("0 and 1, 90 % ones", "rate (Wilson)", 0.9, partial(share_of, 0.9)),
    Source("0 and 1, 5 to 95 % ones", "rate (Wilson)", 0.0, any_share),
    Source("n groups of 4 values 0 and 1", "rate, groups", 0.8, clustered_ones),
    Source("90 % and 80 % ones", "difference_of_rates", 0.1, two_rates),
)


def coverage(number: int, n: int, repeats: int) -> Coverage:
    """Count how often one source's interval holds the truth."""
    source, random = SOURCES[number], np.random.default_rng([1, number, n])
    found = [source.draw(random, n) for _ in range(repeats)]
    above, below = (
        sum(one.low > source.truth for one in found) / repeats,
        sum(one.high < source.truth for one in found) / repeats,
    )
    return Coverage(source.name, source.call, n, 1 - above - below, above, below)


# ---- confidence sequences --------------------------------------------------------------------


class Watched(NamedTuple):
    """How often bounds held at every look."""

    name: str
    call: str
    held: float
    fixed_held: float
    """The same for intervals of a fixed sample (normal, from the 20th value on)."""


def watched(number: int, repeats: int) -> Watched:
    """Watch a mean or rate after each of 1,000 values."""
    random = np.random.default_rng([2, number])
    name, call, truth, draw = WATCHED[number]
    held = fixed = 0
    for start in range(0, repeats, 500):
        rows = min(500, repeats - start)
        values = draw(random, (rows, LOOKS))
        if call == "RateConfidenceSequence":
            n = np.arange(1, LOOKS + 1)
            out = _mixture_capital(values.cumsum(axis=1), n, truth) >= -np.log(0.05)
            out = out.any(axis=1)
        else:
            scaled, mean = (values + 1) / 2, (truth + 1) / 2
            sizes, _ = _bet_sizes(scaled, RunningMoments(0, np.zeros(rows), np.zeros(rows)), 0.95)
            out = np.zeros(rows, dtype=bool)
            for sign in (1, -1):
                capital = _log_growth(scaled, sizes, mean, sign).cumsum(axis=1)
                out |= (capital >= -np.log(0.025)).any(axis=1)
        held += rows - int(out.sum())
        fixed += rows - int(strays(values, truth).sum())
    return Watched(name, call, held / repeats, fixed / repeats)


def strays(values: np.ndarray, truth: float) -> np.ndarray:
    """Whether plain 95 % intervals ever miss the truth from the 20th value on."""
    n = np.arange(1, values.shape[1] + 1)
    mean = values.cumsum(axis=1) / n
    variance = np.maximum((values**2).cumsum(axis=1) / n - mean**2, 1e-9)
    return (np.abs(mean - truth) > 1.96 * np.sqrt(variance / n))[:, 19:].any(axis=1)


WATCHED = (
    (
        "0 and 1, 50 % ones", "RateConfidenceSequence", 0.5,
        lambda r, s: (r.random(s) < 0.5).astype(float),
    ),
    (
        "0 and 1, 10 % ones", "RateConfidenceSequence", 0.1,
        lambda r, s: (r.random(s) < 0.1).astype(float),
    ),
    ("scores from 0 to 1", "RateConfidenceSequence", 0.5, lambda r, s: r.beta(2, 2, s)),
    (
        "paired 0 and 1, 10 % gained, 5 % lost", "MeanConfidenceSequence(-1, 1)", 0.05,
        lambda r, s: r.choice([1.0, -1.0, 0.0], s, p=[0.10, 0.05, 0.85]),
    ),
    (
        "paired scores", "MeanConfidenceSequence(-1, 1)", 0.0,
        lambda r, s: r.beta(2, 2, s) - r.beta(2, 2, s),
    ),
)  # fmt: skip


# ---- gates with a margin ---------------------------------------------------------------------


class Margin(NamedTuple):
    """How often a gate with a margin passes."""

    name: str
    n: int
    margin: float
    stated: float
    """Mean of the power that the checks told."""
    equal: float
    """Share of equal models that passed."""
    worse: float
    """Share of models worse by the margin that passed."""


def scores_apart(random: Random, n: int, shift: float) -> Interval:
    """Differences of two systems' scores with a standard deviation of 0.2."""
    return paired_difference(random.normal(shift, 0.2, n), np.zeros(n))


def answers_apart(random: Random, n: int, shift: float) -> Interval:
    """Right and wrong answers, 15 % of them different."""
    gained = (0.15 + shift) / 2
    kind = random.choice(3, size=n, p=[gained, 0.15 - gained, 0.85])
    return paired_difference((kind == 0).astype(float), (kind == 1).astype(float), limits=(-1, 1))


def grouped_apart(random: Random, n: int, shift: float) -> Interval:
    """Scores in n / 5 documents with some effect of their own."""
    groups = np.repeat(np.arange(n // 5), 5)
    values = shift + random.normal(0, 0.1, n // 5)[groups] + random.normal(0, 0.2, n)
    return paired_difference(values, np.zeros(n), groups.tolist())


def rarely_apart(random: Random, n: int, shift: float) -> Interval:
    """Right and wrong answers of models that hardly differ: 0.5 % gained, as much or more lost."""
    kind = random.choice(3, size=n, p=[0.005, 0.005 - shift, 0.99 + shift])
    return paired_difference((kind == 0).astype(float), (kind == 1).astype(float), limits=(-1, 1))


MARGINS = (
    ("scores", 200, 0.03, scores_apart),
    ("scores", 400, 0.03, scores_apart),
    ("right and wrong answers", 500, 0.05, answers_apart),
    ("right and wrong answers", 400, 0.03, answers_apart),
    ("scores in groups of 5", 1000, 0.03, grouped_apart),
    ("answers that hardly differ", 50, 0.03, rarely_apart),
    ("answers that hardly differ", 200, 0.02, rarely_apart),
    ("answers that hardly differ", 1000, 0.01, rarely_apart),
)


def margins(number: int, repeats: int) -> Margin:
    """Hold equal models and models worse by exactly the margin against a gate."""
    name, n, margin, draw = MARGINS[number]
    random = np.random.default_rng([3, number])
    rule = loses_at_most(margin)
    equal = [check_requirement("kept", draw(random, n, 0.0), rule) for _ in range(repeats)]
    worse = [check_requirement("kept", draw(random, n, -margin), rule) for _ in range(repeats)]
    stated = [one.power.share for one in equal if one.power]
    return Margin(
        name, n, margin, float(np.mean(stated)),
        sum(one.passed for one in equal) / repeats, sum(one.passed for one in worse) / repeats,
    )  # fmt: skip


# ---- many looks at one test set --------------------------------------------------------------


class Looked(NamedTuple):
    """How often any of 50 candidates, none better than the baseline, passed `above(0)`."""

    name: str
    plain: float
    """Without correction."""
    counted: float
    """Each at 5 % over the number of candidates so far."""
    verdicts: float
    scores: float


ITEMS = 400


def independent(random: Random) -> list[np.ndarray]:
    """The baseline and 50 candidates that know nothing of each other, each right on 60 %."""
    return list(random.random((CANDIDATES + 1, ITEMS)) < 0.6)


def climbing(share: float, random: Random) -> list[np.ndarray]:
    """Each candidate answers some items of the best so far anew; the better score is kept."""
    found = [random.random(ITEMS) < 0.6]
    best = found[0]
    for _ in range(CANDIDATES):
        anew = random.random(ITEMS) < share
        candidate = np.where(anew, random.random(ITEMS) < 0.6, best)
        found.append(candidate)
        best = candidate if candidate.sum() > best.sum() else best
    return found


def voting(random: Random) -> list[np.ndarray]:
    """49 coin throwers, then their vote, each counted for or against by its score."""
    right = random.random((CANDIDATES, ITEMS)) < 0.5  # the first is the baseline
    signs = np.where(right[1:].mean(axis=1) > 0.5, 1, -1)
    vote = (signs[:, None] * (2 * right[1:] - 1)).sum(axis=0) > 0
    return [*right, vote]


STRATEGIES: tuple[tuple[str, Callable[[Random], list[np.ndarray]]], ...] = (
    ("independent of each other", independent),
    ("5 % of answers anew, better score kept", partial(climbing, 0.05)),
    ("10 % of answers anew, better score kept", partial(climbing, 0.10)),
    ("30 % of answers anew, better score kept", partial(climbing, 0.30)),
    ("49 coin throwers, then their vote weighed by score", voting),
)


def looked(number: int, repeats: int) -> Looked:
    """Count test sets on which any candidate passes, under each correction."""
    name, make = STRATEGIES[number]
    random = np.random.default_rng([4, number])
    passed = np.zeros(4)
    for _ in range(repeats):
        baseline, *tried = (one.astype(float) for one in make(random))
        rows = [check_requirement("better", difference(one, baseline), above(0)) for one in tried]
        passed += np.any([held(row, place) for place, row in enumerate(rows, 1)], axis=0)
    return Looked(name, *(passed / repeats).tolist())


def difference(ours: np.ndarray, baseline: np.ndarray) -> Interval:
    return paired_difference(ours, baseline, limits=(-1, 1), repeats=1000)


def held(row: Any, place: int) -> list[bool]:
    """Whether a check passes plain, counted, and corrected for verdicts and for scores seen."""
    counted = row.widened(normal_quantile(0.025 / place))
    by_rule = [widen_for_reuse(row, place, seen) for seen in ("verdicts", "scores")]
    return [one.passed for one in (row, counted, *by_rule)]


# ---- the page --------------------------------------------------------------------------------


class Findings(NamedTuple):
    """All that was counted."""

    coverage: list[Coverage]
    watched: list[Watched]
    margins: list[Margin]
    looked: list[Looked]
    grouped: list[grouping.Grouped]
    jittered: list[grouping.Jittered]


def group_work(repeats: int) -> list[tuple[Callable[..., Any], Sequence[Any]]]:
    """The part on groups: a tenth of the repeats, a twentieth where intervals take longest."""
    parts = [10 if "rate" in case[1] else 20 for case in grouping.CASES]
    return [
        *((grouping.grouped, (n, max(1, repeats // part))) for n, part in enumerate(parts)),
        *((grouping.jittered, (n, max(1, repeats // 10))) for n in range(len(grouping.JITTERED))),
    ]


def simulate(repeats: int, processes: int) -> Findings:
    """Run everything; the looks take 50 intervals a repeat, so a tenth of the repeats."""
    work: list[tuple[Callable[..., Any], Sequence[Any]]] = [
        *((looked, (number, max(1, repeats // 10))) for number in range(len(STRATEGIES))),
        *((margins, (number, repeats)) for number in range(len(MARGINS))),
        *((coverage, (n, size, repeats)) for n in range(len(SOURCES)) for size in SIZES[::-1]),
        *((watched, (number, repeats)) for number in range(len(WATCHED))),
        *group_work(repeats),
    ]
    return Findings(*sorted_out(work, processes, Coverage, Watched, Margin, Looked, *GROUP_KINDS))


GROUP_KINDS = (grouping.Grouped, grouping.Jittered)


def sorted_out(work: Sequence[Any], processes: int, *kinds: type) -> list[list[Any]]:
    """Run all work and give the results of each kind."""
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        found = pool.starmap(called, work, chunksize=1)
    return [[one for one in found if isinstance(one, kind)] for kind in kinds]


def called(function: Callable[..., Any], arguments: Sequence[Any]) -> Any:
    """Run one piece, telling how long it took."""
    start = time.perf_counter()
    found = function(*arguments)
    print(f"{time.perf_counter() - start:6.1f} s  {found}", flush=True)
    return found


def percent(share: float) -> str:
    return f"{100 * share:.1f}"


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def coverage_table(found: Sequence[Coverage]) -> str:
    """A row a source: coverage by size, and the two sides at n = 200."""
    rows = []
    for source in SOURCES:
        mine = {o.n: o for o in found if (o.name, o.call) == (source.name, source.call)}
        middle = mine[200]
        rows.append([
            source.name, f"`{source.call}`", *(percent(mine[n].held) for n in sorted(mine)),
            f"{percent(middle.above)} / {percent(middle.below)}",
        ])  # fmt: skip
    return table(["data", "function", *(f"n = {n}" for n in SIZES), "above / below, n = 200"], rows)


def page(found: Findings, repeats: int, seconds: float) -> str:
    """docs/benchmarks/simulations.md."""
    errors = [
        [k, f"{reuse_standard_errors(k, seen='verdicts'):.2f}", f"{reuse_standard_errors(k):.2f}"]
        for k in (1, 2, 3, 5, 10, 20, 50)
    ]
    return TEXT.format(
        repeats=f"{repeats:,}",
        tenth=f"{max(1, repeats // 10):,}",
        looks=f"{LOOKS:,}",
        items=ITEMS,
        minutes=max(1, round(seconds / 60)),
        coverage=coverage_table(found.coverage),
        watched=table(
            ["values", "function", "held at all looks, %", "plain intervals, %"],
            [
                [o.name, f"`{o.call}`", percent(o.held), percent(o.fixed_held)]
                for o in found.watched
            ],
        ),
        margins=table(
            ["what is compared", "n", "margin", "power stated", "equal passed", "worse passed"],
            [
                [o.name, o.n, o.margin, percent(o.stated), percent(o.equal), percent(o.worse)]
                for o in found.margins
            ],
        ),
        looked=table(
            ["candidates", "no correction", "5 % / k", '`seen="verdicts"`', '`seen="scores"`'],
            [[o.name, *(percent(share) for share in o[1:])] for o in found.looked],
        ),
        errors=table(["candidate", '`seen="verdicts"`', '`seen="scores"`'], errors),
    ) + group_page(found.grouped, found.jittered, repeats)


def group_page(
    grouped: Sequence[grouping.Grouped], jittered: Sequence[grouping.Jittered], repeats: int
) -> str:
    """The part of the page on groups and on what a small sample hides."""
    return GROUP_TEXT.format(
        repeats=f"{repeats // 10:,}",
        fewer=f"{repeats // 20:,}",
        each=grouping.EACH,
        grouped=table(
            ["data", "function", "groups", "held", "width", "wider than .9", "`at_least(truth)`"],
            [
                [o.name, f"`{o.call}`", o.groups, percent(o.held), f"{o.width:.3f}",
                 percent(o.wide), percent(o.passed)]
                for o in grouped
            ],
        ),
        jittered=table(
            ["scores", "n", "margin", "worse passed", "equal passed"],
            [[o.name, o.n, o.margin, percent(o.worse), percent(o.equal)] for o in jittered],
        ),
    )  # fmt: skip


GROUP_TITLE = "## Few and uneven groups, and what a small sample hides"
GROUP_TEXT = (
    GROUP_TITLE
    + """

Made by `python -m benchmarks.measure.simulations --groups` ({repeats} repeats, {fewer} for other
functions than rates). Groups have {each} values on average and effects of their own, drawn alike
for large and small ones. "Held" is the share of 95 % intervals that hold the truth, "width" the
median width, "wider than .9" the share of intervals that say next to nothing, and the last column
how often `at_least(truth)` passes, 2.5 at best.

{grouped}

- A group that holds half of all values is one draw that decides half of the result. What the
  other groups show of the size of such effects sets the width. Even groups stay as they were.
- Kappa and alpha of a rare label say little from 20 items, and now say so.

Scores that differ in the fourth digit only. The worse model loses everything on as many items as
the margin allows; a check with `loses_at_most(margin)` must not pass it. An equal model passes from
about 3.7 / margin items on: fewer cannot show that so few losses do not happen.

{jittered}
"""
)


TEXT = """# Simulations: do the statistics keep what they promise?

Written by `python -m benchmarks.measure.simulations` ({repeats} repeats, about {minutes} minutes
on two cores, fixed seeds). Data are drawn where the truth is known, and the public functions are
called on them. All figures are percentages; at {repeats} repeats a 95 is known to about ±0.4.

## Intervals of fixed samples

How often 95 % intervals hold the truth. "Above / below" are the intervals that miss it on either
side, 2.5 each if a single bound, as a gate uses it, is to be trusted.

{coverage}

- How the method was found: of log-normal values at n = 200 plain percentiles (at Student's level)
  held 92.7, BCa 93.6, studentised ones 93.7, as log-normal values spread more where their mean is
  higher. On a scale where the spread stays the same it is 94.5, and no other row lost from n = 200.
- At n = 20 skewed values and rare differences are held too seldom: 20 values do not show a tail.
- Wilson's and Newcombe's intervals move around 95 with the share and n, as successes are whole:
  for shares from 5 to 95 % Wilson's hold in 93.8 to 96.7 at n = 200, in 94.3 to 95.7 at n = 500.
- A sum ruled by a few groups is worth (Σw)² / Σw² groups: with log-normal sizes of σ = 1.2, 200
  documents count like 47. What such groups cost stands in the last section.

## Confidence sequences

How often the bounds held the truth at every one of {looks} looks, a look after each value. Plain
intervals, looked at in the same way from the 20th value on, are soon wrong somewhere.

{watched}

## Gates with a margin

`check_requirement("kept", paired_difference(ours, base), loses_at_most(margin))` on models that are
equal and on models that are worse by exactly the margin. The power is what the check itself states,
on average.

{margins}

## 50 looks at one test set

50 candidates, none better than the baseline, are held against `above(0)` one after the other on one
test set of {items} items ({tenth} repeats). How often does any of them pass?

{looked}

Counting the candidates (5 % over their number so far) does not even hold for independent ones: 1 +
1/2 + 1/3 + … has no end. And it is no match for candidates that are built on the scores of earlier
ones, which is what people do. So a verdict takes for granted that scores were seen, and says so;
`seen="verdicts"` is for candidates fixed beforehand, such as a sweep, or where only passed or
failed became known. What that costs, in standard errors that a bound must keep away:

{errors}

After ten candidates on one test set it pays to make a new one.

"""


def main() -> None:
    """Simulate, print, and write the page if the repeats are those it states."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--groups", action="store_true")
    given = parser.parse_args()
    start = time.perf_counter()
    if given.groups:
        found = sorted_out(group_work(given.repeats), given.processes, *GROUP_KINDS)
        part = group_page(*found, given.repeats)
        print(part)
        if given.repeats == REPEATS:
            before = PAGE.read_text(encoding="utf-8").split(GROUP_TITLE)[0].rstrip()
            PAGE.write_text(f"{before}\n\n{part}", encoding="utf-8")
        return
    found = simulate(given.repeats, given.processes)
    text = page(found, given.repeats, time.perf_counter() - start)
    print(text)
    if given.repeats == REPEATS:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
