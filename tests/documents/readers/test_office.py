"""Rich text: every character is found at its bytes, and what is no text is not read."""

import pytest

from groundup.documents.readers.office import read_rtf
from groundup.documents.readers.reader import Refused

RTF = rb"""{\rtf1\ansi\ansicpg1252{\fonttbl{\f0 Times;}}{\stylesheet{\s0 Normal;}{\s3\b heading 2;}}
{\info{\title Not text}}{\*\unknown skipped {\b too}}\uc1\pard\s3 Caf\'e9 rules\par
\pard{\outlinelevel0\b Door\b0\par}\pard The d{\i o}or\~of 3\_B opens \endash  at 7\u8364?.\line
{\uc2 A\u8220\'e2\'80B}\{x\} \u55357?\u56832? {\deleted gone}{\pict\bin4 }}}}}here\par
\trowd a\cell b\cell\row c\cell d\cell\row{\header top}{\field{\*\fldinst LINK}{\fldrslt link}}
}"""
TEXT = "Café rules\n\nDoor\n\nThe door of 3-B opens – at 7€.\nA“B{x} 😀 here\n\na\tb\nc\td\nlink"


def test_text_breaks_and_headings_of_rich_text():
    made, _ = read_rtf(RTF)
    assert made.map.text == TEXT
    titles = [(TEXT[span.start : span.end], span.value) for span in made.spans]
    assert titles == [("Café rules", "2"), ("Door", "1")]


def test_every_character_of_rich_text_has_its_bytes():
    text = read_rtf(RTF)[0].map
    for words, source in (
        ("Café", rb"Caf\'e9"), ("door", rb"d{\i o}or"), ("€", rb"\u8364"), ("“", rb"\u8220"),
        ("😀", rb"\u55357?\u56832"), ("{x}", rb"\{x\}"), ("here", b"here"),
    ):  # fmt: skip
        start = TEXT.index(words)
        first, last = text.byte_range(start, start + len(words))
        assert RTF[first:last] == source
    assert text.line(TEXT.index("Door")) == 3 and text.line(TEXT.index("link")) == 5


def test_code_pages_of_one_and_of_two_bytes():
    assert read_rtf(rb"{\rtf1\ansicpg1251 \'cc\'e8\'f0}")[0].map.text == "Мир"
    text = read_rtf(rb"{\rtf1\ansicpg932 x\'93\'fa\'96\'7b}")[0].map
    assert text.text == "x日本" and text.byte_range(1, 2) == (19, 27)
    assert read_rtf(b"{\\rtf1\\ansicpg99999 \xe9}")[0].map.text == "é"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (rb"{\rtf1 a}}} b", "a b"),
        (rb"{\rtf1 {{{{{ a", " a"),
        (rb"{\rtf1 a\bin99999 b", "a"),
        (rb"{\rtf1 a\bin-9 b\outlinelevel\uc-5\u\'", "ab\0"),
        (rb"{\rtf1 \u55357 x\par\'8", "8"),
        (b"{\\rtf1 a\\", "a"),
        (b"{\\rtf1" + b"{" * 50_000 + b"deep", "deep"),
        (b"{\\rtf1" + rb"\s1 " * 50_000, ""),
        (b"{\\rtf1 " + rb"x\u8364?" * 20_000, "x€" * 20_000),
    ],
)
def test_broken_rich_text_is_read_as_far_as_it_goes(data, text):
    assert read_rtf(data)[0].map.text == text


def test_what_is_no_rich_text_is_refused():
    with pytest.raises(Refused, match="broken file"):
        read_rtf(b"plain")
