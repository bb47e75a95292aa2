"""Ended before any of its calls to the system, what publishes leaves the old state or the new one.

Every kill is a real end of a real process: no `finally` runs, no buffer is flushed. Run again, the
same act reaches the new state, and nothing of the killed one is left in its way.
"""

import shutil
from pathlib import Path

import pytest

from tests.checking import unchecked
from tests.properties.publishers import PUBLISHERS
from tests.properties.recording import killed_at

MOST_CALLS = 200


@pytest.mark.parametrize("kind", PUBLISHERS)
def test_a_kill_before_any_call_leaves_the_old_state_or_the_new_one(kind, tmp_path):
    with unchecked():  # of which every kill costs two rounds
        kill_everywhere(kind, tmp_path)


def kill_everywhere(kind: str, tmp_path: Path) -> None:
    publisher = PUBLISHERS[kind]
    (start := tmp_path / "start").mkdir()
    publisher.begin(start)
    is_new = False
    for number in range(0, MOST_CALLS, 5 if kind == "index" else 1):  # an index makes 70 calls
        folder = tmp_path / f"killed-{number}"
        shutil.copytree(start, folder)
        was_killed = killed_at(folder, number, lambda folder=folder: publisher.act(folder))
        was_new, is_new = is_new, publisher.holds(folder)
        assert is_new or not was_new, "a later kill leaves what an earlier one left"
        publisher.act(folder)
        assert publisher.holds(folder)
        if not was_killed:
            break
        shutil.rmtree(folder)
    assert not was_killed and is_new and number
    left = [
        path.name for path in folder.rglob("*") if ".partial" in path.name or ".tmp" in path.name
    ]
    assert left == []
