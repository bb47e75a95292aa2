"""Training a vocabulary and encoding by it, beside Hugging Face `tokenizers`, in turns.

    python benchmarks/tokenizer.py FOLDER_OR_FILE [--megabytes 50] [--vocab 16384] [--rounds 5]

Both sides get the same texts in memory and as many threads as the machine has cores; encoding is
timed on one core. Merges and ids are compared before anything is said. Results, medians of ratios:
benchmarks/results/tokenizer.json.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "tokenizer.json"


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


def timed(work: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def train_ours(texts: list[str], vocab: int) -> list[tuple[bytes, bytes]]:
    """Merges by our C++ loops."""
    from groundup.tokenizer import compiled

    return compiled.learn_merges(texts, vocab, "qwen2", os.cpu_count() or 1)


def train_theirs(texts: list[str], vocab: int) -> "object":
    """A tokenizer by `tokenizers`."""
    import tokenizers
    from tokenizers import models, pre_tokenizers, trainers

    from groundup.tokenizer import PATTERNS

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


def peak(side: str, given: argparse.Namespace) -> float:
    """Megabytes that a process of its own needs at most for training, its texts included."""
    command = [sys.executable, __file__, str(given.texts), "--megabytes", str(given.megabytes),
               "--vocab", str(given.vocab), "--only", side]  # fmt: skip
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Train, compare, time; write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("--megabytes", type=float, default=50)
    parser.add_argument("--vocab", type=int, default=16_384)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", choices=["ours", "theirs", "nothing"])
    given = parser.parse_args()
    texts = read(given.texts, given.megabytes)
    if given.only:
        work = {"ours": train_ours, "theirs": train_theirs, "nothing": lambda *_: None}
        work[given.only](texts, given.vocab)
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        return
    result = measure(texts, given)
    RESULTS.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def measure(texts: list[str], given: argparse.Namespace) -> dict[str, object]:
    """Both sides in turns."""
    from groundup.core import device
    from groundup.tokenizer import FastTokenizer, compiled

    merges, theirs = train_ours(texts, given.vocab), train_theirs(texts, given.vocab)
    ours = FastTokenizer(merges, specials=())
    shown = json.loads(theirs.to_str())["model"]["merges"]
    from groundup.tokenizer.bpe import byte_characters

    letters = byte_characters()
    spelt = [["".join(letters[b] for b in half) for half in pair] for pair in merges]
    same_merges = [list(m.split(" ") if isinstance(m, str) else m) for m in shown] == spelt
    theirs.model.dropout = None
    peer = ours._tokenizers  # the same vocabulary, so that ids can be compared
    same_ids = all(
        row.tolist() == e.ids
        for row, e in zip(ours.encode_rows(texts), peer.encode_batch_fast(texts), strict=True)
    )
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    encoder = compiled.Encoder(ours.reference, "qwen2")
    times: dict[str, list[float]] = {
        "train ours": [], "train theirs": [], "encode ours": [], "encode theirs": [],
        "encode tiktoken": [],
    }  # fmt: skip
    for _ in range(given.rounds):
        os.environ["TOKENIZERS_PARALLELISM"] = "true"
        times["train ours"].append(timed(lambda: train_ours(texts, given.vocab)))
        times["train theirs"].append(timed(lambda: train_theirs(texts, given.vocab)))
        os.environ["TOKENIZERS_PARALLELISM"] = "false"
        times["encode ours"].append(timed(lambda: encoder.encode(texts, 1)))
        times["encode theirs"].append(timed(lambda: peer.encode_batch_fast(texts)))
        times["encode tiktoken"].append(
            timed(lambda: [ours._tiktoken.encode_ordinary(text) for text in texts])
        )
    size = sum(len(text.encode()) for text in texts) / 1e6

    def ratio(ours: str, peer: str) -> dict[str, float]:
        every = [b / a for a, b in zip(times[ours], times[peer], strict=True)]
        return {"median": median(every), "least": min(every), "most": max(every)}

    base = peak("nothing", given)
    return {
        "machine": device.one_line(),
        "megabytes": size,
        "vocab_size": given.vocab,
        "equal_merges": same_merges,
        "equal_ids": same_ids,
        "training_ratio": ratio("train ours", "train theirs"),
        "encoding_ratio_one_core": ratio("encode ours", "encode theirs"),
        "encoding_ratio_tiktoken": ratio("encode ours", "encode tiktoken"),
        "megabytes_per_second": {name: size / median(each) for name, each in times.items()},
        "peak_megabytes_of_training": {
            side: peak(side, given) - base for side in ("ours", "theirs")
        },
    }


if __name__ == "__main__":
    main()
