"""The reader of XML: depth costs nothing, malformed markup is tolerated."""

from groundup.documents import SourceMap
from groundup.documents.articles.vocabularies import JATS
from groundup.documents.articles.xml import read_xml
from tests.checking import unchecked


def text_of(source: str) -> str:
    return read_xml(SourceMap.identity(source), JATS).writer.text()


@unchecked()  # a call that is checked costs twenty times as much
def test_a_deep_document_is_read():
    assert text_of("<sec>" * 30_000 + "deep" + "</sec>" * 30_000) == "deep"


def test_stray_and_open_tags():
    assert text_of("</p>a<p>b<italic>c</p>d") == "a\n\nbc\n\nd"
    assert text_of("<p>a</wrong> b<p") == "a b"
