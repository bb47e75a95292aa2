"""What was answered under load is answered alone again, id by id; what cannot be is refused."""

import asyncio
import itertools
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any, NamedTuple

import httpx
import pytest

from groundup.cli import _dispatch
from groundup.core import ArtifactError, ConfigError, Ledger
from groundup.retrieve import index as make_index
from groundup.serve.engine.settings import EngineSettings, identity_of
from groundup.serve.engine.worker import EngineWorker
from groundup.serve.receipts import Receipts, read_key, receipt_files
from groundup.serve.replay import Replay, Replays, replay
from tests.serve.servers import DOCUMENTS, serving, write_chat_model, write_index

SCHEMA = {
    "type": "object", "properties": {"tea": {"enum": ["green", "black"]}}, "required": ["tea"],
    "additionalProperties": False,
}  # fmt: skip
FORMAT = {"type": "json_schema", "json_schema": {"name": "tea", "schema": SCHEMA}}
CHAT = {"model": "tiny", "max_tokens": 24, "grounded": False}


class Answered(NamedTuple):
    """What a server has answered and kept."""

    folder: Path
    model: Path
    index: Path
    ids: dict[str, str]
    """Ids of answers by what was asked for."""


async def ask(client: httpx.AsyncClient, path: str, body: dict[str, Any], cut: int = 0) -> str:
    """The id of one answer, whose stream may be cut off after some chunks."""
    if not body.get("stream"):
        answer = await client.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["id"]
    chunks = []
    async with client.stream("POST", path, json=body) as answer:
        async for line in answer.aiter_lines():
            if line.startswith("data: {"):
                chunks.append(json.loads(line[6:]))
                if len(chunks) == cut:
                    break
    return chunks[0]["id"]


def messages(text: str) -> dict[str, Any]:
    return CHAT | {"messages": [{"role": "user", "content": text}]}


async def ask_all(url: str) -> dict[str, str]:
    """Ask for answers of every kind, all at once."""
    plain = {"model": "tiny", "prompt": ["one", "two"], "max_tokens": 12}
    many = {
        f"chat {n}": ("chat/completions", messages("ab" * n) | {"seed": n, "stream": n % 2 > 0})
        for n in range(12)
    }
    asked = many | {
        "greedy": ("chat/completions", messages("tea") | {"temperature": 0}),
        "schema": ("chat/completions", messages("tea") | {"response_format": FORMAT}),
        "several": ("completions", plain | {"n": 2, "seed": 5, "stop": ["q"], "logprobs": 2}),
        "penalties": ("completions", plain | {"frequency_penalty": 1.0, "logit_bias": {"97": 4}}),
        "response": ("responses", {"model": "tiny", "input": "tea", "max_output_tokens": 9,
                                   "grounded": False}),
        "documents": ("chat/completions",
                      messages("How many cups does the pot hold?") | {"grounded": True}),
    }  # fmt: skip
    async with httpx.AsyncClient(base_url=f"{url}/v1/", timeout=60) as client:
        long = {"max_tokens": 2000, "min_tokens": 2000, "stream": True}
        cut = ask(client, "chat/completions", messages("cut") | long, cut=5)
        found = await asyncio.gather(cut, *(ask(client, *each) for each in asked.values()))
    return dict(zip(["cut", *asked], found, strict=True))


@pytest.fixture(scope="module")
def answered(tmp_path_factory) -> Iterator[Answered]:
    root = tmp_path_factory.mktemp("replay")
    folder, model = root / "receipts", write_chat_model(root / "model")
    index = write_index(root / "index")
    with serving(model, "--index", str(index), "--receipts", str(folder)) as server:
        ids = asyncio.run(ask_all(server.url))
        deadline = time.monotonic() + 30
        while len(read(folder)) < len(ids):
            assert time.monotonic() < deadline, "a receipt is missing"
            time.sleep(0.05)
    yield Answered(folder, model, index, ids)


def read(folder: Path) -> dict[str, dict[str, Any]]:
    """The receipts of a folder by id."""
    files = receipt_files(folder) if folder.exists() else []
    entries = (Ledger(file, read_key(folder)).read() for file in files)
    return {each.content["id"]: each.content for each in itertools.chain(*entries)}


def signed_again(answered: Answered, folder: Path, what: str, **changes: Any) -> str:
    """A receipt with changes, signed by who has the key; its id."""
    content = read(answered.folder)[answered.ids[what]] | changes
    Receipts(folder).close()
    Ledger(folder / "2026-01-01.jsonl", read_key(folder)).append(content)
    return content["id"]


def test_all_answers_are_equal_alone(answered):
    found = replay(all_=True, receipts=answered.folder)
    assert isinstance(found, Replays) and found.exit_code == 0, str(found)
    assert {each.id for each in found.answers} == set(answered.ids.values())
    assert all(each.outcome == "equal" and each.is_promised for each in found.answers)
    assert str(found).split() == ["equal", str(len(answered.ids)), "parted", "0", "refused", "0"]


def test_no_token_is_missed_while_another_thread_steps(answered):
    worker = EngineWorker(EngineSettings(model=str(answered.model)), None)
    is_done, count = Event(), 300
    batch = worker.batch
    assert batch is not None

    def step() -> None:
        while not is_done.is_set():
            batch.step()

    thread = Thread(target=step)  # as an answer from documents does
    thread.start()
    for number in range(count):
        worker.do_generate({"id": number, "ids": [1, 2], "sampling": {"max_tokens": 1}})
    deadline = time.monotonic() + 30
    while not batch.is_idle and time.monotonic() < deadline:
        is_done.wait(0.01)
    is_done.set()
    thread.join()
    assert len(worker.events) == count and all(event.ended for event in worker.events)


def test_an_answer_that_was_cut_off_is_equal_as_far_as_it_went(answered):
    receipt = read(answered.folder)[answered.ids["cut"]]
    assert receipt["ended"] == ["abort"] and 0 < len(receipt["answers"][0]) < 2000
    found = replay(answered.ids["cut"], receipts=answered.folder)
    assert isinstance(found, Replay) and found.exit_code == 0
    assert found.tokens == len(receipt["answers"][0])


def test_where_an_answer_parts_is_shown_with_both_tokens(answered, tmp_path):
    [was] = read(answered.folder)[answered.ids["greedy"]]["answers"]
    other = 98 if was[3] != 98 else 99
    changed = [[*was[:3], other, *was[4:]]]
    found = replay(signed_again(answered, tmp_path, "greedy", answers=changed), receipts=tmp_path)
    assert isinstance(found, Replay) and (found.outcome, found.exit_code) == ("parted", 1)
    [parting] = found.partings
    assert parting.was is not None and parting.now is not None
    assert (parting.token, parting.was.id, parting.now.id) == (3, other, was[3])
    assert parting.was.logprob < parting.now.logprob < 0  # the likeliest is chosen
    assert f"parts at token 3: {parting.texts[0]!r} (" in str(found)


@pytest.mark.parametrize("what, shown", [
    ({"ended": ["stop"]}, "parts at token 24: the end (stop) before, the end (length) now"),
    ({"answers": [[]], "ended": ["length"]}, ""),
])  # fmt: skip
def test_an_answer_that_ends_otherwise_parts_there(answered, tmp_path, what, shown):
    found = replay(signed_again(answered, tmp_path, "greedy", **what), receipts=tmp_path)
    assert isinstance(found, Replay) and found.message.endswith(shown)
    assert bool(found.exit_code) == bool(shown)


def test_an_answer_that_goes_on_behind_its_end_parts_there(answered, tmp_path):
    [was] = read(answered.folder)[answered.ids["greedy"]]["answers"]
    id = signed_again(answered, tmp_path, "greedy", answers=[was[:5]], ended=["stop"])
    assert "parts at token 5: the end (stop) before, " in str(replay(id, receipts=tmp_path))


def test_circumstances_that_differ_are_named(answered, tmp_path, monkeypatch):
    was = read(answered.folder)[answered.ids["greedy"]]["circumstances"]
    other = was | {"device": was["device"] | {"processor": "another"}, "threads": 1}
    id = signed_again(answered, tmp_path, "greedy", circumstances=other)
    found = replay(id, receipts=tmp_path)
    assert isinstance(found, Replay) and "device.processor was another, is " in str(found)
    assert len(found.differences) == 1 and "not promised" not in str(found)
    monkeypatch.setenv("GROUNDUP_STACK", "torch")
    found = replay(answered.ids["greedy"], receipts=answered.folder)
    assert isinstance(found, Replay) and found.differences == ("native was True, is False",)
    assert "equality is not promised" in str(found)


def test_other_weights_are_refused_with_both_ids(answered, tmp_path):
    was = read(answered.folder)[answered.ids["greedy"]]
    moved = {"model": str(tmp_path / "model")}
    shutil.copytree(answered.model, tmp_path / "model")
    id = signed_again(answered, tmp_path, "greedy", settings=moved)
    assert getattr(replay(id, receipts=tmp_path), "outcome", "") == "equal"
    with open(tmp_path / "model" / "config.json", "a") as file:
        file.write("\n")
    with pytest.raises(ArtifactError, match=rf"{was['identity']['model'][:12]}.* is [0-9a-f]+ now"):
        replay(id, receipts=tmp_path)
    every = replay(all_=True, receipts=tmp_path)
    assert isinstance(every, Replays) and [a.outcome for a in every.answers] == ["refused"]


def test_a_prompt_is_recognised_by_its_file(answered, tmp_path):
    prompt = tmp_path / "prompt.toml"
    prompt.write_text("one")
    settings = EngineSettings(model=str(answered.model), prompt=str(prompt))
    before = identity_of(settings)
    assert before == identity_of(settings) and before.keys() == {"model", "prompt"}
    prompt.write_text("two")
    assert identity_of(settings)["prompt"] != before["prompt"]
    assert identity_of(settings)["model"] == before["model"]
    prompt.unlink()
    for missing in (settings, EngineSettings(model=str(tmp_path / "none"))):
        with pytest.raises(ArtifactError, match="cannot be read: No such|has no files of a model"):
            identity_of(missing)


def test_documents_are_asked_of_the_snapshot_of_that_time(answered, tmp_path):
    shutil.copytree(answered.index.parent, tmp_path / "copy")
    index, documents = tmp_path / "copy" / "index", tmp_path / "copy" / "documents"
    settings = read(answered.folder)[answered.ids["documents"]]["settings"]
    settings["index"] = str(index)
    id = signed_again(answered, tmp_path, "documents", settings=settings)
    for cups, outcome in (("41", "equal"), ("42", "refused")):
        (documents / "tea.md").write_text(DOCUMENTS["tea.md"].replace("40", cups))
        make_index(documents, index)
        every = replay(all_=True, receipts=tmp_path)
        assert isinstance(every, Replays) and every.answers[0].outcome == outcome, str(every)
    snapshot = read(tmp_path)[id]["asked"]["answer"]["index"]
    with pytest.raises(ArtifactError, match=f"the snapshot {snapshot[:12]} of .* not there"):
        replay(id, receipts=tmp_path)


def test_an_answer_from_documents_that_differs_is_parted(answered, tmp_path):
    asked = read(answered.folder)[answered.ids["documents"]]["asked"]
    asked["answer"]["answer"] = "41 cups"
    found = replay(signed_again(answered, tmp_path, "documents", asked=asked), receipts=tmp_path)
    assert "from the documents parts in answer" in str(found)


def test_what_was_edited_is_refused_and_the_rest_is_replayed(answered, tmp_path):
    shutil.copytree(answered.folder, tmp_path / "receipts")
    [file] = receipt_files(tmp_path / "receipts")
    Ledger(file.with_name("2026-01-01.jsonl"), read_key(answered.folder)).append(
        read(answered.folder)[answered.ids["greedy"]]
    )
    file.write_text(file.read_text().replace('"seeds": [1', '"seeds": [2', 1))
    every = replay(all_=True, receipts=tmp_path / "receipts")
    assert isinstance(every, Replays) and every.exit_code == 1
    assert [each.outcome for each in every.answers] == ["refused", "equal"]
    assert "was edited: its signature does not fit" in str(every)


def test_one_answer_or_all_of_them_are_asked_for(answered):
    for wrong in ({}, {"id": "x", "all_": True}):
        with pytest.raises(ConfigError, match="or --all"):
            replay(**wrong, receipts=answered.folder)
    with pytest.raises(ConfigError, match="no receipt 'x'") as error:
        replay("x", receipts=answered.folder)
    assert error.value.exit_code == 2


def test_the_command_prints_json_and_exits_with_what_came(answered, tmp_path, capsys):
    words = ["replay", answered.ids["greedy"], "--receipts", str(answered.folder)]
    assert _dispatch(words, as_json=True) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["outcome"], shown["tokens"], shown["partings"]) == ("equal", 24, [])
    id = signed_again(answered, tmp_path, "greedy", ended=["stop"])
    assert _dispatch(["replay", id, "--receipts", str(tmp_path)], as_json=False) == 1
    assert "parted" in capsys.readouterr().out


def test_a_server_can_keep_none(answered, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with serving(None, "--index", str(answered.index), "--no-receipts") as server:
        body = messages("How many cups?") | {"grounded": True}
        assert httpx.post(f"{server.url}/v1/chat/completions", json=body).status_code == 200
    assert list(tmp_path.iterdir()) == []
