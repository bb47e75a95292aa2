"""A table of what llama.cpp computes from our GGUF files, beside what we do.

    make oracles                               # writes the files and runs llama.cpp
    python -m benchmarks.model.gguf_beside     # prints the table of docs/reference/model/gguf.md

One small model of each architecture in float32: the largest difference of a log-probability after
four prompts of 1 to 40 ids, and of twenty prompts how many llama.cpp continues by the same twelve
ids, and how many of the others leave ours at ids that are as likely within the difference. Of
encoder–decoders the difference after the last ids of four targets of 1 to 160, of sources as long,
and how twenty targets begin.
"""

import json
import tempfile
from pathlib import Path

from torch import Tensor

from groundup.model import load_gguf
from groundup.model.weights.gguf.format import open_gguf
from tests.model.weights.gguf.models import (
    MODELS,
    PEER,
    SEQ2SEQ,
    SEQ2SEQ_PEER,
    TOKENIZERS,
    exact_model,
    greedy_margins,
    largest_difference,
    same_ids,
    save_gguf,
    seq2seq_difference,
    seq2seq_margins,
    seq2seq_model,
)


def print_row(name: str, arch: str, apart: float, margins: Tensor) -> None:
    """Print a row of the table."""
    same = int((margins == 0).all(1).sum())
    near = int((margins <= 2 * max(apart, 1e-5)).all(1).sum())
    print(f"| {name} | `{arch}` | {apart:.1e} | {same} and {near - same} of {len(margins)} |")


def main() -> None:
    """Print the table."""
    found = json.loads(PEER.read_text())
    print("| model | architecture | log-probabilities within | greedy: same, or by margin |")
    print("|---|---|---|---|")
    for name, config in MODELS.items():
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / "a.gguf"
            save_gguf(exact_model(config), path, "F32")
            model, arch = load_gguf(path), open_gguf(path).metadata["general.architecture"]
        apart, margins = largest_difference(model, found[name]), greedy_margins(model, found[name])
        print_row(name, arch, apart, margins)
    pairs = json.loads(SEQ2SEQ_PEER.read_text())
    for name in SEQ2SEQ:
        model = seq2seq_model(name)
        apart, margins = seq2seq_difference(model, pairs[name]), seq2seq_margins(model, pairs[name])
        print_row(name, "t5", apart, margins)
    for name in TOKENIZERS:
        same, count = same_ids(name, found[f"texts_{name}"])
        print(f"\nSentencePiece's {name}: {same} of {count} texts have llama.cpp's ids.")


if __name__ == "__main__":
    main()
