"""A profile says where the time of the chosen steps went, and the run ends as it would have."""

import gzip
import json

import pytest
import torch

from groundup.core import record
from groundup.train.services.profiling import TABLE_FILE, TRACE_FILE, profile_steps
from tests.train.services.steps import steps_of, tiny


@pytest.fixture
def said(monkeypatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(record, "log", found.append)
    return found


def test_the_table_and_the_trace_tell_of_the_chosen_steps(tmp_path, said):
    model, optimizer = tiny()
    steps = list(profile_steps(steps_of(model, optimizer), tmp_path / "profile", 2, 2))
    assert [step.number for step in steps] == list(range(6))
    lines = (tmp_path / "profile" / TABLE_FILE).read_text().splitlines()
    shares = [float(line.split()[-1].rstrip("%")) for line in lines[1:]]
    assert any(line.startswith("aten::mm ") for line in lines)
    assert shares == sorted(shares, reverse=True) and 50 < sum(shares) <= 100.5
    with gzip.open(tmp_path / "profile" / TRACE_FILE) as file:
        names = [event.get("name") for event in json.load(file)["traceEvents"]]
    assert "aten::mm" in names
    assert len(said) == 1 and said[0].startswith("Profile of 2 steps: ")
    plain, other = tiny()
    list(steps_of(plain, other))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), plain.parameters(), strict=True)
    )


def test_a_run_that_ends_early_tells_of_what_it_saw(tmp_path, said):
    list(profile_steps(steps_of(*tiny()), tmp_path, 5, 3))
    assert said[0].startswith("Profile of 1 steps: ")


@pytest.mark.parametrize("first, start", [(9, 0), (1, 2)])
def test_steps_that_do_not_come_are_not_profiled(first, start, tmp_path, said):
    steps = (step for step in steps_of(*tiny()) if step.number >= start)
    list(profile_steps(steps, tmp_path, first, 3, start=start))
    assert not said and not (tmp_path / TRACE_FILE).exists()
