"""The funnel counts the complete corpus, whatever part of it a step read."""

import pytest

pytest.importorskip("pyarrow")

from groundup.core import Artifact
from groundup.corpus import WithdrawConfig, withdraw
from groundup.corpus.explain.funnel import FunnelStage, build_funnel, funnel_table
from groundup.corpus.explain.reading import read_counters

from .made import corpus


def step(name: str, came: int, left: int, characters: int, **more):
    gone = {"record": {"x": came - left}} if came > left else {}
    return {"name": name, "in": came, "out": left, "characters": characters, "taken": gone} | more


def test_a_step_that_sees_a_part_takes_from_the_whole():
    rows = build_funnel({"steps": [
        step("00 read", 10, 8, 100, bytes=5000),
        step("01 pages", 3, 2, 700, grew=680),
        step("02 all", 7, 7, 770, grew=-10),
        step("03 code", 2, 1, 5, grew=-40),
        step("99 text", 6, 6, 730, grew=0),
        step("engine", 1, 0, 0, grew=-30),
    ]})  # fmt: skip
    assert [(one.saw, one.documents, one.characters) for one in rows] == [
        (10, 8, 100), (3, 7, 780), (7, 7, 770), (2, 6, 730), (6, 6, 730), (1, 5, 700),
    ]  # fmt: skip
    older = build_funnel(
        {"steps": [step("00 read", 8, 8, 100), step("01 x", 2, 1, 9), step("02 y", 7, 7, 90)]}
    )
    assert [one.characters for one in older] == [100, None, 90]


def test_a_runs_last_station_is_what_the_corpus_holds():
    told = read_counters(corpus(derive=True))
    splits = told["splits"].values()
    rows = build_funnel(told)
    assert rows[-1].derived == sum(one["derived"] for one in splits) > 0
    assert rows[-1].documents == sum(one["documents"] for one in splits)
    assert rows[-1].characters == sum(one["characters"] for one in splits)
    totals = [one.documents for one in rows if not one.derived]
    assert totals == sorted(totals, reverse=True), "a funnel only narrows"
    (tidy,) = [one for one in rows if one.name == "01 tidy"]
    assert (tidy.saw, tidy.dropped, tidy.slices) == (47, 1, 11)


def test_withdrawal_is_its_last_station(tmp_path):
    withdraw(
        WithdrawConfig(documents=("f.txt",)), corpus(derive=True), tmp_path / "out", among=tmp_path
    )
    told = read_counters(Artifact.open(tmp_path / "out", "corpus"))
    last, splits = build_funnel(told)[-1], told["splits"].values()
    assert last.name == "withdrawn" and last.dropped >= 3 and last.derived == 0
    assert last.documents == sum(one["documents"] for one in splits)
    assert last.characters == sum(one["characters"] for one in splits)
    assert {one["licence"] for one in told["sources"].values()} > set(told["licences"])


def test_every_cell_carries_its_heading_for_narrow_screens():
    html = funnel_table(
        (FunnelStage("00 read", 9, 1, 0, 0, 8, None, 2000), FunnelStage("01 x", 8, 4, 2, 0, 4, 7))
    )
    assert html.count('data-label="characters left"') == 2 and "not counted" in html
    assert ">read<" in html and "9 (2.0 kB)" in html and "width:44.4%" in html
