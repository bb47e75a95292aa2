"""Texts are read whole, split by text, and damage is named."""

import pytest

from groundup.core import DataError
from groundup.recipes.encoder.ratings import (
    RatingsConfig,
    _split_of,
    make_ratings,
    opinions,
    read_review_ratings,
)
from tests.recipes.encoder.tables import write_tables


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    return make_ratings(RatingsConfig(), write_tables(folder / "tables"), folder / "ratings")


def test_every_sentence_is_in_one_split_with_its_text(ratings):
    rows = {split: read_review_ratings(ratings, split) for split in ("train", "validation", "test")}
    assert sum(map(len, rows.values())) == 480
    groups = [{row.group for row in found} for found in rows.values()]
    assert not groups[0] & groups[1] and not groups[0] & groups[2] and not groups[1] & groups[2]
    assert len({row.group for found in rows.values() for row in found}) == 3 * 120 + 40
    assert "&amp;" not in rows["train"][1].text
    assert ratings.numbers["train"] == len(rows["train"])


def test_shares_are_met():
    splits = [_split_of(f"tweets/{n}", RatingsConfig()) for n in range(4000)]
    shares = [splits.count(name) / 4000 for name in ("train", "validation", "test")]
    assert shares == pytest.approx([0.65, 0.1, 0.25], abs=0.03)


def test_only_opinions_are_asked_about(ratings):
    found = opinions(ratings, "test")
    assert all(abs(row.rating) >= 0.5 for row in found)
    assert len(found) == ratings.numbers["test opinions"] < ratings.numbers["test"]


def test_a_missing_table_and_a_damaged_line_are_named(tmp_path):
    folder = write_tables(tmp_path / "tables")
    with open(folder / "tweets_GroundTruth.txt", "a") as file:
        file.write("121\tgood\ttext\n")
    with pytest.raises(DataError, match=r"tweets_GroundTruth.txt, line 121: expected name"):
        make_ratings(RatingsConfig(), folder, tmp_path / "a")
    (folder / "tweets_GroundTruth.txt").unlink()
    with pytest.raises(DataError, match="Cannot read.*give the folder hutto_ICWSM_2014"):
        make_ratings(RatingsConfig(), folder, tmp_path / "b")


def test_one_class_alone_is_an_error(tmp_path):
    folder = write_tables(tmp_path / "tables")
    for path in folder.iterdir():
        path.write_text("".join(f"{n}\t2.0\tgood\n" for n in range(30)))
    made = make_ratings(RatingsConfig(), folder, tmp_path / "ratings")
    with pytest.raises(DataError, match="opinions of one kind"):
        opinions(made, "train")
