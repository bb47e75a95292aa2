"""What the elements of JATS, DocBook and Mallard mean, as tables.

`Means.value` of an aside names its shelf; a capital first letter says that it stands in the line.
Sources: the JATS 1.3 Archiving tag library (NISO Z39.96-2021), DocBook 5.2, Mallard 1.1.
"""

from .xml import Means, Vocabulary

BLOCK, LINE, DROP, HEADING, SECTION = (
    Means(act) for act in ("block", "line", "drop", "heading", "section")
)
RAW, CELL, ITEM = Means("raw", span="code"), Means("cell"), Means("item")


def means(one: Means, names: str) -> dict[str, Means]:
    """One meaning for several elements."""
    return dict.fromkeys(names.split(), one)


JATS = Vocabulary(
    {
        **means(
            BLOCK, "p disp-quote list def-list boxed-text verse-group statement speech abstract"
        ),
        **means(SECTION, "sec app glossary trans-abstract"),
        **means(
            LINE,
            "copyright-statement copyright-year copyright-holder license license-p tr verse-line "
            "def-item term-head break def",
        ),
        **means(CELL, "td th"),
        **means(HEADING, "title"),
        **means(
            DROP,
            "journal-meta article-id article-categories pub-date history counts custom-meta-group "
            "volume issue fpage lpage elocation-id page-range self-uri related-article product "
            "supplementary-material inline-supplementary-material media object-id conference "
            "funding-group author-notes corresp ext-link-label contrib-id xref-label role degrees "
            "processing-meta issue-id issue-title season pub-history response event isbn "
            "annotation related-object floats-wrap",
        ),
        "list-item": ITEM,
        "preformat": RAW,
        "code": RAW,
        "article-id": Means("fact", "id"),
        "title-group/article-title": Means("heading", span="title"),
        "front/title": DROP,
        "article-meta/title-group": BLOCK,
        "title-group/alt-title": DROP,
        "title-group/trans-title-group": DROP,
        "subtitle": BLOCK,
        "article-meta/contrib-group": Means("aside", "authors", "authors"),
        "contrib": Means("line"),
        "contrib/name": Means("name"),
        "name-alternatives/name": Means("name"),
        "contrib/collab": Means("name"),
        "contrib/string-name": Means("name"),
        "contrib/xref": DROP,
        "contrib/bio": DROP,
        "given-names": Means("spaced"),
        "surname": Means("spaced"),
        "aff": Means("aside", "affiliations", "affiliation"),
        "permissions": Means("aside", "licence", "licence"),
        "kwd-group": Means("aside", "keywords", "keywords"),
        "kwd": LINE,
        "article-meta/abstract": Means("block", span="abstract"),
        "fig": Means("aside", "figures", "figure"),
        "fig-group": Means("aside", "figures", "figure"),
        "table-wrap": Means("aside", "tables", "table"),
        "caption": Means("aside", "captions", "caption"),
        "caption/title": BLOCK,
        "label": Means("spaced"),
        "fn": Means("aside", "footnotes", "footnote"),
        "table-wrap-foot/fn": BLOCK,
        "table-wrap-foot": BLOCK,
        "fn-group": BLOCK,
        "fn-group/title": DROP,
        "ref-list": Means("block"),
        "ref-list/title": Means("aside", "references"),
        "ref": Means("aside", "references", "reference"),
        "ref/note": BLOCK,
        "ref/label": DROP,
        "back/ack": Means("aside", "acknowledgements", "acknowledgements"),
        "math": Means("put", " [MATH] "),
        "tex-math": Means("put", " [MATH] "),
        "disp-formula": Means("block", span="formula"),
        "disp-formula/label": DROP,
        "alternatives": Means("inline"),
        "graphic": DROP,
        "attrib": LINE,
        "sub-article": SECTION,
        "sub-article/front-stub": DROP,
        "term": Means("spaced"),
    },
    "given-names",
    "surname",
)
DOCBOOK = Vocabulary(
    {
        **means(
            BLOCK,
            "para simpara formalpara blockquote note warning caution tip important itemizedlist "
            "orderedlist variablelist procedure qandaset abstract epigraph sidebar example "
            "refnamediv refsynopsisdiv cmdsynopsis funcsynopsis segmentedlist simplelist "
            "glosslist calloutlist equation",
        ),
        **means(
            SECTION,
            "chapter section sect1 sect2 sect3 sect4 sect5 refsect1 refsect2 refsect3 refsection "
            "appendix preface part refentry simplesect glossary topic qandadiv",
        ),
        **means(LINE, "varlistentry term member row step question answer seg glossentry arg sbr"),
        **means(HEADING, "title refname"),
        **means(RAW, "programlisting screen literallayout synopsis classsynopsis funcsynopsisinfo"),
        **means(
            DROP,
            "indexterm revhistory pubdate edition releaseinfo mediaobject inlinemediaobject index "
            "toc refmeta remark date titleabbrev bookbiblio screeninfo anchor productname-id "
            "isbn issn volumenum beginpage primary secondary tertiary colophon set-id",
        ),
        **means(Means("aside", "legal", "legal notice"), "legalnotice copyright"),
        **means(Means("aside", "authors", "authors"), "authorgroup"),
        **means(
            Means("aside", "authors", "author"),
            "info/author articleinfo/author bookinfo/author artheader/author bookinfo/editor",
        ),
        **means(
            Means("heading", span="title"),
            "book/title article/title articleinfo/title bookinfo/title",
        ),
        **means(Means("heading", span="title"), "info/title"),
        **means(Means("name"), "personname authorgroup/corpauthor"),
        "listitem": ITEM,
        "varlistentry/listitem": BLOCK,
        "table": Means("aside", "tables", "table"),
        "informaltable": Means("aside", "tables", "table"),
        "table/title": Means("aside", "captions", "caption"),
        "figure": Means("aside", "figures", "figure"),
        "figure/title": Means("aside", "captions", "caption"),
        "informalfigure": Means("aside", "figures", "figure"),
        "screenshot": DROP,
        "footnote": Means("aside", "Footnotes", "footnote"),
        "footnote/para": Means("spaced"),
        "bibliography": Means("aside", "references", "references"),
        "biblioentry": Means("aside", "references", "reference"),
        "bibliomixed": Means("aside", "references", "reference"),
        "author": Means("name"),
        "entry": CELL,
        "firstname": Means("spaced"),
        "surname": Means("spaced"),
        "affiliation": Means("aside", "affiliations", "affiliation"),
    },
    "firstname",
    "surname",
)
MALLARD = Vocabulary(
    {
        **means(BLOCK, "p note list steps terms tree synopsis listing example quote comment"),
        **means(LINE, "title-line"),
        **means(DROP, "link-trail revision media links desc"),
        "info": Means("drop"),
        "section": SECTION,
        "title": HEADING,
        "page/title": Means("heading", span="title"),
        "info/title": DROP,
        "info/desc": Means("fact", "description"),
        "credit/name": Means("fact", "authors"),
        "license": DROP,
        "item": ITEM,
        "code": Means("inline"),
        "screen": RAW,
        "listing/code": RAW,
        "page/code": RAW,
        "section/code": RAW,
        "table": Means("aside", "tables", "table"),
        "tr": LINE,
        "td": CELL,
        "th": CELL,
        "figure": Means("aside", "figures", "figure"),
    },
    "",
    "",
)
