"""Every answer's receipt reaches the disk once, signed; what was edited is refused."""

import asyncio
import contextlib
import json
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from groundup.core import ArtifactError, ConfigError, Ledger, Sampling, record
from groundup.core.ledger import _entry_hash
from groundup.serve import receipts as receipts_module
from groundup.serve.engine.process import EngineProcess, Engines
from groundup.serve.engine.settings import EngineSettings
from groundup.serve.metrics import Meter
from groundup.serve.openai.answering import Exchange, Served
from groundup.serve.receipts import Receipts, default_folder, find_receipt, read_key, receipt_files

FACTS = {"identity": {"model": "ab" * 32}, "threads": 1, "dtype": "float32", "pid": 7}


def answered(*ids: int, ended: str = "stop") -> Exchange:
    """An exchange whose only answer has these ids."""

    async def engine() -> EngineProcess:
        return EngineProcess(EngineSettings(model="/models/tiny"))

    exchange = Exchange("cmpl", [[1, 2]], Sampling(temperature=0.5), [11], tenant="ana")
    exchange.engine = asyncio.run(engine())
    exchange.engine.facts = FACTS
    exchange.answers, exchange.ended = [list(ids)], [ended]
    return exchange


@pytest.fixture(scope="module")
def served() -> Served:
    engines = Engines()
    return Served("tiny", engines, None, {}, Meter(engines, "tiny"), None, 0)


@contextlib.contextmanager
def kept(folder: Path, served: Served, exchanges: list[Exchange]) -> Iterator[None]:
    """The receipts of some answers, one ledger line each."""
    receipts = Receipts(folder)
    for exchange in exchanges:
        receipts.keep(served, exchange)
    receipts.close()
    yield


@pytest.fixture
def folder(tmp_path, served) -> Path:
    """Receipts of three answers."""
    with kept(tmp_path, served, [answered(3, 4), answered(5), answered(6, ended="")]):
        return tmp_path


def contents(folder: Path) -> list[dict[str, Any]]:
    key, files = read_key(folder), reversed(receipt_files(folder))
    return [entry.content for file in files for entry in Ledger(file, key).read()]


def test_a_receipt_has_what_the_answer_was_made_of(folder):
    first, _, last = contents(folder)
    assert (
        first["answers"] == [[3, 4]] and first["ended"] == ["stop"] and last["ended"] == ["abort"]
    )
    assert (first["prompts"], first["seeds"], first["tenant"]) == ([[1, 2]], [11], "ana")
    assert first["sampling"] == {"temperature": 0.5} and first["identity"] == FACTS["identity"]
    assert first["settings"] == {"model": "/models/tiny"} and "pid" not in first["circumstances"]
    assert find_receipt(folder, first["id"]) == first
    assert [file.name for file in receipt_files(folder)] == [f"{datetime.now(UTC):%Y-%m-%d}.jsonl"]


def test_what_was_not_answered_has_no_receipt(tmp_path, served):
    nothing = answered()
    nothing.engine = None
    with kept(tmp_path, served, [nothing, answered()]):
        assert receipt_files(tmp_path) == []


def test_only_its_owner_can_read_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    folder = default_folder()
    assert folder == tmp_path / "groundup" / "receipts"
    Receipts(folder).close()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "key").stat().st_mode & 0o777 == 0o600
    folder.chmod(0o755)
    with pytest.raises(ConfigError, match="chmod 700"):
        Receipts(folder)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="cannot be kept"):
        Receipts(tmp_path / "file" / "receipts")


def test_servers_that_start_at_once_agree_on_a_key(tmp_path, served):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(lambda _: Receipts(tmp_path), range(8)))
    for each in opened:
        each.keep(served, answered(9))
        each.close()
    assert len({each.key for each in opened}) == 1 and len(contents(tmp_path)) == 8
    assert {path.name for path in tmp_path.iterdir()} == {"key", receipt_files(tmp_path)[0].name}


def test_an_unknown_id_and_a_lost_key_are_told_apart(folder):
    with pytest.raises(ConfigError, match="no receipt 'cmpl-none'"):
        find_receipt(folder, "cmpl-none")
    (folder / "key").write_text("00")
    with pytest.raises(ArtifactError, match="is no key"):
        find_receipt(folder, "cmpl-none")


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all values of a JSON value that have no parts."""
    parts = value.items() if isinstance(value, dict) else enumerate(value)
    for name, part in parts:
        if isinstance(part, dict | list) and part:
            yield from leaves(part, (*path, name))
        else:
            yield *path, name


def flipped(value: Any) -> Any:
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    return {"more": 1} if isinstance(value, dict) else [1] if isinstance(value, list) else value + 1


def test_no_field_can_be_changed_even_if_hashes_are_computed_again(folder):
    [file] = receipt_files(folder)
    lines = file.read_text().splitlines(keepends=True)
    ids = [each["id"] for each in contents(folder)]
    paths = list(leaves(json.loads(lines[1])))
    assert len(paths) > 15
    for path in paths:
        for is_rehashed in (False, True):
            entry = place = json.loads(lines[1])
            for name in path[:-1]:
                place = place[name]
            place[path[-1]] = flipped(place[path[-1]])
            if is_rehashed:
                fields = [entry[name] for name in ("sequence", "when", "content", "previous")]
                entry["hash"] = _entry_hash(*fields)
            file.write_text("".join([lines[0], json.dumps(entry) + "\n", lines[2]]))
            for id in ids:
                with pytest.raises(ArtifactError, match="line 2"):
                    find_receipt(folder, id)


@pytest.mark.parametrize("order", [[0, 2], [1, 2], [1, 0, 2], [0, 1, 1, 2]])
def test_lines_can_be_neither_dropped_nor_moved(folder, order):
    [file] = receipt_files(folder)
    last = contents(folder)[-1]["id"]
    lines = file.read_text().splitlines(keepends=True)
    file.write_text("".join(lines[at] for at in order))
    with pytest.raises(ArtifactError, match="does not follow"):
        find_receipt(folder, last)


def test_a_line_that_was_cut_is_refused_and_a_torn_end_is_none(folder):
    [file] = receipt_files(folder)
    first, second, third = file.read_text().splitlines(keepends=True)
    ids = [each["id"] for each in contents(folder)]
    file.write_text(first + second[:50] + "\n" + third)
    with pytest.raises(ArtifactError, match="line 2 is no entry"):
        find_receipt(folder, ids[0])
    file.write_text(first + second + third[:-9])
    assert find_receipt(folder, ids[1])["id"] == ids[1]
    with pytest.raises(ConfigError, match="no receipt"):
        find_receipt(folder, ids[2])


def test_a_kill_leaves_a_ledger_that_is_valid_and_goes_on(tmp_path, served):
    exchange = answered(*range(2_000))

    def write() -> None:
        receipts = Receipts(tmp_path)
        while True:
            receipts.keep(served, exchange)
            asyncio.run(receipts.wait_for_room())

    process = multiprocessing.get_context("fork").Process(target=write)
    process.start()
    deadline = time.monotonic() + 60
    while not any(file.stat().st_size > 2**21 for file in receipt_files(tmp_path)):
        assert process.is_alive() and time.monotonic() < deadline
    process.kill()
    process.join()
    before = len(contents(tmp_path))
    with open(receipt_files(tmp_path)[0], "ab") as file:
        file.write(b'{"sequence": 9')  # as if the kill had torn a line
    assert before > 50 and len(contents(tmp_path)) == before
    with kept(tmp_path, served, [answered(1)]):
        assert len(contents(tmp_path)) == before + 1


def test_answers_wait_while_the_disk_does_and_no_receipt_is_lost(tmp_path, served, monkeypatch):
    monkeypatch.setattr(receipts_module, "MAX_WAITING", 10)
    receipts = Receipts(tmp_path)
    ledger = Ledger(tmp_path / f"{datetime.now(UTC):%Y-%m-%d}.jsonl", receipts.key)

    async def answer_many() -> None:
        with ledger.lock_for_append():  # the disk takes nothing
            for _ in range(receipts_module.MAX_GROUP + 12):
                receipts.keep(served, exchange)
            waiting = asyncio.create_task(receipts.wait_for_room())
            await asyncio.wait([waiting], timeout=0.1)
            assert not waiting.done()
        await asyncio.wait_for(waiting, 30)

    exchange = answered(1)
    asyncio.run(answer_many())
    receipts.close()
    assert len(contents(tmp_path)) == receipts_module.MAX_GROUP + 12


def test_a_ledger_that_was_damaged_meanwhile_is_left_for_another(folder, served, monkeypatch):
    monkeypatch.setattr(receipts_module, "RETRY_SECONDS", 0.01)
    logged = list[str]()
    monkeypatch.setattr(record, "log", logged.append)
    [file] = receipt_files(folder)
    file.write_text(damaged := file.read_text() + "edited\n")
    with kept(folder, served, [answered(7)]):
        assert file.read_text() == damaged and "not written yet" in logged[0]
    [other] = set(receipt_files(folder)) - {file}
    assert [each.content["answers"] for each in Ledger(other, read_key(folder)).read()] == [[[7]]]


def test_a_receipt_that_is_no_json_keeps_no_other_from_the_disk(tmp_path, served, monkeypatch):
    logged, wrong = list[str](), answered(2)
    monkeypatch.setattr(record, "log", logged.append)
    wrong.tenant = "\ud800"
    with kept(tmp_path, served, [answered(1), wrong, answered(3)]):
        assert [each["answers"] for each in contents(tmp_path)] == [[[1]], [[3]]]
    assert f"The receipt of {wrong.id} is lost" in logged[0]


def test_what_the_disk_never_takes_is_said_at_the_end(tmp_path, served, monkeypatch):
    monkeypatch.setattr(receipts_module, "RETRY_SECONDS", 0.01)
    logged = list[str]()
    monkeypatch.setattr(record, "log", logged.append)
    monkeypatch.setattr(Ledger, "append_all", lambda *_: (_ for _ in ()).throw(ArtifactError("x")))
    with kept(tmp_path, served, [answered(7)]):
        assert logged[-1] == "1 receipts are lost."
