"""Papers and manuals in XML: JATS and DocBook by their root; malformed markup is tolerated."""

import pytest

from groundup.documents import Record, apply_result
from groundup.documents.articles import xml
from groundup.documents.articles.xml import ArticleXml, ArticleXmlConfig
from tests.checking import unchecked

JATS = """<?xml version="1.0"?><!DOCTYPE article><article><front><journal-meta><title>J</title>
</journal-meta><article-meta><article-id pub-id-type="doi">10.1/x</article-id><title-group>
<article-title>Tea &amp; <italic>cups</italic></article-title></title-group><contrib-group>
<contrib contrib-type="author"><name><surname>Lee</surname><given-names>Ann</given-names></name>
</contrib><contrib contrib-type="editor"><name><surname>Ed</surname><given-names>I</given-names>
</name></contrib>
</contrib-group><aff>Leeds</aff><abstract><p>Short.</p></abstract></article-meta></front><body>
<sec><title>One</title><p>Tea is
good<xref ref-type="bibr">[1]</xref>.</p><fig><label>Figure 1</label><caption>
<p>A cup.</p></caption>
</fig><sec><title>Two</title><p>More: <inline-formula><tex-math>x^2</tex-math>
</inline-formula> holds.</p>
</sec></sec></body><back><ack><p>Thanks.</p></ack><ref-list><title>References</title>
<ref><label>1</label><mixed-citation>Ng C. Pots. 2001.</mixed-citation></ref></ref-list></back>
</article>"""


def read(source: str, **settings: str):
    record = Record("1", "s", "a.xml", "jats", data=source.encode())
    ruling = ArticleXml(ArticleXmlConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


def test_a_jats_paper():
    _, after = read(JATS)
    assert after.text == (
        "Tea & cups\n\nShort.\n\nOne\n\nTea is good[1].\n\nTwo\n\nMore: [MATH] holds."
    )
    known = after.metadata
    assert (known["title"], known["authors"], known["doi"]) == ("Tea & cups", ["Ann Lee"], "10.1/x")
    assert known["abstract"] == "Short."
    assert known["aside"]["captions"] == ["A cup."]
    assert known["aside"]["references"] == ["References", "Ng C. Pots. 2001."]
    assert known["aside"]["affiliations"] == ["Leeds"]
    levels = [(s.value, after.text[s.start : s.end]) for s in after.spans if s.kind == "heading"]
    assert levels == [("1", "Tea & cups"), ("2", "One"), ("3", "Two")]


def test_docbook_with_its_own_entities():
    _, after = read(
        '<!DOCTYPE book [<!ENTITY app "Mug">]><book><bookinfo><title>Use &app;</title><legalnotice>'
        "<para>Free.</para></legalnotice></bookinfo><chapter><title>Go</title><para>Run "
        "<command>mug</command><indexterm><primary>mug</primary></indexterm>.</para>"
        "<screen>$ mug\n  ok</screen></chapter></book>"
    )
    assert after.text == "Use Mug\n\nGo\n\nRun mug.\n\n$ mug\n  ok"
    assert after.metadata["aside"] == {"legal": ["Free."]}


def test_other_xml_is_a_reason():
    assert read("<svg><text>no</text></svg>")[0].reason == "xml: not an article"
    assert read("plain")[0].reason == "xml: not an article"
    assert read("<book></book>")[0].reason == "xml: no prose"


def test_a_billion_laughs_stay_one_word():
    laughs = '<!ENTITY a "ha">' + "".join(
        f'<!ENTITY {chr(98 + i)} "{(f"&{chr(97 + i)};") * 10}">' for i in range(9)
    )
    _, after = read(f"<!DOCTYPE book [{laughs}]><book><para>&a; &j; end</para></book>")
    assert after.text == "ha end"
    outside = (
        '<!DOCTYPE book [<!ENTITY x SYSTEM "file:///etc/passwd">]><book><para>a &x; b</para></book>'
    )
    assert read(outside)[1].text == "a b"


def test_exact_segments_are_the_bytes_of_the_source():
    data = JATS.encode()
    _, after = read(JATS)
    for piece in after.map.segments:
        if piece.exact:
            said = data[piece.byte_start : piece.byte_end].decode()
            assert said == after.text[piece.start : piece.end]


@pytest.mark.parametrize("charset", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("mark", ["\ufeff", ""])
def test_utf_16_with_or_without_its_mark_reads_as_utf_8_does(charset, mark):
    source = JATS.replace("?>", ' encoding="UTF-16"?>', 1).replace("Leeds", "Zürich 𝛼")
    data = (mark + source).encode(charset)
    ruling = ArticleXml(ArticleXmlConfig())(Record("1", "s", "a.xml", "jats", data=data))
    after = apply_result(Record("1", "s", "a.xml", "jats", data=data), ruling)
    assert after.text == read(source)[1].text
    assert after.metadata["aside"]["affiliations"] == ["Zürich 𝛼"]
    at = after.text.index("holds")
    start, end = after.map.byte_range(at, at + len("holds"))
    assert data[start:end].decode(charset).strip(".") == "holds"


@pytest.mark.parametrize("data", [b"\xff\xfe", b"\xff\xfe\x00\xd8", b"<\0", b"\xfe\xff<"])
def test_a_broken_utf_16_file_is_refused(data):
    assert ArticleXml(ArticleXmlConfig())(Record("1", "s", "a.xml", "jats", data=data)).reason


ACTS = set(
    "drop block line cell item heading section aside name fact put raw inline spaced".split()
)


@pytest.mark.parametrize("vocabulary", xml.VOCABULARIES.values(), ids=list(xml.VOCABULARIES))
def test_meanings_are_known(vocabulary):
    for means in vocabulary.elements.values():
        assert means.action in ACTS
        assert means.value or means.action not in ("aside", "fact", "put")


@pytest.mark.parametrize("table", xml._TABLES.values(), ids=list(xml._TABLES))
def test_an_element_is_listed_once(table):
    assert set(table) == {"given_name", "surname", "meanings"}
    assert all(set(row) <= {"action", "value", "span", "elements"} for row in table["meanings"])
    names = [name for row in table["meanings"] for name in row["elements"].split()]
    assert len(set(names)) == len(names)


def text_of(source: str) -> str:
    return read(source, vocabulary="jats")[1].text


@unchecked()  # a call that is checked costs twenty times as much
def test_a_deep_document_is_read():
    assert text_of("<sec>" * 30_000 + "deep" + "</sec>" * 30_000) == "deep"


def test_stray_and_open_tags():
    assert text_of("</p>a<p>b<italic>c</p>d") == "a\n\nbc\n\nd"
    assert text_of("<p>a</wrong> b<p") == "a b"
