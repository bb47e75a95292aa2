"""A label is served as it moves, and nobody's answer fails; what was rejected is not served."""

import asyncio
import itertools
import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
import torch

from groundup.core import Artifact, Config, ConfigError, GateFailed, Sampling, produce
from groundup.generate import TextStream
from groundup.measure import (
    Interval,
    at_least,
    check_requirement,
    move_label_to_bundle,
    resolve_label,
    write_verdict,
)
from groundup.model import load, save
from groundup.serve.engine.settings import EngineSettings
from groundup.serve.releases import Releases
from groundup.serve.replay import _replay_all
from groundup.serve.serve import serve
from groundup.tokenizer import FastTokenizer
from tests.serve.servers import serving, write_chat_model
from tests.serve.test_replay import read

GOOD, BAD = Interval(0.8, 0.7, 0.9, 0.95, 50, 40), Interval(0.3, 0.2, 0.4, 0.95, 50, 40)
STREAMS = 30


class Named(Config):
    """Decides an artifact."""

    name: str


def artifact(out: Path, kind="model", file: str = "weights.bin") -> Artifact:
    return produce(
        out, kind=kind, stage="test", version=1, config=Named(name=out.name), parents={},
        write=lambda draft: draft.file(file).write_text(out.name),
    )  # fmt: skip


def tiny_model(out: Path, scale: float) -> Artifact:
    """A chat model as an artifact, whose weights and answers depend on `scale`."""

    def write(draft) -> None:
        write_chat_model(draft.path)
        model = load(draft.path)
        with torch.no_grad():
            model.head.mul_(scale)
        save(model, draft.path)
        for file in draft.path.glob("*.*"):
            draft.file(file.name)

    return produce(
        out, kind="model", stage="test", version=1, config=Named(name=out.name), parents={},
        write=write,
    )  # fmt: skip


def verdict(subject: Artifact, out: Path, found=GOOD) -> Path:
    rows = [check_requirement("right", found, at_least(0.5))]
    return write_verdict(rows, subject, out=out).path


def release(root: Path, subject: Artifact, found=GOOD, **parts: Path) -> str:
    """Move the label `production` to a bundle; its id."""
    judged = verdict(subject, root / f"verdict-{subject.path.name}", found)
    move = move_label_to_bundle(
        "production", {"subject": subject.path, **parts}, judged, author="ana", reason="better",
        accept_rejected=found is BAD, releases=root / "releases",
    )  # fmt: skip
    return move.bundle


def test_a_label_is_what_its_bundle_holds(tmp_path):
    model, index = artifact(tmp_path / "model"), artifact(tmp_path / "index", "index")
    prompt = artifact(tmp_path / "prompt", "prompts", "prompt.toml")
    bundle = release(tmp_path, model, index=index.path, prompt=prompt.path)
    releases, asked = Releases(tmp_path / "releases"), EngineSettings(model="production", bits=8)
    settings, told = releases.resolve(asked)
    assert settings == EngineSettings(
        model=str(model.path), index=str(index.path), prompt=str(prompt.path / "prompt.toml"),
        bits=8,
    )  # fmt: skip
    assert told["label"] == "production" and told["bundle"] == bundle
    assert not told["accepted_rejected"]
    with pytest.raises(ConfigError, match="its own index; leave yours out"):
        releases.resolve(EngineSettings(model="production", index="i"))
    before = releases.stamp_of(asked)
    assert before == releases.stamp_of(asked)
    release(tmp_path, index, prompt=prompt.path)
    assert before != releases.stamp_of(asked)
    assert releases.resolve(asked).settings.index == str(index.path)
    assert releases.resolve(asked).settings.model == ""


def test_bundles_that_cannot_be_served_are_refused(tmp_path):
    model, adapter = artifact(tmp_path / "model"), artifact(tmp_path / "adapter", "adapter")
    releases, asked = Releases(tmp_path / "releases"), EngineSettings(model="production")
    release(tmp_path, model, adapter=adapter.path)
    with pytest.raises(ConfigError, match="has an adapter"):
        releases.resolve(asked)
    several = tmp_path / "several"

    def write(draft) -> None:
        for name in ("a.toml", "b.toml"):
            draft.file(name).write_text(name)

    produce(several, kind="prompts", stage="test", version=1, config=Named(name="p"), parents={},
            write=write)  # fmt: skip
    release(tmp_path, artifact(tmp_path / "other"), prompt=several)
    with pytest.raises(ConfigError, match=r"must be one prompt .* has a.toml, b.toml"):
        releases.resolve(asked)


def test_a_name_is_a_label_or_a_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    releases = Releases(tmp_path / "releases")
    with pytest.raises(ConfigError, match="no directory production, and no label .* has none"):
        serve(Path("production"), releases=releases.folder, port=0, no_receipts=True)
    release(tmp_path, artifact(tmp_path / "model"))
    assert releases.label_of(EngineSettings(model="production")) == "production"
    assert releases.label_of(EngineSettings(model="model")) == ""
    assert releases.label_of(EngineSettings(index="index")) == ""
    (tmp_path / "production").mkdir()
    with pytest.raises(ConfigError, match="is a directory, and a label"):
        releases.label_of(EngineSettings(model="production"))


@pytest.mark.parametrize("name", ["model", "production"])
def test_what_was_rejected_is_served_only_if_told_which_is_recorded(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    release(tmp_path, artifact(tmp_path / "model"), BAD)
    asked = EngineSettings(model=name)
    with pytest.raises(GateFailed, match="accept-rejected"):
        serve(Path(name), port=0, no_receipts=True)
    accepted = Releases(Path("releases"), accept_rejected=True).resolve(asked).release
    assert accepted.get("accepted_rejected") or accepted["accepted"][0]["failed"] == "right"


async def stream(client: httpx.AsyncClient, number: int) -> tuple[str, str]:
    """Id and text of one streamed answer."""
    body = {
        "model": "production", "messages": [{"role": "user", "content": f"question {number}"}],
        "stream": True, "max_tokens": 24, "min_tokens": 24, "seed": number,
    }  # fmt: skip
    async with client.stream("POST", "chat/completions", json=body) as answer:
        assert answer.status_code == 200, await answer.aread()
        lines = [line[6:] async for line in answer.aiter_lines() if line]
    assert lines.pop() == "[DONE]"
    chunks = [json.loads(line) for line in lines]
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"
    return chunks[0]["id"], "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)


async def is_by(client: httpx.AsyncClient, model: Artifact) -> bool:
    """Whether new answers are a model's."""
    body = {"model": "production", "prompt": "a", "max_tokens": 1}
    answer = await client.post("completions", json=body)
    return answer.json()["system_fingerprint"] == f"fp_{model.id[:12]}"


async def ask_while_it_moves(url: str, root: Path, model: Artifact) -> dict[str, str]:
    """Texts by the ids of answers that were streamed while the label moved to a model."""
    texts, started = dict[str, str](), itertools.count()
    async with httpx.AsyncClient(base_url=f"{url}/v1/", timeout=100) as client:

        async def ask_one_after_another() -> None:
            while not moving.done():
                texts.update([await stream(client, next(started))])

        async def move() -> None:
            await asyncio.to_thread(release, root, model)
            async with asyncio.timeout(100):
                while not await is_by(client, model):
                    await asyncio.sleep(0.1)
                before = len(texts)
                while len(texts) < before + STREAMS:
                    await asyncio.sleep(0.1)

        moving = asyncio.create_task(move())
        await asyncio.gather(moving, *(ask_one_after_another() for _ in range(STREAMS)))
    return texts


def text_of(receipt: dict) -> str:
    """The text of a receipt's only answer."""
    stream, [ids] = TextStream(FastTokenizer([]), Sampling()), receipt["answers"]
    return "".join(stream.add(id, at == len(ids) - 1) for at, id in enumerate(ids))


def test_a_label_moves_under_load_and_no_answer_fails(tmp_path):
    first, second = tiny_model(tmp_path / "first", 1.0), tiny_model(tmp_path / "second", 0.5)
    bundles = {first.id: release(tmp_path, first)}
    label, receipts = tmp_path / "releases" / "production.jsonl", tmp_path / "receipts"
    words = ("--releases", str(label.parent), "--receipts", str(receipts))
    with serving(Path("production"), *words, name="production") as server:
        body = {"model": "production", "input": "a", "max_output_tokens": 1}
        response = httpx.post(f"{server.url}/v1/responses", json=body, timeout=100).json()
        texts = asyncio.run(ask_while_it_moves(server.url, tmp_path, second))
        deadline = time.monotonic() + 30
        while len(server.process.children()) > 1:  # the former engine ends
            assert time.monotonic() < deadline
        [engine] = server.process.children()
        bundles[second.id] = resolve_label("production", label.parent).id
        label.write_bytes(label.read_bytes() + b"edited\n")
        os.kill(server.process.pid, signal.SIGHUP)
        answer = httpx.get(f"{server.url}/v1/models").json()
        assert answer["data"][0]["id"] == "production" and engine.is_running()
        assert httpx.get(f"{server.url}/v1/responses/{response['id']}").json() == response
    kept = {id: receipt for id, receipt in read(receipts).items() if id in texts}
    assert {id: text_of(receipt) for id, receipt in kept.items()} == texts
    served = [(each["identity"]["model"], each["release"]["bundle"]) for each in kept.values()]
    assert set(served) == set(bundles.items())
    some = list(kept.values())[::5]  # alone by one model, what was streamed is equal
    assert [each.outcome for each in _replay_all(some)] == ["equal"] * len(some)


def test_a_hangup_under_load_opens_the_directory_again_and_no_answer_fails(tmp_path):
    with serving(write_chat_model(tmp_path / "model"), "--no-receipts") as server:
        former, deadline = server.engine, time.monotonic() + 100

        def ask(number: int) -> int:
            asked = 0
            with server.client() as client:
                while former.is_running():
                    assert time.monotonic() < deadline, "the former engine ends"
                    text = client.completions.create(
                        model="tiny", prompt=f"question {number}", max_tokens=20, stream=True
                    )
                    asked += list(text)[-1].choices[0].finish_reason in ("stop", "length")
            return asked

        with ThreadPoolExecutor(4) as threads:
            asked = [threads.submit(ask, number) for number in range(4)]
            os.kill(server.process.pid, signal.SIGHUP)
            assert all(each.result() > 0 for each in asked)
        assert server.engine.pid != former.pid
