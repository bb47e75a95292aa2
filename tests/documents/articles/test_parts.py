"""Parts of an article without markup: certain ones go aside, doubtful ones stay."""

import pytest

from groundup.documents import Record, SourceMap, follow
from groundup.documents.articles.parts import Parts, PartsConfig
from tests.checking import unchecked

PAPER = """On tea

Ann Lee, Bo Ng and Cy van Oz

Department of Tea, University of Leeds
ann@tea.example

Abstract. Tea is studied.

Figure 3 shows the cup. We like it.

Figure 3: The cup, seen from above.

arXiv:2101.00001v2 [cs.CL] 3 Jan 2021

Table 2. Cups by size.

References

[1] A. Lee. Tea. 1999.

[2] B. Ng. Pots. 2001.

[3] C. Oz. Kettles. 2003.

Appendix A

More of the text."""


def read(text: str, **settings):
    record = Record("1", "s", "p", "text", text, SourceMap.identity(text))
    return follow(record, Parts(PartsConfig(**settings))(record))


def test_apparatus_goes_aside_and_text_stays():
    after = read(PAPER)
    assert after.text == (
        "On tea\n\nAbstract. Tea is studied.\n\nFigure 3 shows the cup. We like it.\n\n"
        "Appendix A\n\nMore of the text."
    )
    aside = after.metadata["aside"]
    assert aside["captions"] == ["Figure 3: The cup, seen from above.", "Table 2. Cups by size."]
    assert len(aside["references"]) == 3 and aside["authors"][0] == "Ann Lee, Bo Ng and Cy van Oz"


def test_a_heading_without_entries_stays():
    text = "On maps\n\nReferences\n\nA reference is what points somewhere else. It has no year.\n"
    assert read(text).text == text


@pytest.mark.parametrize(
    "piece", ["a", "A. ", "Figure 1 ", "Ann Lee, ", "\n\n", "[1] ", "References\n\n", "@"]
)
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_input_takes_linear_time(piece):
    assert read("On tea\n\n" + piece * (200_000 // len(piece))).text.startswith("On tea")
