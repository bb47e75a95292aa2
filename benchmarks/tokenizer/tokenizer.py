"""Training a vocabulary and encoding by it, beside Hugging Face `tokenizers`, in turns.

    python -m benchmarks.tokenizer.tokenizer FOLDER_OR_FILE [--megabytes 50] \
        [--vocab 16384] [--rounds 5]

Both sides get the same texts in memory and as many threads as the machine has cores; encoding is
timed on one core. Merges and ids are compared before anything is said.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tokenizers
from tokenizers import models, pre_tokenizers, trainers

from benchmarks import table
from groundup.tokenizer import PATTERNS, FastTokenizer, compiled
from groundup.tokenizer.bpe import byte_to_character


def read(root: Path, megabytes: float) -> list[str]:
    """Texts of a folder's files up to a size; one file is cut into parts of 20,000 characters."""
    files = [root] if root.is_file() else sorted(f for f in root.rglob("*") if f.is_file())
    texts, size = [], 0
    for file in files:
        text = file.read_bytes().decode("utf-8", "ignore")
        for at in range(0, len(text), 20_000):
            texts.append(text[at : at + 20_000])
            size += len(texts[-1].encode())
            if size >= megabytes * 1e6:
                return texts
    return texts


def train_ours(texts: list[str], vocab: int) -> list[tuple[bytes, bytes]]:
    """Merges by our C++ loops."""
    return compiled.learn_merges(texts, vocab, "qwen2", os.cpu_count() or 1)


def train_theirs(texts: list[str], vocab: int) -> Any:
    """A tokenizer by `tokenizers`."""
    theirs = tokenizers.Tokenizer(models.BPE())
    theirs.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(tokenizers.Regex(PATTERNS["qwen2"]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    trainer = trainers.BpeTrainer(
        vocab_size=vocab, show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    theirs.train_from_iterator(texts, trainer)
    return theirs


def growth(work: Callable[[], object]) -> float:
    """Megabytes that a call needs at its highest, above what the process held before it."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here

    def held(name: str) -> float:
        status = Path("/proc/self/status").read_text()
        return int(status.split(f"{name}:")[1].split()[0]) / 1024

    before = held("VmRSS")
    work()
    return held("VmHWM") - before


def peak(side: str, given: argparse.Namespace) -> float:
    """Megabytes that training needs at most, beside its texts, in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tokenizer.tokenizer", str(given.texts)]
    command += ["--megabytes", str(given.megabytes), "--vocab", str(given.vocab), "--only", side]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Train, compare, time; write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--vocab", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["ours", "theirs"])
    given = parser.parse_args()
    texts = read(given.texts, given.megabytes)
    if given.only:
        work = {"ours": train_ours, "theirs": train_theirs}[given.only]
        work(["a"], 256)  # libraries are loaded
        print(growth(lambda: work(texts, given.vocab)))
        return
    measure(texts, given)


def measure(texts: list[str], given: argparse.Namespace) -> None:
    """Both sides in turns; nothing is told unless merges and ids are equal."""
    merges, theirs = train_ours(texts, given.vocab), train_theirs(texts, given.vocab)
    ours = FastTokenizer(merges, specials=())
    check_merges(merges, theirs)
    peer = ours._tokenizers  # the same vocabulary, so that ids can be compared
    encoder = compiled.CompiledEncoder(ours.reference, "qwen2")
    for row, encoding in zip(encoder.encode(texts), peer.encode_batch_fast(texts), strict=True):
        assert row.tolist() == encoding.ids
    size = sum(len(text.encode()) for text in texts) / 1e6

    def speed(work: Callable[[], object], threads: str) -> Callable[[], float]:
        def run() -> float:
            os.environ["TOKENIZERS_PARALLELISM"] = threads
            start = time.perf_counter()
            work()
            return size / (time.perf_counter() - start)

        return run

    training = table.alternate(
        {
            "ours": speed(lambda: train_ours(texts, given.vocab), "true"),
            "theirs": speed(lambda: train_theirs(texts, given.vocab), "true"),
        },
        given.rounds,
        0,
    )
    encoding = table.alternate(
        {
            "ours": speed(lambda: encoder.encode(texts, 1), "false"),
            "theirs": speed(lambda: peer.encode_batch_fast(texts), "false"),
            "tiktoken": speed(lambda: list(map(ours._tiktoken.encode_ordinary, texts)), "false"),
        },
        given.rounds,
        0,
    )
    library = table.Peer("tokenizers", table.version("tokenizers"))
    tiktoken = table.Peer("tiktoken", table.version("tiktoken"))
    name, unit = f"vocabulary of {given.vocab:,}, {size:.0f} MB of text", "MB/s"
    one_core = f"{name}: encoding, one core"
    needs = {side: round(peak(side, given)) for side in ("ours", "theirs")}
    rows = [
        table.compare(f"{name}: training", unit, training["ours"], training["theirs"], library),
        table.compare(one_core, unit, encoding["ours"], encoding["theirs"], library),
        table.compare(one_core, unit, encoding["ours"], encoding["tiktoken"], tiktoken),
    ]
    table.report("tokenizer", rows, {"megabytes that training needs beside its texts": needs})


def check_merges(merges: list[tuple[bytes, bytes]], theirs: Any) -> None:
    """Raise AssertionError unless both learned the same merges."""
    letters = byte_to_character()
    spelt = [["".join(letters[byte] for byte in half) for half in pair] for pair in merges]
    found = json.loads(theirs.to_str())["model"]["merges"]
    assert [one.split(" ") if isinstance(one, str) else one for one in found] == spelt


if __name__ == "__main__":
    main()
