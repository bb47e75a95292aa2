"""The task of `align` and `reason`, and what is measured of the models that it trains."""

import json

import pytest

from groundup.align import read_tasks
from groundup.core import Artifact, Draft
from groundup.measure import Interval
from groundup.recipes.tuning.policies import (
    NUMBERS,
    PolicyMeasures,
    SumsConfig,
    measure_policies,
    write_comparison,
    write_sums,
)
from tests.align.conftest import chat_model  # noqa: F401 - a fixture

SMALL = SumsConfig(shown=40, rewarded=60, tested=30)


def rows(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def numbers(row):
    first, _, second = row["prompt"].split()
    return {int(first), int(second)}


def test_the_numbers_of_the_test_are_never_shown(tmp_path):
    files = write_sums(tmp_path / "task", SMALL, seed=3)
    shown, tasks, test = map(rows, files)
    assert (len(shown), len(tasks), len(test)) == (40, 60, 30)
    seen = set().union(
        *map(numbers, rows(write_sums(tmp_path / "all", SMALL._replace(rewarded=10**6), 3).tasks))
    )
    assert len(set(NUMBERS) - seen) == 12
    assert all(numbers(row) - seen for row in test)
    assert (
        files.tasks.read_text() == write_sums(tmp_path / "again", SMALL, seed=3).tasks.read_text()
    )


def test_worked_examples_state_equations_that_hold_and_end_with_the_answer(tmp_path):
    files = write_sums(tmp_path, SMALL._replace(shown=500, careless=0), seed=0)
    for row in rows(files.conversations):
        asked, said = (turn["content"] for turn in row["messages"])
        a, sign, b = asked.split()
        answer = int(a) + int(b) if sign == "+" else int(a) - int(b)
        lines = said.split("\n")
        assert len(lines) == 3 and lines[-1].endswith(f"= {answer}")
        for line in lines:
            left, right = line.split(" = ")
            x, op, y = left.split(" ")
            assert int(right) == (int(x) + int(y) if op == "+" else int(x) - int(y))


def test_someone_careless_is_wrong_where_carries_are_forgotten_and_nowhere_else(tmp_path):
    files = write_sums(tmp_path, SMALL._replace(shown=500, careless=1), seed=0)
    for row in rows(files.conversations):
        asked, said = (turn["content"] for turn in row["messages"])
        a, sign, b = asked.split()
        ones = int(a) % 10 + int(b) % 10 if sign == "+" else int(a) % 10 - int(b) % 10
        answer = int(a) + int(b) if sign == "+" else int(a) - int(b)
        assert (int(said.rpartition(" ")[2]) == answer) == (0 <= ones <= 9)


def test_a_model_is_measured_beside_the_first(chat_model: Artifact, tmp_path):  # noqa: F811
    tasks = read_tasks(write_sums(tmp_path, SMALL, seed=0).test)[:8]
    models = {"tuned": chat_model, "same": chat_model}
    found = measure_policies(models, tasks, None, tmp_path, max_tokens=4, seed=0)
    one, other = found.values()
    assert one._replace(seconds=0) == other._replace(seconds=0)
    assert one.wins.estimate == 0.5 and abs(one.divergence) < 1e-3
    assert 0 < one.distinct <= 1 and one.bits_per_byte is None and one.right.estimate == 0


@pytest.mark.parametrize("low", [0.4, 0.6])
def test_the_page_says_which_is_certainly_better(tmp_path, low):
    def measures(right, low):
        share = Interval(right, low, right + 0.1, 0.95, 100, 100)
        gain = Interval(right - 0.5, low - 0.5, right - 0.4, 0.95, 100, 100)
        return PolicyMeasures(share, gain, share, right, 1.5, 0.5, 2.0, 60.0)

    found = {"tuned": measures(0.5, 0.45), "dpo": measures(0.7, low), "kto": measures(0.3, 0.2)}
    draft = Draft(tmp_path, tmp_path, tmp_path)
    methods = {"dpo": "pairs", "kto": "answers"}
    write_comparison(draft, "Two ways", methods, found, base_bits=1.743)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["models"]["dpo"]["right"] == [0.7, low, 0.8]
    assert report["lead"].endswith("better than it: dpo." if low > 0.5 else "better than it: none.")
    page = (tmp_path / "report.html").read_text()
    assert "Trained on pairs: more right answers than tuned." in page and "2.0" in page
    assert report["base_bits_per_byte"] == 1.743 and "The base needs 1.743 bits" in page
