"""How many files of the package does one item pass through? Three walks, traced.

    python -m benchmarks.walks

A: a web page of a WARC file, through `prepare` (main text, quality of lines, sites, near
duplicates), `tokenizer`, `tokens` and a loader, to ids in a batch. B: a token id, from the first
batch of a run through the loop and its services to checkpoints. C: a question to a quote. A file
counts if one of its functions runs; beside all stands the number without the frame (groundup/core,
flags.py, cli.py, verbs.py) and, for B, without the mathematics of the model (model/, kernels/).
"""

import argparse
import gzip
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import groundup

PACKAGE = Path(groundup.__file__).parent
FRAME = ("core/", "flags.py", "cli.py", "verbs.py", "model/", "kernels/")
FIRST_BATCH = ("tokenizer/loader.py", "batch")
PIPELINE = """
[[sources]]
name = "pages"
path = "pages"
reader = "warc"
licence = "CC-BY-4.0"

[[steps]]
use = "web.main_text"

[[steps]]
use = "web.site_lines"

[[steps]]
use = "web.lines"

[[steps]]
use = "quality.gopher"
settings = { fewest_words = 10 }

[[steps]]
use = "dedup.minhash"

[split]
validation_share = 0.2
test_share = 0.1
"""
WORDS = "the sea was calm and the boats of our harbour lay in the sun while a man told of storms"


def main() -> None:
    """Print the files of each walk."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for name, walk in (("page to batch", page_to_batch), ("token id to checkpoint", train),
                           ("question to quote", question)):  # fmt: skip
            files = traced(walk(home), FIRST_BATCH if walk is train else None)
            own = [each for each in files if not each.startswith(FRAME)]
            print(f"{name}: {len(own)} files, {len(files)} with the frame")
            print("  " + " ".join(own))


def traced(walk: Callable[[], object], first: tuple[str, str] | None = None) -> list[str]:
    """The files of the package whose functions a walk runs, in the order of their first calls.

    first: file and function whose call begins the walk
    """
    seen: dict[str, None] = {}

    def note(frame, event, argument) -> None:
        path, name = frame.f_code.co_filename, frame.f_code.co_name
        if event != "call" or name == "<module>" or not path.startswith(str(PACKAGE)):
            return
        file = path[len(str(PACKAGE)) + 1 :]
        if seen or first is None or (file, name) == first:
            seen.setdefault(file)

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        walk()
    finally:
        sys.setprofile(None)
        threading.setprofile(None)
    return list(seen)


def page_to_batch(home: Path) -> Callable[[], object]:
    """A WARC file of pages to the first batch of a loader."""
    from groundup.corpus import prepare
    from groundup.tokenizer import (
        Loader,
        TokenizerConfig,
        TokensConfig,
        encode_corpus,
        open_shards,
        train_tokenizer,
    )

    (home / "pages").mkdir()
    (home / "pages" / "a.warc.gz").write_bytes(b"".join(map(warc_record, range(120))))
    (home / "pages.toml").write_text(PIPELINE)

    def walk() -> None:
        corpus = prepare(home / "pages.toml", home / "corpus", workers=1)
        assert not isinstance(corpus, str)
        tokenizer = train_tokenizer(TokenizerConfig(vocab_size=300), corpus, home / "tokenizer")
        tokens = encode_corpus(TokensConfig(), corpus, tokenizer, home / "tokens")
        Loader(open_shards(tokens, "train").shards, batch=2, length=16).batch(0)

    return walk


def warc_record(number: int) -> bytes:
    """A response record of a page, compressed."""
    lines = "".join(f"<p>{WORDS}, said number {number} of line {n}.</p>" for n in range(12))
    menu = "<nav><a href=/>Home</a></nav>"
    body = f"<html><title>Page {number}</title><body>{menu}{lines}</body></html>"
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{body}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://a.example/{number}\r\n"
        f"WARC-Date: 2026-11-29T00:00:00Z\r\nWARC-Record-ID: <urn:uuid:{number:032x}>\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return gzip.compress(head.encode() + http + b"\r\n\r\n")


def train(home: Path) -> Callable[[], object]:
    """Tokens of a corpus through a run of pre-training to its checkpoint."""
    from groundup.core import Artifact
    from groundup.train import PretrainConfig, pretrain

    tokens, tokenizer = (Artifact.open(home / name) for name in ("tokens", "tokenizer"))
    config = PretrainConfig.model_validate(SETTINGS)
    return lambda: pretrain(config, tokens, tokenizer, home / "run")


SETTINGS = {
    "depth": 1, "tokens": 512, "batch_tokens": 64, "length": 16, "context_length": 32,
    "validation_tokens": 32, "checkpoints": {"every_steps": 4},
}  # fmt: skip


def question(home: Path) -> Callable[[], object]:
    """A question to an index that is made before."""
    from groundup.retrieve import ask, index

    (home / "docs").mkdir()
    (home / "docs" / "a.md").write_text(f"# Harbour\n\n{WORDS}.\n\nThe quay is 90 metres long.\n")
    index(home / "docs", home / "index")
    return lambda: ask("How long is the quay?", home / "index")


if __name__ == "__main__":
    main()
