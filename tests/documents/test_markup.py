"""The bytes of any slice of an HTML file's text, read again, give the slice, except white space."""

import tracemalloc
from html.parser import HTMLParser

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from groundup.core import DataError
from groundup.documents import read_html

WORDS = st.sampled_from(
    ["tea", "Straße ", " 世界", "&amp;", "&eacute;", "&#x1F388;", "&nbsp;", "&bogus;", "AT&T", "&",
     "  ", "\n", "\r\n", "\t x", " ", "a < b", "&lt;p&gt;", "1 > 0", "&notit;", "&#0;", "&#10;"]
)  # fmt: skip
TAGS = st.sampled_from("p div b i pre ul li h1 h2 span a nav td tr table blockquote".split())
OTHER = st.sampled_from(
    ["<br>", "<hr/>", "<!-- c > -->", "<!DOCTYPE html>", "<script>if (a < b) '</p>'</script>",
     "<style>p{}</style>", '<img alt="a > b">', "<a href='x?a=1&amp;b=2'>", "</p>", "</nav>", "<",
     "</", "<!", "<!--", "<p", '<a title="', "<pre>", "</>", "</3>", "<svg><path/></svg>", "<?x?>"]
)  # fmt: skip
WELL_FORMED = st.recursive(
    st.one_of(WORDS, OTHER.filter(lambda tag: tag.endswith(">") and not tag.startswith("</"))),
    lambda inner: st.builds(
        lambda tag, parts: f"<{tag}>{''.join(parts)}</{tag}>", TAGS, st.lists(inner, max_size=4)
    ),
    max_leaves=12,
)
SOUP = st.lists(
    st.one_of(WORDS, OTHER, TAGS.map("<{}>".format), TAGS.map("</{}>".format)), max_size=20
).map("".join)


def bare(text: str) -> str:
    """The text without white space."""
    return "".join(text.split())


@given(st.one_of(SOUP, WELL_FORMED), st.data())
@example("<pre>\n  a\n\n b</pre><p>x", None)
@example("<b>a</b> <i> b</i>\n<p>&lt;b", None)
def test_bytes_of_a_slice_read_again_give_the_slice(source, data):
    file = source.encode()
    map = read_html(file).map
    length = len(map.text)
    slices = [(a, b) for a in range(length) for b in range(a, length + 1)]
    if data is not None and length > 8:
        start = data.draw(st.integers(0, length))
        slices = [(start, data.draw(st.integers(start, length)))]
    for start, end in slices:
        begin, stop = map.byte_range(start, end)
        assert 0 <= begin <= stop <= len(file)
        again = read_html(file[begin:stop]).map.text
        whole = [s for s in map.segments if s.start < end and s.end > start]
        if all(s.exact or start <= s.start and s.end <= end for s in whole):
            assert bare(again) == bare(map.text[start:end])
        else:  # an entity of several characters, taken whole
            assert bare(map.text[start:end]) in bare(again)


@given(st.one_of(SOUP, WELL_FORMED))
def test_exact_segments_are_their_bytes_and_the_map_is_in_order(source):
    file = source.encode()
    map = read_html(file).map
    place = byte = 0
    for segment in map.segments:
        assert segment.start == place < segment.end
        assert byte <= segment.byte_start <= segment.byte_end <= len(file)
        assert segment.line == 1 + file[: segment.byte_start].count(b"\n")
        if segment.exact:
            piece = file[segment.byte_start : segment.byte_end].decode()
            assert piece == map.text[segment.start : segment.end]
        place, byte = segment.end, segment.byte_end
    assert place == len(map.text)


class StandardText(HTMLParser):
    """The text that Python's own parser finds, what we drop left out."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found, self.dropped = "", 0

    def handle_starttag(self, tag, attrs):
        self.dropped += tag in ("script", "style", "nav", "svg")

    def handle_endtag(self, tag):
        self.dropped -= tag in ("script", "style", "nav", "svg")

    def handle_data(self, data):
        self.found += "" if self.dropped else data


def text_of(parts) -> str:
    """Text of well-formed parts that have no bare `<`."""
    return read_html(parts.encode()).map.text


@given(WELL_FORMED.filter(lambda source: "<a href" not in source))
def test_well_formed_files_give_the_text_of_the_standard_parser(source):
    parser = StandardText()
    parser.feed(source)
    parser.close()
    assert bare(text_of(source)) == bare(parser.found)


def test_a_page_reads_as_a_person_sees_it():
    page = b"""<!DOCTYPE html><html><head><title>Tea &amp; time</title><style>p {}</style></head>
<body><nav><ul><li>Home</li></ul></nav>
<h1>Brewing<a class="headerlink" href="#b">\xc2\xb6</a></h1>
<p>Boil   the
<b>water</b>.<p>Then&nbsp;wait.
<ul><li>one<li>two</ul>
<table><tr><td>a<td>b<tr><td>c<td>d</table>
<pre>
def f():
    return <span>1</span>  &lt; 2

</pre><h2>End</h2>"""
    markup = read_html(page)
    assert markup.map.text == (
        "Brewing\n\nBoil the water.\n\nThen\xa0wait.\n\none\ntwo\n\na\tb\nc\td\n\n"
        "def f():\n    return 1  < 2\n\nEnd"
    )
    assert markup.metadata == {"title": "Tea & time"}
    titles = [(h.level, markup.map.text[h.start : h.end]) for h in markup.headings]
    assert titles == [(1, "Brewing"), (2, "End")]
    start = markup.map.text.index("return")
    assert markup.map.line(start) == 10


@pytest.mark.parametrize(
    "source, text",
    [
        ("<p>a</b></i>b", "ab"),
        ("<div><nav>menu</div>text", "text"),
        ("<nav>menu", ""),
        ("a<!-- never closed", "a"),
        ("a<p title='never closed", "a"),
        ("a<script>never closed", "a"),
        ("a<script>x</script >b", "ab"),
        ("<p>1 < 2 && 3 > 2</p>", "1 < 2 && 3 > 2"),
        ('<a title="a>b">c</a>', "c"),
        ("<a title=a>b</a>", "b"),
        ("<P CLASS=x>a</P><SCRIPT>b</SCRIPT>", "a"),
        ("a<br>b<br><br>c", "a\nb\nc"),
        ("<h1>a<div>b</div></h1>", "a\n\nb"),
        ("<svg/>a<svg>b<title>t</title></svg>c", "ac"),
        ("<?xml version='1.0'?><html><script/><p>a</p></html>", "a"),
        ('<div role="navigation">a<div>b</div>c</div>d', "d"),
        ("<h2>a<a href='#a' class='x doc-anchor'>§</a></h2>", "a"),
        ("\ufeff<p>a", "a"),
        ("", ""),
    ],
)
def test_malformed_and_odd_files(source, text):
    assert text_of(source).replace("\n\n", "\n") == text.replace("\n\n", "\n")


def test_depth_and_repetition_cost_no_stack_and_no_squares():
    assert text_of("<div>" * 100_000 + "deep" + "</div>" * 100_000) == "deep"
    many = 10_000
    assert text_of("<b>" * many + "deep") == "deep"
    assert text_of("<div>" * many + "</span>" * many + "a") == "a"
    assert text_of("<nav>" * many + "</nav>" * many + "a") == "a"
    assert len(text_of("<" * many)) == many
    assert text_of("a" + "<a " * many) == "a"
    assert text_of("a" + "<a b='" * many) == "a"
    assert text_of("a" + "<!-" * many) == "a"
    assert len(text_of("&" * many)) == many
    assert text_of("<p>" * many + "a") == "a"
    assert len(text_of("<pre>" + " <b>" * many + "a")) == many + 1


def test_a_declared_single_byte_charset_is_decoded_and_mapped():
    file = '<meta charset="windows-1251"><p>Чай &amp; вода\n<b>é</b>'.replace("é", "ж").encode(
        "cp1251"
    )
    map = read_html(file).map
    assert map.text == "Чай & вода ж"
    for start in range(len(map.text)):
        for end in range(start + 1, len(map.text) + 1):
            begin, stop = map.byte_range(start, end)
            again = read_html(file[:29] + file[begin:stop]).map.text
            assert bare(again) == bare(map.text[start:end])
    assert map.line(len(map.text) - 1) == 2


def test_a_charset_that_does_not_fit_is_refused():
    with pytest.raises(DataError, match="byte 0xe9 at 6"):
        read_html(b"<p>caf\xe9")


def test_headings_end_where_they_should():
    def titles(source: str) -> list[tuple[int, str]]:
        markup = read_html(source.encode())
        return [(h.level, markup.map.text[h.start : h.end]) for h in markup.headings]

    assert titles("<h1> a <i>b</i> </h1>c<h3>d</h3>") == [(1, "a b"), (3, "d")]
    assert titles("<h1>never closed<p>text<h2>x") == [(1, "never closed"), (2, "x")]
    assert titles("<div><h1>a</div>text") == [(1, "a")]
    assert titles("<h1></h1><h2><nav>a</nav></h2><nav><h3>menu</h3></nav>") == []
    assert titles("<p>a</p><h6>b&amp;c</h6>") == [(6, "b&c")]


@pytest.mark.parametrize("text", ["-\n", "a\n", "&lt;&gt;", "<b>a</b>\n"])
def test_markup_that_needs_a_segment_a_byte_stays_small(text):
    data = (text * 60_000)[:60_000].encode()
    tracemalloc.start()
    page = read_html(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert page.map.text and peak < 200 * len(data)


KATEX = (
    '<p>We know that <span class="katex"><span class="katex-mathml"><math><semantics><mrow><mi>E'
    "</mi><mo>=</mo><mi>m</mi><msup><mi>c</mi><mn>2</mn></msup></mrow><annotation encoding="
    '"application/x-tex">E = mc^2 &lt; 5</annotation></semantics></math></span><span class='
    '"katex-html" aria-hidden="true"><span class="base"><span class="mord">E</span><span '
    'class="mrel">=</span></span><span class="base"><span class="mord">mc</span><span '
    'class="vlist-t">2</span></span></span></span> holds for all bodies at rest.</p>'
)


def test_a_formula_is_read_once_by_its_source():
    assert read_html(KATEX.encode()).map.text == (
        "We know that E = mc^2 < 5 holds for all bodies at rest."
    )
    bare = "<p>So <math><semantics><mi>x</mi></semantics></math> is <b>x</b>.</p>"
    assert read_html(bare.encode()).map.text == "So x is x."


def test_formulas_that_never_end_take_linear_time():
    for piece in ("<semantics>", "<semantics><annotation encoding='application/x-te'>"):
        assert not read_html((piece * (500_000 // len(piece))).encode()).map.text


@pytest.mark.parametrize(
    ("page", "text"),
    [
        ("<tr><td><p>a</p></td><td><p>b</p></td></tr><tr><td>c", "a\tb\nc"),
        ("<tr><td><div>a</div><td>b<tr><td>c", "a\tb\nc"),
        ("<tr><td></td><td><p>b</td></tr><tr><td></td></tr><tr><td>c", "b\nc"),
        ("<tr><td><p>a</p><p>b</p></td><td><p>c", "a\n\nb\n\nc"),
        ("<tr><td>a<br>b</td><td>c", "a\nb\tc"),
    ],
)
def test_a_cell_of_one_paragraph_is_part_of_its_row(page, text):
    assert read_html(f"<table>{page}</table>".encode()).map.text == text


@pytest.mark.parametrize(
    "above",
    [b"<caption>Pumps</caption>", b"<tr><td colspan=2>All pumps</td></tr>"],
)
def test_a_caption_or_a_row_that_is_a_title_heads_no_column(above):
    rows = b"<tr><th>Type</th><th>Flow</th></tr><tr><td>PX</td><td>5 l</td></tr>"
    page = read_html(b"<p>Before.</p><table>" + above + rows + b"</table>")
    (table,) = page.tables
    assert page.map.text[slice(*table)].strip() == "Type\tFlow\nPX\t5 l"


STYLE = """<style>
.gone, p#tip { color: red; display: none } .faint { visibility: hidden !important }
.sized { font: bold 9px/1 serif }
.tab { display: none } .tab.open { display: block } .forced { display: none !important }
@media print { .screen { display: none } } .menu .item { display: none }
/* .seen { display: none } */ .quoted::after { content: "} .seen { display: none }" }
.box:hover { display: none } @media all { .all { display: none } }
</style>"""


@pytest.mark.parametrize(
    "hidden",
    [
        '<div style="display:none">x</div>',
        "<DIV STYLE='color: red; DISPLAY : None !important'>x<div>x</div>x</div>",
        '<span style="visibility:hidden">x <b>x</b></span>',
        "<p hidden>x<br>x<td>x</td></p>",
        '<li hidden="hidden">x<ul><li>x</ul>x</li>',
        '<span aria-hidden="true">x<span>x</span>x</span>',
        "<template>x<p>x</p></template>",
        '<p aria-hidden="true" hidden style="display: none">x</p>',
        '<p style="font-size:0">x <b>x</b> <i style="font-size:2em">x</i></p>',
        '<p style="font: 0/0 serif">x</p>',
        '<p style="display&#58;none">x</p>',
        '<div class="note gone">x</div>',
        "<p id=tip>x</p>",
        '<b class="faint" style="visibility:visible">x</b>',
        '<p class="tab">x</p>',
        '<p class="forced" style="display:block">x</p>',
        '<p class="all">x</p>',
        '<p style="font-size:0">x<span style="font-size:0px">x<span>x</span>x</span>x</p>',
    ],
)
def test_what_nobody_sees_is_dropped_and_the_rest_maps_to_its_bytes(hidden):
    for page in (f"{STYLE}<p>Before.</p>{hidden}<p>After.", f"<p>Before.{hidden}<p>After.{STYLE}"):
        map = read_html(page.encode()).map
        assert map.text == "Before.\n\nAfter."
        begin, end = map.byte_range(9, 15)
        assert page.encode()[begin:end] == b"After."


@pytest.mark.parametrize(
    "shown",
    [
        '<div title="hidden" style="backface-visibility:hidden; --display:none">seen</div>',
        '<p class="hidden is-gone" data-hidden aria-hidden="false">seen</p>',
        '<p hidden style="display:block">seen</p>',
        '<p class="tab open">seen</p>',
        '<p class="gone" style="display:block">seen</p>',
        '<p class="screen">seen</p><p class="seen box">seen</p><p class="item">seen</p>',
        '<p style="font-size:0">x<b style="font-size:9px"><b><b>seen</b></b> <b>seen</b></b>x</p>',
        '<div style="font-size:0">x<p class="sized">seen</p>x</div>',
        '<div style="visibility:hidden">x<p class="sized">x</p>x</div><p>seen</p>',
        '<div style="visibility:hidden">x<p style="visibility:visible">seen</p>x</div>',
        "<ul><li hidden>x<li>seen</ul><p hidden>x<div>seen</div>",
        "<table><tr><td><p hidden>x<td>seen</table>",
        '<p><span style="display:none"><math><semantics><annotation encoding="application/x-tex">'
        "seen</annotation></semantics></math></span></p>",
        "<noscript><style>.lazy{display:none}</style></noscript><p class=lazy>seen</p>",
        "<style media='screen and (color)'>.lazy{display:none}</style><p class=lazy>seen</p>",
    ],
)
def test_what_is_seen_stays_whatever_looks_like_hiding_it(shown):
    text = text_of(f"<body style='visibility:hidden'>{STYLE}{shown}<p>After.")
    assert text.split() == ["seen"] * shown.count("seen<") + ["After."]


def test_styles_that_hide_take_linear_time():
    many = 20_000
    rules, zeros = "".join(f".a.b{n}{{display:none}}" for n in range(many)), "0" * many
    for css in (
        "{" * many,
        "a{" * many,
        "/*" * many,
        ".a.b" * many,
        f".a{{font-size:{zeros}!",
        rules,
    ):
        text = text_of(f"<style>{css}</style>" + "<b class='a b'>x</b>" * 1000 + "<p>a")
        assert text == "x" * 1000 + "\n\na"
    classes = " ".join(f"b{n}" for n in range(many))
    assert text_of(f"<style>.a{{display:none}}</style><p class='{classes}'>a") == "a"
