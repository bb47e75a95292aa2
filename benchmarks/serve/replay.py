"""Answers taken under load are answered alone again, in a new process; edited receipts are refused.

    python -m benchmarks.serve.replay MODEL --index INDEX [--answers 2000] [--clients 64] [--keep]

Clients ask a server without pause: prompts of one to some hundred tokens, some of which begin
alike, temperatures, seeds, penalties, stop strings, schemas and several answers, half of them
streamed, some cut off, a few from the documents. Then `groundup replay --all` gives each again,
alone. At last receipts are edited in five ways, one at a time, by somebody without the key, and
each folder is asked for the answer: 200 times.
"""

import argparse
import asyncio
import json
import random
import re
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks import table
from groundup.core import GroundupError, Ledger, child, digest
from groundup.serve.receipts import find_receipt, read_key, receipt_files

WORDS = (
    "how does the file open when a line ends and what is its name in the table of values".split()
)
SCHEMA = {
    "type": "object", "required": ["name", "number"], "additionalProperties": False,
    "properties": {"name": {"enum": ["a", "b", "none"]}, "number": {"type": "integer"}},
}  # fmt: skip
CUT_SHARE, DOCUMENTS_SHARE = 0.03, 0.02


def draw_request(chance: random.Random) -> tuple[str, dict[str, Any], int]:
    """A route, a body, and after how many chunks its stream is cut off; 0: never."""
    text = " ".join(chance.choices(WORDS, k=chance.choice([1, 3, 10, 60, 200])))
    if chance.random() < 0.3:
        text = " ".join(WORDS * 4) + text  # begins like others
    body: dict[str, Any] = {
        "model": "bench", "max_tokens": chance.choice([1, 8, 32, 64]),
        "temperature": chance.choice([0, 0.3, 0.7, 1.0, 1.5]), "stream": chance.random() < 0.5,
    }  # fmt: skip
    body |= chance.choice([
        {}, {"seed": chance.randrange(2**31)}, {"top_p": 0.8, "seed": 1}, {"top_k": 20},
        {"frequency_penalty": 0.5, "presence_penalty": 0.5}, {"stop": [" the", "e f"]}, {"n": 3},
        {"logprobs": True, "top_logprobs": 3}, {"repetition_penalty": 1.2}, {"min_p": 0.05},
    ])  # fmt: skip
    if chance.random() < 0.1 and "stop" not in body:
        named = {"name": "answer", "schema": SCHEMA}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    if chance.random() < DOCUMENTS_SHARE:
        body = {"model": "bench", "grounded": True, "stream": body["stream"]}
    else:
        body["grounded"] = False
    messages = {"messages": [{"role": "user", "content": text}]}
    is_cut = body["stream"] and chance.random() < CUT_SHARE
    return "chat/completions", body | messages, 4 if is_cut else 0


async def ask(client: httpx.AsyncClient, path: str, body: dict[str, Any], cut: int) -> str:
    """The id of an answer; empty if it failed."""
    if not body["stream"]:
        answer = await client.post(path, json=body)
        return answer.json().get("id", "")
    id, count = "", 0
    async with client.stream("POST", path, json=body) as answer:
        async for line in answer.aiter_lines():
            count += 1
            if not id and line.startswith("data: {"):
                id = json.loads(line[6:]).get("id", "")
            if count == 2 * cut:
                break
    return id


async def ask_many(url: str, answers: int, clients: int) -> Counter[str]:
    """Ask from many clients at once; how many answers came and how many failed."""
    chance, counts = random.Random(0), Counter[str]()
    asked = iter([draw_request(chance) for _ in range(answers)])
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=f"{url}/v1/", timeout=300, limits=limits) as client:

        async def ask_one_after_another() -> None:
            for request in asked:
                counts["answered" if await ask(client, *request) else "failed"] += 1

        await asyncio.gather(*(ask_one_after_another() for _ in range(clients)))
    return counts


@contextmanager
def serving(model: Path, index: Path | None, receipts: Path) -> Iterator[str]:
    """A server's address; with the block it ends, its receipts written."""
    words = ["--index", str(index)] if index else []
    command = child.python_command(
        "-m", "groundup", "serve", str(model), *words, "--port", "0", "--name", "bench",
        "--receipts", str(receipts),
    )  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env=child.python_environment()
    ) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:
                if found := re.search(r"answers at (http://\S+)", line):
                    yield found[1]
                    break
        finally:
            process.terminate()
            process.wait()


def replay_all(receipts: Path) -> dict[str, Any]:
    """What `groundup replay --all` says, in a process of its own."""
    words = ("-m", "groundup", "replay", "--all", "--receipts", str(receipts), "--json")
    command, begun = child.python_command(*words), time.perf_counter()
    ended = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, env=child.python_environment()
    )
    answers = json.loads(ended.stdout)["answers"]
    for each in answers:
        if each["outcome"] != "equal":
            print(each["id"], each["outcome"], each["message"])
    outcomes = Counter(each["outcome"] for each in answers)
    return {
        "replayed": len(answers), "tokens": sum(each["tokens"] for each in answers),
        **{name: outcomes[name] for name in ("equal", "parted", "refused")},
        "exit_code": ended.returncode, "seconds": round(time.perf_counter() - begun, 1),
    }  # fmt: skip


def edit(lines: list[str], at: int, how: str, chance: random.Random) -> list[str]:
    """The lines of a ledger of which the one at a place was edited, or what is beside it."""
    edited = list(lines)
    if how == "dropped":
        del edited[at]
    elif how == "moved":
        edited[at], edited[at + 1] = lines[at + 1], lines[at]
    elif how == "cut":
        edited[at] = lines[at][: chance.randrange(1, len(lines[at]) - 1)] + "\n"
    else:
        entry = place = json.loads(lines[at])
        name = "content"
        while isinstance(place[name], dict) and place[name]:
            place, name = place[name], chance.choice(sorted(place[name]))
        place[name] = "edited" if place[name] != "edited" else "again"
        if how == "hashed again":
            fields = [entry[each] for each in ("sequence", "when", "content", "previous")]
            entry["hash"] = digest(fields)
        edited[at] = json.dumps(entry, ensure_ascii=False) + "\n"
    return edited


def edit_receipts(receipts: Path, times: int) -> dict[str, int]:
    """Edit one receipt at a time and ask for it; how many were refused, by what was done."""
    [file] = receipt_files(receipts)
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    ids = [each.content["id"] for each in Ledger(file, read_key(receipts)).read()]
    chance, found = random.Random(1), Counter[str]()
    kinds = ("field", "hashed again", "dropped", "moved", "cut")
    for number in range(times):
        at, how = chance.randrange(len(lines) - 1), kinds[number % len(kinds)]
        file.write_text("".join(edit(lines, at, how, chance)), encoding="utf-8")
        try:
            find_receipt(receipts, ids[at])
        except GroundupError:
            found[how] += 1
    file.write_text("".join(lines), encoding="utf-8")
    return {"edited": times, "refused": sum(found.values()), **found}


def main() -> None:
    """Measure, print, and keep if asked to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--index", type=Path)
    parser.add_argument("--answers", type=int, default=2_000)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--keep", action="store_true", help="keep in results/replay.json")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        receipts = Path(folder)
        with serving(given.model, given.index, receipts) as url:
            begun = time.perf_counter()
            counts = asyncio.run(ask_many(url, given.answers, given.clients))
            seconds = time.perf_counter() - begun
        found = {
            "answers": given.answers, "clients": given.clients, "failed": counts["failed"],
            "seconds": round(seconds, 1), "replay": replay_all(receipts),
            "tampering": edit_receipts(receipts, given.edits),
        }  # fmt: skip
    print(json.dumps(found, indent=1))
    if given.keep:
        table.keep_part("replay", given.model.resolve().name, found)


if __name__ == "__main__":
    main()
