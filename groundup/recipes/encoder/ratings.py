"""Texts that people rated: the tables of vaderSentiment, split so that no text is on two sides.

Each line is a name, the mean of twenty people's ratings from -4 to 4, and a sentence of a tweet,
a product review, a film review or an editorial. Sentences of one text stay together. Ratings nearer
to 0 than 0.5 are neither positive nor negative: such texts are read, and never asked about.
Source: Hutto and Gilbert 2014, ICWSM; data under MIT in the source distribution of vaderSentiment.
"""

import html
import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pydantic import Field

from groundup.core import Artifact, Config, DataError, Draft, digest, produce, write_text

KINDS = {
    "tweets": "tweets", "amazon": "amazonReviewSnippets", "movie": "movieReviewSnippets",
    "nyt": "nytEditorialSnippets",
}  # fmt: skip
SPLITS = ("train", "validation", "test")


class RatingsConfig(Config):
    """What counts as an opinion, and how much is held out."""

    middle: float = Field(default=0.5, ge=0, lt=4)
    """Ratings nearer to 0 have no class."""
    test: int = Field(default=25, ge=1, le=80)
    """Texts of a hundred that are for testing."""
    validation: int = Field(default=10, ge=1, le=19)
    """Texts of a hundred that are for choosing settings."""
    source_digest: str = ""
    """Hash of the tables; filled in by the stage."""


class Rated(NamedTuple):
    """A sentence with what people thought of it."""

    id: str
    group: str
    """The text that it is from."""
    text: str
    rating: float
    split: str


def make_ratings(config: RatingsConfig, folder: Path, out: Path) -> Artifact:
    """Read the four tables of a folder; DataError if one is missing or damaged."""
    found = [row for kind in KINDS for row in read_table(folder, kind)]
    config = config.model_copy(update={"source_digest": digest(found)})

    def write(draft: Draft) -> None:
        rows = [Rated(*row, _split_of(row[1], config)) for row in found]
        lines = [json.dumps(row._asdict(), ensure_ascii=False) + "\n" for row in rows]
        write_text(draft.file("rated.jsonl"), "".join(lines))
        for split in SPLITS:
            own = [row for row in rows if row.split == split]
            clear = sum(abs(row.rating) >= config.middle for row in own)
            draft.numbers |= {split: len(own), f"{split} opinions": clear}

    return produce(
        out, kind="examples", stage="encoder_ratings", version=1, config=config, parents={},
        write=write,
    )  # fmt: skip


def read_table(folder: Path, kind: str) -> Iterator[tuple[str, str, str, float]]:
    """Yield (id, group, text, rating) of a table."""
    path = folder / f"{KINDS[kind]}_GroundTruth.txt"
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(
            f"Cannot read {path} ({error.strerror}); give the folder hutto_ICWSM_2014 of the "
            "source distribution: pip download --no-binary :all: vadersentiment."
        ) from None
    for number, line in enumerate(lines, start=1):
        parts = line.split("\t", 2)
        try:
            name, rating, text = parts[0], float(parts[1]), html.unescape(parts[2]).strip()
        except (IndexError, ValueError):
            raise DataError(f"{path}, line {number}: expected name, rating and text.") from None
        if text:
            yield f"{kind}/{name}", f"{kind}/{name.split('_')[0]}", text, rating


def _split_of(group: str, config: RatingsConfig) -> str:
    """A text's split by the hash of its name."""
    place = int(digest(group), 16) % 100
    if place < config.test:
        return "test"
    return "validation" if place < config.test + config.validation else "train"


def read_review_ratings(ratings: Artifact, split: str) -> list[Rated]:
    """All sentences of a split."""
    lines = ratings.file("rated.jsonl").read_text(encoding="utf-8").splitlines()
    return [row for row in (Rated(**json.loads(line)) for line in lines) if row.split == split]


def opinions(ratings: Artifact, split: str) -> list[Rated]:
    """The sentences of a split that have a class; DataError if one of the classes is missing."""
    middle = ratings.config["middle"]
    found = [row for row in read_review_ratings(ratings, split) if abs(row.rating) >= middle]
    if len({row.rating > 0 for row in found}) < 2:
        raise DataError(
            f"The {split} split has {len(found)} opinions of one kind; it needs positive and "
            "negative ones: give all four tables."
        )
    return found
