"""Parts of an article without markup: certain ones are moved, doubtful ones are kept."""

import pytest

from groundup.documents import Record, SourceMap, apply_result
from groundup.documents.articles.parts import ArticleParts, ArticlePartsConfig
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
    return apply_result(record, ArticleParts(ArticlePartsConfig(**settings))(record))


def test_apparatus_is_moved_and_text_is_kept():
    after = read(PAPER)
    assert after.text == (
        "On tea\n\nAbstract. Tea is studied.\n\nFigure 3 shows the cup. We like it.\n\n"
        "Appendix A\n\nMore of the text."
    )
    aside = after.metadata["aside"]
    assert aside["captions"] == ["Figure 3: The cup, seen from above.", "Table 2. Cups by size."]
    assert len(aside["references"]) == 3 and aside["authors"][0] == "Ann Lee, Bo Ng and Cy van Oz"


STYLES = {
    "brackets": "[{n}] Smith, A. and Lee, B. Rivers number {n}.\nJ. Flow 12, 33-40, 19{n}.",
    "numbers": "{n}. Smith A, Lee B. Rivers, part two. J. Flow 19{n};12:33.",
    "keys": "[Smith{n}] A. Smith. On rivers. Flow Press, 19{n}.",
    "round": "({n}) A. Smith, On rivers, Flow Press 19{n}.",
    "names": "Smith, A. (19{n}). Rivers of the north. Flow Press.",
}


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("before, after", [("\n\n", ""), ("\n", "\nAppendix A\nMore of the text.")])
@pytest.mark.parametrize(
    "heading", ["References", "REFERENCES", "7 References", "Literatur", "参考文献"]
)
def test_references_need_no_empty_line_around_them(style, before, after, heading):
    entries = [STYLES[style].format(n=n) for n in range(10, 30)]
    text = f"On rivers\n\nRivers are long [10, 11].{before}{heading}\n" + "\n".join(entries) + after
    done = read(text)
    assert done.text.strip() == f"On rivers\n\nRivers are long [10, 11].{after}"
    aside = done.metadata["aside"]["references"]
    assert "".join(aside).count("ivers") == 20
    assert len(aside) == (1 if style == "names" else 20)


def test_a_table_of_contents_is_no_bibliography():
    text = "Contents\n1 Introduction 3\nReferences\n12 Index\n13 Tables\n14 Maps\n15 Colophon"
    assert read(text).text == text
    text = "Contents\nReferences\n12. Rivers\n13. Hills\n14. Maps of 1990 and what they show"
    assert read(text).text == text


def test_a_heading_without_entries_is_kept():
    text = "On maps\n\nReferences\n\nA reference is what points somewhere else. It has no year.\n"
    assert read(text).text == text


@pytest.mark.parametrize(
    "piece",
    [
        "a", "A. ", "Figure 1 ", "Ann Lee, ", "\n\n", "[1] ", "References\n\n", "@", "References\n",
        "References\n[1] Lee 1999.\n", "[1] Lee 1999.\n",
    ],
)  # fmt: skip
@unchecked()  # a call that is checked costs twenty times as much
def test_hostile_input_takes_linear_time(piece):
    assert read("On tea\n\n" + piece * (60_000 // len(piece))).text.startswith("On tea")
