"""How fast each reader is, beside the plainest loop that reads the same files without a map.

    python -m benchmarks.corpus.readers [--megabytes 8] [--rounds 3] [--warcio PYTHON]

Makes files of each kind from a fixed seed in a temporary folder, reads them alternately with our
reader and with the plain loop, and prints the median rate of each in MB (of file, unpacked text for
packed ones) a second of processor time, which others on the machine hardly change. `--warcio` names
a Python that has warcio, for WARC. Writes benchmarks/results/corpus_readers.json.
"""

import argparse
import datetime
import gzip
import io
import json
import mailbox
import os
import random
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import get_type_hints

from groundup.core import device, write_json
from groundup.documents import READERS, Record

ROOT = Path(__file__).resolve().parents[2]

WORDS = (
    "the of and to in a is that for it as was with be by on not he his but at are this have from "
)
WORDS += "or had an they which one you were all her she there would their we him been has when who "
WORDS += "größer café naïve Straße señor 北京 русский text corpus reader page number “quoted” words"
WARCIO = """
import sys
from warcio.archiveiterator import ArchiveIterator
count = 0
with open(sys.argv[1], "rb") as file:
    for record in ArchiveIterator(file):
        if record.rec_type == "response" and record.http_headers.get_statuscode() == "200":
            count += len(record.content_stream().read()) > 0
print(count)
"""


def texts(megabytes: float, size: int = 4_000) -> Iterator[str]:
    """Yield texts of about `size` characters, lines of a dozen words, from a fixed seed."""
    chance, words = random.Random(5), WORDS.split()
    left = megabytes * 1e6
    while left > 0:
        lines = (
            " ".join(chance.choices(words, k=12)) for _ in range(chance.randrange(1, size // 30))
        )
        text = "\n".join(lines)
        left -= len(text.encode())
        yield text


def make_jsonl(root: Path, megabytes: float) -> float:
    with open(root / "a.jsonl", "w") as file:
        for number, text in enumerate(texts(megabytes)):
            row = {"id": number, "url": f"http://a/{number}", "text": text}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    return (root / "a.jsonl").stat().st_size


def plain_jsonl(root: Path) -> int:
    with open(root / "a.jsonl") as file:
        return sum(bool(json.loads(line)["text"]) for line in file)


def make_conversations(root: Path, megabytes: float) -> float:
    with open(root / "a.jsonl", "w") as file:
        for text in texts(megabytes):
            roles = ("user", "assistant")
            rows = [
                {"role": roles[n % 2], "content": line} for n, line in enumerate(text.split("\n"))
            ]
            file.write(json.dumps({"messages": rows}) + "\n")
    return (root / "a.jsonl").stat().st_size


def plain_conversations(root: Path) -> int:
    with open(root / "a.jsonl") as file:
        rows = [json.loads(line)["messages"] for line in file]
    return sum(bool("\n\n".join(f"{m['role']}: {m['content']}" for m in row)) for row in rows)


def make_parquet(root: Path, megabytes: float) -> float:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    rows = list(texts(megabytes))
    table = pa.table({"text": rows, "url": [f"http://a/{n}" for n in range(len(rows))]})
    parquet.write_table(table, root / "a.parquet", row_group_size=1_000)
    return sum(len(row.encode()) for row in rows)


def plain_parquet(root: Path) -> int:
    import pyarrow.parquet as parquet

    batches = parquet.ParquetFile(root / "a.parquet").iter_batches(256, columns=["text", "url"])
    return sum(len(batch.to_pylist()) for batch in batches)


def make_warc(root: Path, megabytes: float) -> float:
    size = 0
    with open(root / "a.warc.gz", "wb") as file:
        for number, text in enumerate(texts(megabytes)):
            page = f"<html><title>{number}</title><p>" + text.replace("\n", "</p>\n<p>")
            body = (
                b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n" + page.encode()
            )
            head = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a/{number}\r\n"
                "WARC-Date: 2026-01-01T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:1>\r\nContent-Type: "
                f"application/http; msgtype=response\r\nContent-Length: {len(body)}\r\n\r\n"
            )
            size += len(body)
            file.write(gzip.compress(head.encode() + body + b"\r\n\r\n", 6))
    return size


def plain_warc(root: Path) -> int:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    with open(root / "a.warc.gz", "rb") as file:
        records = ArchiveIterator(file, record_types=WarcRecordType.response, parse_http=True)
        return sum(bool(record.reader.read()) for record in records)


def make_mail(root: Path, megabytes: float) -> float:
    with open(root / "a.mbox", "wb") as file:
        for number, text in enumerate(texts(megabytes)):
            head = f"From a@b  Fri Jan  2 10:20:30 2026\nFrom: Ada <a@b>\nSubject: S {number}\n"
            head += f"Message-ID: <{number}@b>\nMIME-Version: 1.0\n"
            head += "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n"
            file.write((head + text + "\n\n").encode())
    return (root / "a.mbox").stat().st_size


def plain_mail(root: Path) -> int:
    box = mailbox.mbox(root / "a.mbox")
    return sum(bool((message.get_payload(decode=True) or b"").decode()) for message in box)


def make_folder(root: Path, megabytes: float) -> float:
    size = 0
    for number, text in enumerate(texts(megabytes)):
        path = root / f"{number // 100}" / f"{number}.txt"
        path.parent.mkdir(exist_ok=True)
        size += path.write_bytes(text.encode())
    return size


def plain_folder(root: Path) -> int:
    return sum(bool(path.read_text()) for path in root.rglob("*.txt"))


def make_archive(root: Path, megabytes: float) -> float:
    size = 0
    with zipfile.ZipFile(root / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for number, text in enumerate(texts(megabytes)):
            archive.writestr(f"{number}.txt", text)
            size += len(text.encode())
    return size


def plain_archive(root: Path) -> int:
    with zipfile.ZipFile(root / "a.zip") as archive:
        return sum(bool(archive.read(name).decode()) for name in archive.namelist())


def make_git(root: Path, megabytes: float) -> float:
    size = make_folder(root, megabytes)
    for path in root.rglob("*.txt"):
        path.rename(path.with_suffix(".c"))
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "x"], ["gc", "-q"]):
        subprocess.run(["git", "-C", root, *identity, *words], check=True, capture_output=True)
    return size


def plain_git(root: Path) -> int:
    done = subprocess.run(["git", "-C", root, "archive", "HEAD"], check=True, capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        files = (archive.extractfile(entry) for entry in archive if entry.isreg())
        return sum(bool(file.read().decode()) for file in files if file)


def make_pdf(root: Path, megabytes: float) -> float:
    from tests.documents.readers.test_books import pdf as make

    size = 0
    for number, text in enumerate(texts(megabytes / 20)):
        lines = text.encode("ascii", "ignore").decode().split("\n")
        drawn = make(["First"], b"".join(
            b" BT /F1 9 Tf 72 %d Td (%s) Tj ET" % (690 - 10 * n, line.encode())
            for n, line in enumerate(lines[:60])
        ))  # fmt: skip
        size += (root / f"{number}.pdf").write_bytes(drawn)
    return size


def plain_pdf(root: Path) -> int:
    import pypdf

    return sum(
        bool("".join(page.extract_text() for page in pypdf.PdfReader(path).pages))
        for path in root.glob("*.pdf")
    )


MADE: dict[str, tuple[Callable[[Path, float], float], Callable[[Path], int], str]] = {
    "folder": (make_folder, plain_folder, "Path.read_text"),
    "jsonl": (make_jsonl, plain_jsonl, "json.loads"),
    "conversations": (make_conversations, plain_conversations, "json.loads"),
    "parquet": (make_parquet, plain_parquet, "pyarrow to_pylist"),
    "warc": (make_warc, plain_warc, "FastWARC alone"),
    "archive": (make_archive, plain_archive, "zipfile"),
    "mail": (make_mail, plain_mail, "mailbox.mbox"),
    "git": (make_git, plain_git, "git archive and tarfile"),
    "pdf": (make_pdf, plain_pdf, "pypdf alone"),
}


def ours(name: str, root: Path) -> int:
    """Read a folder with our reader; how many records there were."""
    module, _, cls = READERS[name].partition(":")
    made = getattr(import_module(module), cls)
    reader = made(get_type_hints(made.__init__)["config"]())
    parts = reader.plan(root)
    return sum(isinstance(one, Record) for part in parts for one in reader.read(root, part, "s"))


def timed(call: Callable[[], int]) -> tuple[float, int]:
    """Seconds of processor time, children's included, and records of one call."""
    begun = os.times()
    count = call()
    now = os.times()
    return sum(now[:4]) - sum(begun[:4]), count


def warcio(python: str, root: Path) -> int:
    """Read the archive with warcio in another Python."""
    words = [python, "-c", WARCIO, str(root / "a.warc.gz")]
    return int(subprocess.run(words, check=True, capture_output=True).stdout)


def main() -> None:
    """Measure every reader and print a table."""
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--megabytes", type=float, default=8)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--warcio", default="")
    given = options.parse_args()
    rows = {}
    for name, (make, plain, peer) in MADE.items():
        peers = {peer: plain}
        if name == "warc" and given.warcio:
            peers["warcio"] = lambda root: warcio(given.warcio, root)
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            size = make(root, given.megabytes)
            calls = {"groundup": lambda root=root, name=name: ours(name, root)}
            calls |= {
                peer: lambda root=root, plain=plain: plain(root) for peer, plain in peers.items()
            }
            runs: dict[str, list[float]] = {who: [] for who in calls}
            for _ in range(given.rounds):
                for who, call in calls.items():
                    seconds, count = timed(call)
                    runs[who].append(seconds)
        best = {who: median(times) for who, times in runs.items()}
        rows[name] = {
            "records": count,
            "records_per_second": round(count / max(best["groundup"], 0.01)),
            "megabytes_per_second": {
                who: round(size / 1e6 / max(s, 0.01), 1) for who, s in best.items()
            },
        }
        told = "  ".join(
            f"{who} {rate}" for who, rate in rows[name]["megabytes_per_second"].items()
        )
        print(
            f"{name:14} {rows[name]['records_per_second']:>7} records/s   MB/s: {told}", flush=True
        )
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": device.processor_name(),
        "rows": rows,
    }
    write_json(ROOT / "benchmarks" / "results" / "corpus_readers.json", result)


if __name__ == "__main__":
    main()
