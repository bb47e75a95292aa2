"""Examples: drawn as lm-eval draws them, the question never among them."""

import random

import pytest

from groundup.core import ConfigError
from groundup.evaluate.task.few_shot import FewShotSampler

POOL = [{"n": n} for n in range(20)]


def drawn(
    count: int, *, seed: int = 1234, held: bool = False, rows: list[dict] = POOL
) -> FewShotSampler:
    return FewShotSampler("t", rows, count, "default", seed, held)


def test_one_stream_runs_through_the_questions():
    examples, stream = drawn(3), random.Random(1234)
    for _ in range(5):
        assert examples.sample({"n": 99}) == stream.sample(POOL, 3)


def test_one_more_is_drawn_where_the_question_may_be_among_them():
    examples, stream = drawn(3, held=True), random.Random(1234)
    for row in POOL:
        wanted = [each for each in stream.sample(POOL, 4) if each != row][:3]
        found = examples.sample(row)
        assert found == wanted and row not in found


def test_copies_of_the_question_are_taken_out_too():
    rows = [{"n": 0}] * 6 + [{"n": 1}, {"n": 2}]
    for seed in range(20):
        found = drawn(2, seed=seed, held=True, rows=rows).sample({"n": 0})
        assert sorted(row["n"] for row in found) == [1, 2]


def test_the_first_ones():
    examples = FewShotSampler("t", POOL, 2, "first_n", 1234, True)
    assert examples.sample({"n": 0}) == [{"n": 1}, {"n": 2}]
    assert examples.sample({"n": 9}) == [{"n": 0}, {"n": 1}]


def test_none_are_asked_for():
    assert drawn(0, rows=[]).sample({"n": 1}) == []


@pytest.mark.parametrize(("held", "needed"), [(False, 5), (True, 6)])
def test_too_few_rows(held, needed):
    with pytest.raises(ConfigError, match=f"t: 5 examples .* need {needed} rows .*; got 3"):
        drawn(5, held=held, rows=POOL[:3]).sample({"n": 99})
