"""Nothing acknowledged is lost, nothing torn is read, nobody overwrites what they did not see."""

import errno
import io
import json
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.core import ArtifactError, DataError
from groundup.core.ledger import Ledger, Pointer, _entry_hash, user_name


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "ledger" / "looks.jsonl")
    for number in range(3):
        ledger.append({"number": number, "text": "naïve ✓"})
    return ledger


def numbers(ledger: Ledger) -> list[int]:
    return [entry.content["number"] for entry in ledger.read()]


def test_a_cut_anywhere_in_the_last_line_leaves_the_lines_before(ledger):
    whole = ledger.path.read_bytes()
    second_ends = whole.index(b"\n", whole.index(b"\n") + 1) + 1
    for cut in range(second_ends, len(whole)):
        ledger.path.write_bytes(whole[:cut])
        assert numbers(ledger) == [0, 1]
        assert ledger.append({"number": 9}).sequence == 3
        assert numbers(ledger) == [0, 1, 9]


def test_a_torn_end_is_told_in_bytes_and_cut_by_the_next_writer(ledger):
    assert ledger.torn_bytes() == Ledger(ledger.path.with_name("none.jsonl")).torn_bytes() == 0
    with open(ledger.path, "ab") as file:
        file.write(b'{"sequence": 4')
    assert ledger.torn_bytes() == 14 and numbers(ledger) == [0, 1, 2]
    with ledger.lock_for_append():
        pass
    assert ledger.torn_bytes() == 0


def test_a_last_line_of_nuls_is_torn(ledger):
    with open(ledger.path, "ab") as file:
        file.write(b"\0" * 5000 + b"\n")
    assert numbers(ledger) == [0, 1, 2]
    ledger.append({"number": 3})
    assert numbers(ledger) == [0, 1, 2, 3]


@pytest.mark.parametrize("line", [0, 1, 2])
def test_an_edited_line_is_named(ledger, line):
    lines = ledger.path.read_text().splitlines(keepends=True)
    lines[line] = lines[line].replace(f'"number": {line}', '"number": 7')
    ledger.path.write_text("".join(lines))
    with pytest.raises(ArtifactError, match=f"line {line + 1} was edited"):
        numbers(ledger)


@pytest.mark.parametrize("order", [[0, 2], [1, 2], [0, 2, 1], [0, 0, 1, 2]])
def test_lost_moved_and_doubled_lines_are_found(ledger, order):
    lines = ledger.path.read_text().splitlines(keepends=True)
    ledger.path.write_text("".join(lines[i] for i in order))
    with pytest.raises(ArtifactError, match="does not follow"):
        numbers(ledger)


def test_a_damaged_last_line_stops_an_append(ledger):
    with open(ledger.path, "ab") as file:
        file.write(b"not json\n")
    with pytest.raises(ArtifactError, match="last line is no entry"):
        ledger.append({"number": 3})


def test_read_after_and_last(ledger):
    assert [entry.sequence for entry in ledger.read(after=2)] == [3]
    last = ledger.last()
    assert last is not None and last.content["number"] == 2
    empty = Ledger(ledger.path.with_name("none.jsonl"))
    assert (list(empty.read()), empty.last()) == ([], None)


def test_content_that_is_not_json_leaves_no_trace(ledger):
    before = ledger.path.read_bytes()
    for content in ({"x": float("nan")}, {"x": {1, 2}}, {"x": "\ud800"}):
        with pytest.raises(DataError, match="JSON"):
            ledger.append(content)
    assert ledger.path.read_bytes() == before


@settings(max_examples=20, deadline=None)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none()), max_size=4))
def test_any_json_comes_back(tmp_path_factory, contents):
    ledger = Ledger(tmp_path_factory.mktemp("any") / "any.jsonl")
    for content in contents:
        ledger.append(json.loads(json.dumps(content)))
    assert [entry.content for entry in ledger.read()] == contents


def test_keys_that_are_numbers_come_back_as_text(ledger):
    ledger.append({"number": 3, "counts": {9: "a", 10: "b"}})
    last = ledger.last()
    assert last is not None and last.content["counts"] == {"9": "a", "10": "b"}
    assert numbers(ledger) == [0, 1, 2, 3]


def test_long_lines_are_found_from_the_end(ledger):
    ledger.append({"number": 3, "text": "x" * 10_000})
    assert ledger.append({"number": 4}).sequence == 5
    assert numbers(ledger) == [0, 1, 2, 3, 4]


def test_writers_at_once_keep_one_order(tmp_path):
    ledger = Ledger(tmp_path / "busy.jsonl")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ledger.append({"number": number}), range(20)))
    assert sorted(numbers(ledger)) == list(range(20))


def test_of_many_movers_one_wins(tmp_path):
    pointer = Pointer(tmp_path / "current.jsonl")
    pointer.move(None, "a", author="ana", reason="first")

    def race(name: str) -> bool:
        try:
            pointer.move("a", name, author=name, reason="race")
        except ArtifactError as error:
            assert "expected to be at 'a'" in str(error)
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(race, ["b", "c", "d", "e"]))
    assert sum(won) == 1
    assert pointer.value == "bcde"[won.index(True)]
    assert [move.content["value"] for move in pointer.history()] == ["a", pointer.value]


def test_processes_do_not_overwrite_each_other(tmp_path):
    path = tmp_path / "shared.jsonl"
    code = (
        "import sys; from pathlib import Path; from groundup.core.ledger import Ledger\n"
        "for n in range(10): Ledger(Path(sys.argv[1])).append({'number': n})"
    )
    runs = [subprocess.Popen([sys.executable, "-c", code, str(path)]) for _ in range(2)]
    assert [run.wait() for run in runs] == [0, 0]
    assert sorted(numbers(Ledger(path))) == sorted([*range(10), *range(10)])


def test_a_machine_without_a_users_name_still_has_an_author(monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ana")
    assert user_name() == "ana"
    monkeypatch.setattr("getpass.getuser", lambda: {}["nobody"])
    assert user_name() == "unknown"


class Full(io.FileIO):
    """A file on a disk that takes a few bytes at a time, and at last none."""

    room = 10**9

    def write(self, data) -> int:
        if self.room <= 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(bytes(data)[: min(7, self.room)])
        self.room -= taken
        return taken


def test_a_disk_that_takes_little_at_a_time_gets_the_whole_line(ledger):
    with Full(ledger.path, "a+") as file:
        ledger.append_locked(file, {"number": 3}, ledger.last())
    assert numbers(ledger) == [0, 1, 2, 3]


def test_a_line_that_the_disk_does_not_take_leaves_the_ledger_as_it_was(ledger):
    before = ledger.path.read_bytes()
    with Full(ledger.path, "a+") as file:
        file.room = 40
        with pytest.raises(OSError, match="No space"):
            ledger.append_locked(file, {"number": 3}, ledger.last())
    assert ledger.path.read_bytes() == before and ledger.torn_bytes() == 0


def test_a_writer_waits_for_the_one_before(ledger):
    started = threading.Event()

    def append() -> None:
        started.set()
        ledger.append({"number": 3})

    with ThreadPoolExecutor(1) as pool:
        with ledger.lock_for_append():
            waiting = pool.submit(append)
            assert started.wait(30)
            with pytest.raises(TimeoutError):
                waiting.result(timeout=0.3)
        waiting.result(timeout=60)
    assert numbers(ledger) == [0, 1, 2, 3]


def test_a_key_signs_what_nobody_else_can_write(tmp_path):
    signed = Ledger(tmp_path / "signed.jsonl", b"key")
    entries = signed.append_all([{"number": number} for number in range(3)])
    assert list(signed.read()) == entries and signed.append({"number": 3}).sequence == 4
    for other in (Ledger(signed.path), Ledger(signed.path, b"another")):
        with pytest.raises(ArtifactError, match="line 1 was edited"):
            list(other.read())
        with pytest.raises(ArtifactError, match="the last line was edited"):
            other.append({"number": 4})
    assert [entry.content["number"] for entry in signed.read()] == [0, 1, 2, 3]


def test_of_several_records_all_or_none_are_appended(ledger):
    with pytest.raises(DataError, match="JSON"):
        ledger.append_all([{"number": 3}, {"number": {4}}])
    assert numbers(ledger) == [0, 1, 2] and ledger.append_all([]) == []


def test_a_line_in_anothers_place_is_found_though_it_is_sound_itself(ledger):
    lines = ledger.path.read_text().splitlines(keepends=True)
    second = json.loads(lines[1])
    second["content"]["number"] = 7
    fields = [second[name] for name in ("sequence", "when", "content", "previous")]
    lines[1] = json.dumps({**second, "hash": _entry_hash(*fields)}) + "\n"
    ledger.path.write_text("".join(lines))
    with pytest.raises(ArtifactError, match="line 3 does not follow"):
        numbers(ledger)
