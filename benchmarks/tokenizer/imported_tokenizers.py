"""Encoding by tokenizers of others, ours beside `tokenizers` itself: 10 MB of text.

    GROUNDUP_TOKENIZERS=DIR python -m benchmarks.tokenizer.imported_tokenizers

Both sides take the same texts of about 4 kB as one list and give lists of ids; both use all cores.
The text is the Python sources of this environment, repeated to 10 MB. Without the large tokenizers
(tests/tokenizer/imported/fixtures.py says where they lie) the small ones of the tests are measured.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

import tokenizers

from benchmarks.table import Peer, alternate, compare, report, version
from groundup.tokenizer import ImportedTokenizer, load_tokenizer

ROOT = Path(__file__).resolve().parents[2]
SMALL = ROOT / "tests" / "fixtures" / "imported"
LARGE = ("qwen3", "llama3_1", "gemma3", "deepseek_v3")
SIZE, PIECE = 10 * 2**20, 4096


def texts() -> list[str]:
    """10 MB in texts of about 4 kB."""
    sources = [path.read_text("utf-8") for path in sorted((ROOT / "groundup").rglob("*.py"))]
    whole = "\n".join(sources)
    whole = (whole * (SIZE // len(whole) + 1))[:SIZE]
    return [whole[place : place + PIECE] for place in range(0, len(whole), PIECE)]


def directories() -> list[Path]:
    """The large tokenizers that are there, else the small ones."""
    folder = Path(os.environ.get("GROUNDUP_TOKENIZERS") or "none")
    found = [folder / name for name in LARGE if (folder / name / "tokenizer.json").is_file()]
    if not found:
        print("GROUNDUP_TOKENIZERS names no large tokenizers; small ones.", file=sys.stderr)
    return found or [SMALL / "words", SMALL / "pairs"]


def peer(directory: Path) -> tokenizers.Tokenizer:
    """The library's own, nothing cut off, filled up or put around a text."""
    content = json.loads((directory / "tokenizer.json").read_text("utf-8"))
    content |= {"truncation": None, "padding": None, "post_processor": None}
    made = tokenizers.Tokenizer.from_str(json.dumps(content))
    made.encode_special_tokens = True
    return made


def speed(encode: Callable[[list[str]], list[list[int]]], rows: list[str]) -> float:
    """Megabytes a second of one round."""
    start = perf_counter()
    encode(rows)
    return SIZE / 1e6 / (perf_counter() - start)


def main() -> None:
    """Compare every tokenizer and keep the rows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds, rows, found = parser.parse_args().rounds, texts(), []
    for directory in directories():
        ours, theirs = load_tokenizer(directory), peer(directory)
        assert isinstance(ours, ImportedTokenizer)

        def by_peer(texts: list[str], theirs: tokenizers.Tokenizer = theirs) -> list[list[int]]:
            batch = theirs.encode_batch_fast(texts, add_special_tokens=False)
            return [encoding.ids for encoding in batch]

        assert ours.encode_batch(rows[:50]) == by_peer(rows[:50])
        speeds = alternate(
            {
                "ours": lambda ours=ours: speed(ours.encode_batch, rows),
                "peer": lambda by_peer=by_peer: speed(by_peer, rows),
            },
            rounds=rounds,
        )
        named = Peer("tokenizers", version("tokenizers"))
        work = f"encode by {directory.name}"
        found.append(compare(work, "MB/s", speeds["ours"], speeds["peer"], named))
    report("imported_tokenizers", found)


if __name__ == "__main__":
    main()
