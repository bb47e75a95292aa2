"""Rated tables of made-up sentences whose opinion is in a word, or in a `not` before it."""

import random
from pathlib import Path

from groundup.recipes.encoder.ratings import KINDS

GOOD, BAD = "great lovely superb pleasant".split(), "awful dreary broken painful".split()
THINGS = "phone film meal game camera story editor novel".split()


def write_tables(folder: Path, lines: int = 120, seed: int = 0) -> Path:
    """Write the four tables; a fifth of the sentences has no opinion."""
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    for kind, name in KINDS.items():
        rows = []
        for number in range(lines):
            is_good, is_denied = rng.random() < 0.5, rng.random() < 0.4
            word = rng.choice(GOOD if is_good != is_denied else BAD)
            rating = rng.uniform(1, 3) * (1 if is_good else -1)
            text = f"The {rng.choice(THINGS)} was {'not ' * is_denied}{word} &amp; {number % 7}"
            if number % 5 == 0:
                rating, text = 0.1, f"The {rng.choice(THINGS)} was there on day {number}"
            label = f"{number // 3}_{number % 3}" if kind == "nyt" else str(number)
            rows.append(f"{label}\t{rating:.4f}\t{text}\n")
        (folder / f"{name}_GroundTruth.txt").write_text("".join(rows))
    return folder
