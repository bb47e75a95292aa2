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


ENDS = [
    "Lesen Sie auch: Tee wird teurer", "Mehr zum Thema", "À lire aussi : le thé", "Lire aussi",
    "Lea también: El té sube", "Te puede interesar: té", "Noticias relacionadas",
    "(Mit Material von dpa)", "Mit Agenturmaterial von dpa und AFP", "AFP/Reuters", "(dpa/lby)",
    "dpa",
    "Le Matin avec AFP", "(Avec Reuters)", "Con información de EFE y AFP", "EFE", "Quelle: dpa",
    "Fuente: EFE", "Source : AFP",
]  # fmt: skip
SENTENCES = [
    "Lesen Sie auch die Packungsbeilage.", "Mit Material von der Baustelle ging es weiter.",
    "Lire aussi, c'est apprendre.", "Lea también el prospecto.", "Il collabore avec Reuters.",
    "Avec AFP il a parlé.",
    "AFP meldete den Brand.", "Mehr zum Thema sagte sie nicht.", "Con información de la policía.",
]  # fmt: skip


@pytest.mark.parametrize("line", ENDS)
def test_german_french_and_spanish_endings_go(line):
    assert rule(f"Tee\nTee wurde am Montag teurer.\n{line}\n")[1].text == (
        "Tee\nTee wurde am Montag teurer.\n"
    )


@pytest.mark.parametrize("line", SENTENCES)
def test_sentences_with_the_same_words_stay(line):
    text = f"Tee\nTee wurde am Montag teurer.\n{line}\n"
    assert rule(text)[1].text == text


def test_links_alone_are_no_story():
    assert rule("Read more\nShare\n")[0].reason == "news: no story"


@pytest.mark.parametrize(
    "piece",
    [
        "a",
        "By Ann ",
        "LONDON ",
        "(AP) - ",
        "Photo: ",
        "Mon, ",
        "\n",
        "A",
        "dpa/",
        "avec ",
        "AFP et ",
        "Lesen Sie auch ",
    ],
)
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_input_takes_linear_time(piece):
    ruling, _ = rule(piece * (200_000 // len(piece)))
    assert ruling is not None
