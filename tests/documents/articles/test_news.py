"""News: the story stays, what surrounds it goes where it can stand."""

import pytest

from groundup.documents import Record, SourceMap, follow
from groundup.documents.articles.news import News, NewsConfig
from tests.checking import unchecked

STORY = """Tea prices rise
By Ann Lee and Bo Ng, Associated Press
Updated 3 March 2021, 10:15 AM
LONDON (AP) — Tea got dearer on Monday.
Photo: Cy Oz / Getty Images
Read more: How to brew
People read more books, too.
Sign up for our newsletter
By Friday, John Smith had paid.
Reporting by Ann Lee; editing by Bo Ng
"""


def rule(text: str):
    record = Record("1", "s", "p", "text", text, SourceMap.identity(text))
    ruling = News(NewsConfig())(record)
    return ruling, None if ruling.reason else follow(record, ruling)


def test_a_story():
    ruling, after = rule(STORY)
    assert after.text == (
        "Tea prices rise\nLONDON — Tea got dearer on Monday.\nPeople read more books, too.\n"
        "By Friday, John Smith had paid.\n"
    )
    assert after.metadata["byline"].startswith("Ann Lee and Bo Ng")
    assert after.metadata["dateline"] == "LONDON"
    assert {edit.reason for edit in ruling.edits} == {
        "byline", "date line", "agency", "picture credit", "link around the story", "closing line",
    }  # fmt: skip


def test_links_alone_are_no_story():
    assert rule("Read more\nShare\n")[0].reason == "news: no story"


@pytest.mark.parametrize(
    "piece", ["a", "By Ann ", "LONDON ", "(AP) - ", "Photo: ", "Mon, ", "\n", "A"]
)
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_input_takes_linear_time(piece):
    ruling, _ = rule(piece * (200_000 // len(piece)))
    assert ruling is not None
