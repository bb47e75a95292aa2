# ruff: noqa: E501 — samples stand as they are read
"""Main text: what is kept, what is removed, and that no page breaks it."""

import encodings.aliases

import pytest

pytest.importorskip("resiliparse")

from groundup.documents import Record, StepResult, apply_result
from groundup.documents.web.main_text import MainText, MainTextConfig, _page_metadata

from ..test_markup import KATEX

STEP = MainText(MainTextConfig())
PROSE = "The kettle boils when its water is hot enough to turn to steam, and then it whistles. "
PAGE = f"""<html lang="en-GB"><head><title>Kettles &amp; steam</title>
<link rel="canonical" href="https://a.org/kettles"><meta property="article:published_time"
content="2024-05-01"><style>p {{color: red}}</style></head><body>
<div class="cookie-banner">We use cookies to spoil this page</div>
<nav><ul><li><a href="/">Home</a><li><a href="/tea">Tea</a></ul></nav>
<div class="sidebar"><a href="/x">Other kettles</a></div>
<h1>Kettles<a class="headerlink" href="#k">¶</a></h1><p>{PROSE}</p><p>See <a href="/t">teapots</a> too, since
they come next in the making of tea.</p><figure><img alt="A"><figcaption>Fig. 1: a kettle</figcaption></figure>
<div style="display:none">hidden words</div><pre>boil()
  pour()</pre><table><tr><th>Size<td>1 l</table>
<aside class="footnote">[1] Or not.</aside>
<p><a href="a">Previous</a> | <a href="b">Next</a></p>
<footer>© 2024 Kettle Company</footer><script>var x = "script words";</script></body></html>"""


def ruled(data: bytes, step: MainText = STEP, **metadata: str) -> tuple[StepResult, str]:
    one = Record("1", "s", "p.html", "html", data=data, metadata=dict(metadata))
    ruling = step(one)
    return ruling, "" if ruling.reason else apply_result(one, ruling).text


def test_text_is_kept_and_chrome_removed():
    ruling, text = ruled(PAGE.encode())
    for kept in ("Kettles", PROSE.strip(), "teapots", "Fig. 1", "pour()", "1 l", "Or not."):
        assert kept in text
    for gone in (
        "cookies",
        "Home",
        "Other kettles",
        "¶",
        "hidden",
        "2024 Kettle",
        "script",
        "color",
        "Previous",
    ):
        assert gone not in text
    assert [edit.reason for edit in ruling.edits] == [
        "notice", "navigation", "sidebar", "heading link", "hidden", "links at the end", "footer",
    ]  # fmt: skip
    logged = [ruling.extracted.map.text[edit.start : edit.end].strip() for edit in ruling.edits]
    assert logged[0] == "We use cookies to spoil this page" and "Home" in logged[1]
    assert logged[-1] == "© 2024 Kettle Company"
    assert ruling.metadata == {
        "title": "Kettles & steam", "page_language": "en-gb",
        "canonical": "https://a.org/kettles", "date": "2024-05-01",
    }  # fmt: skip


def test_every_line_maps_to_its_bytes():
    data = PAGE.encode()
    made = STEP(Record("1", "s", "p", "html", data=data)).extracted
    at = made.map.text.index("pour()")
    assert data[slice(*made.map.byte_range(at, at + 6))] == b"pour()"
    at = made.map.text.index("See teapots")
    first, last = made.map.byte_range(at, at + 11)
    assert data[first:].startswith(b"See <a") and last > first


def test_a_page_of_links_is_a_list_that_somebody_made():
    page = "<h1>Index</h1>" + "".join(f"<p><a href='{n}'>Chapter about {n}</a>" for n in range(20))
    assert "Chapter about 19" in ruled(page.encode())[1]


def test_a_page_of_sidebars_only_is_kept_completely():
    page = f"<body><div class='sidebar'>{PROSE * 3}</div></body>"
    assert PROSE.strip() in ruled(page.encode())[1]


def test_undecodable_bytes_keep_their_offsets():
    data = ("<p>né" + "é" * 3_000 + "</p>").encode() + b"\xff\xfe<p>here</p>"
    made = STEP(Record("1", "s", "p", "html", data=data)).extracted
    at = made.map.text.index("here")
    assert data[slice(*made.map.byte_range(at, at + 4))] == b"here"


HOSTILE = {
    "deep": b"<div class=nav>" * 30_000 + PROSE.encode(),
    "deep spans": b"<b><i>" * 20_000 + PROSE.encode(),
    "deep lists": b"<ul><li>x" * 8_000 + PROSE.encode(),
    "angles": b"<" * 300_000,
    "letters": b"a" * 300_000,
    "links": b"<a href=x>" * 20_000 + PROSE.encode(),
    "classes": b"".join(b'<p class="nav %d">x</p>' % n for n in range(8_000)) + PROSE.encode(),
    "quotes": b'<a class="' * 50_000,
    "nul": b"\0" * 1000 + PROSE.encode(),
    "no page": bytes(range(256)) * 40,
    "meta": b"<meta " * 50_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_pages_are_processed(name):
    ruling, text = ruled(HOSTILE[name])
    assert ruling.reason or text
    if PROSE.encode() in HOSTILE[name] and name != "quotes":
        assert "whistles" in text
    assert len(text) < 3 * len(HOSTILE[name])


def test_large_and_empty_pages_are_dropped_with_their_reason():
    small = MainText(MainTextConfig(max_bytes=10))
    assert ruled(b"x" * 11, small)[0].reason == "page too large"
    assert ruled(b"")[0].reason == ruled(b"<p> </p>")[0].reason == "no text"


def test_metadata_of_a_bare_page_is_empty():
    assert _page_metadata("<p>x") == {}


NAMES = sorted({*encodings.aliases.aliases, *encodings.aliases.aliases.values(), "unicode_escape",
                "raw_unicode_escape", "idna", "punycode", "undefined", "unicode_internal"})  # fmt: skip


@pytest.mark.parametrize("by_server", [True, False])
def test_whatever_a_page_declares_it_is_read_and_no_codec_is_run(by_server):
    said = r"Escapes such as \x41 and \u0042 stay as they are written in this sentence."
    for name in NAMES:
        declared = "" if by_server else f"<meta charset='{name}'>"
        data = f"<html>{declared}<body><p>{said}</p><p>caf\xe9</p></body></html>".encode("cp1252")
        ruling = STEP(
            Record(
                "1", "s", "p", "html", data=data, metadata={"charset": name} if by_server else {}
            )
        )
        assert ruling.extracted is not None and said in ruling.extracted.map.text, name


@pytest.mark.parametrize("tail", [b"a", b"\x00\xd8a\x00b\x00", b"\x00\xdc", b""])
def test_half_a_character_after_a_mark_costs_only_itself(tail):
    page = "<p>" + PROSE + "</p>"
    for mark, charset in ((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")):
        data = mark + page.encode(charset) + tail
        ruling = STEP(Record("1", "s", "p", "html", data=data))
        assert ruling.extracted is not None and PROSE.split(".")[0] in ruling.extracted.map.text
        assert ruling.extracted.map.byte_range(0, len(ruling.extracted.map.text))[1] <= len(data)


def test_a_formula_is_written_once_by_its_source():
    assert (
        ruled((KATEX * 3).encode())[1].split("\n\n")
        == ["We know that E = mc^2 < 5 holds for all bodies at rest."] * 3
    )
