"""Bytes become text by the first of mark, declaration, UTF-8 and guess that fits, with a map."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.documents import SourceMap, SourceMapBuilder, decode, read_html
from groundup.documents.readers.encodings import compose_maps, text_charset
from groundup.documents.readers.reader import Refused

GERMAN = (
    "Über die Brücke gehen süße Mädchen.\nStraßen, Häuser und Gärten füllen die schöne Stadt.\n"
)
RUSSIAN = "Съешь ещё этих мягких французских булок, да выпей чаю.\nОчень длинный русский текст.\n"
CHINESE = "北京是中华人民共和国的首都。\n这是一个很长的中文句子,用来测试编码。\n"
JAPANESE = (
    "東京は日本の首都です。\nこれは文字コードを調べるための長い文です。カタカナもあります。\n"
)


@given(st.text(st.characters(codec="cp1251", exclude_characters="\0"), min_size=1), st.data())
def test_one_byte_a_character_keeps_exact_places(text, data):
    raw = text.encode("cp1251")
    read = decode(raw, declared="windows-1251")
    assert read.map.text == text
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    first, last = read.map.byte_range(start, end)
    assert raw[first:last].decode("cp1251") == text[start:end]


@pytest.mark.parametrize(
    "text, charset",
    [(CHINESE, "gb18030"), (CHINESE, "big5hkscs"), (JAPANESE, "shift_jis"), (JAPANESE, "euc_jp"),
     (JAPANESE, "iso2022_jp"), (JAPANESE, "utf-16"), (CHINESE, "utf-32"),
     ("가나다\n라마\n", "euc_kr"), ("\u010a한\u0a0a\nx", "utf-16")],
)  # fmt: skip
def test_several_bytes_a_character_are_mapped_by_line_or_word(text, charset):
    raw = text.encode(charset, "ignore")
    text = raw.decode(charset)
    read = decode(raw, declared=charset)
    assert read.map.text == text
    second = text.index("\n") + 1
    first, last = read.map.byte_range(second, second + 1)
    whole = "utf-16-le" if charset == "utf-16" else "utf-32-le" if charset == "utf-32" else charset
    assert raw[first:last].decode(whole).strip() == text[second:].strip()
    assert read.map.line(second) == 2


@pytest.mark.parametrize("text, charset", [(GERMAN, "cp1252"), (RUSSIAN, "cp1251"),
                                           (RUSSIAN, "koi8_r"), (JAPANESE, "euc_jp"),
                                           (JAPANESE, "shift_jis")])  # fmt: skip
def test_an_undeclared_charset_is_guessed(text, charset):
    text = text * 4
    assert decode(text.encode(charset)).map.text == text


@pytest.mark.parametrize(
    "text, charset",
    [("Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig.", "cp1250"),
     ("Zażółć gęślą jaźń. Pchnąć w tę łódź jeża lub ośm skrzyń fig.", "iso8859_2"),
     ("Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą.", "cp1257"),
     ("Pijamalı hasta yağız şoföre çabucak güvendi, İstanbul ığdır.", "cp1254"),
     ("El pingüino Wenceslao hizo kilómetros bajo exhaustiva lluvia y frío, añoraba.", "cp1252")],
)  # fmt: skip
def test_latin_charsets_are_told_apart_by_alphabets(text, charset):
    assert decode(text.encode(charset)).map.text == text


def test_a_wrong_declaration_is_not_believed():
    assert decode("größer".encode(), declared="shift_jis2").map.text == "größer"
    assert decode(("größer " * 9).encode(), declared="us-ascii").charset in ("cp1252", "utf-8")
    read = decode("日本語のテキスト".encode(), declared="euc_kr")
    assert (read.charset, read.map.text) == ("utf-8", "日本語のテキスト")
    assert read_html("<meta charset=utf-16><p>é".encode()).map.text == "é"


@pytest.mark.parametrize(
    "data, charset, text",
    [
        ("é世".encode(), "utf-8", "é世"),
        (b"\xef\xbb\xbf<meta charset=latin1>\xc3\xa9", "utf-8", "<meta charset=latin1>é"),
        ("é".encode("utf-16"), "utf-16-le", "é"),
        ("<p>é".encode("utf-16-be"), "utf-16-be", "<p>é"),
        (b"<meta charset=iso-8859-1>\x93\xe9\x94", "cp1252", "<meta charset=iso-8859-1>“é”"),
        (b"<meta http-equiv=x content='text/html; charset=ISO-8859-2'>\xb1", "iso8859-2",
         "<meta http-equiv=x content='text/html; charset=ISO-8859-2'>ą"),
        ("<meta charset=shift_jis>日".encode("shift_jis"), "cp932", "<meta charset=shift_jis>日"),
        (b"<meta charset=ascii>\xc3\xa9", "utf-8", "<meta charset=ascii>é"),
        (b"<meta charset=nonsense>ok", "utf-8", "<meta charset=nonsense>ok"),
    ],
)  # fmt: skip
def test_a_page_declares_its_charset(data, charset, text):
    read = decode(data, kind="html", repair=charset.startswith("utf-16"))
    assert (read.charset, read.map.text) == (charset, text)


def test_the_servers_charset_comes_before_the_pages():
    assert decode("<meta charset=cp1251>жук".encode("koi8-r"), "koi8-r", kind="html").charset == (
        "koi8-r"
    )


def test_labels_that_are_no_charset_are_not_run():
    for label in ("zlib", "rot13", "unicode_escape", "punycode", "idna", "utf-7", "\0", "é" * 99):
        assert text_charset(label) == ""
        page = f"<meta charset={label}>\\x41".replace("\0", "").encode()
        assert decode(page, label, kind="html").map.text == page.decode()
    assert text_charset("ibm850") == "cp850" and text_charset("latin1") == "cp1252"


def test_half_a_character_after_a_mark_costs_only_itself():
    for tail in (b"a", b"\x00\xdc"):
        read = decode(b"\xff\xfe" + ("é" * 400).encode("utf-16-le") + tail)
        assert read.map.text.startswith("é" * 400) and read.replaced == 1


def test_damaged_utf8_is_mended_by_the_replacement_character_and_counted():
    raw = ("é" * 600).encode() + b"\xff" + "ü".encode() + b"\n"
    read = decode(raw)
    assert (read.charset, read.replaced) == ("utf-8", 1)
    assert read.map.text == "é" * 600 + "\ufffdü\n"
    assert read.map.byte_range(600, 601) == (1200, 1201)
    assert read.map.byte_range(601, 602) == (1201, 1203)


@pytest.mark.parametrize(
    "text",
    ["Grüße aus Köln", "The café’s door", "naïve", "Zażółć gęślą jaźń", "Привет, мир", "日本語の本",
     "It’s", "Ça va ?", "한국어 text"],
)  # fmt: skip
def test_a_short_text_in_utf8_with_a_damaged_byte_is_utf8(text):
    for at in range(len(text) + 1):
        raw = text[:at].encode() + b"\xff" + text[at:].encode()
        read = decode(raw)
        assert (read.charset, read.replaced) == ("utf-8", 1), raw
        assert read.map.text == f"{text[:at]}\ufffd{text[at:]}"
    for at, letter in enumerate(text):  # a byte is lost
        if not letter.isascii() and sum(not other.isascii() for other in text) > 2:
            read = decode(text[:at].encode() + letter.encode()[:-1] + text[at + 1 :].encode())
            assert (read.charset, read.map.text) == ("utf-8", f"{text[:at]}\ufffd{text[at + 1 :]}")


@pytest.mark.parametrize(
    "raw",
    ["dürfen keine Mülltonnen \udcff\udcfe. Der Müll", "Fahrräder sind \udce4 verboten",
     "nuts \udced\udca0\udcbd and 🥜"],
)  # fmt: skip
def test_odd_bytes_in_words_of_utf8_and_half_a_surrogate_pair_are_one_damage(raw):
    read = decode(raw.encode("utf-8", "surrogateescape"))
    assert read.charset == "utf-8" and read.map.text.count("\ufffd") == 1
    assert "ü" in read.map.text or "ä" in read.map.text or "🥜" in read.map.text


@pytest.mark.parametrize(
    ("text", "charset"),
    [("Привет, мир! Как дела?", "cp1251"), ("Привет, мир! Как дела?", "koi8-r"),
     ("Её ёлка, ещё и моё", "koi8-r"), ("Дім", "cp1251"), ("Ні, він її", "cp1251"),
     ("Їжак і їжачок", "cp1251"), ("Grüße aus Köln", "cp1252"), ("café", "cp1252"),
     ("naïve", "cp1252"), ("« Été » : où ?", "cp1252"), ("It’s", "cp1252"),
     ("ÄÖÜ äöü", "cp1252"), ("Ça", "cp1252")],
)  # fmt: skip
def test_a_short_text_in_a_charset_of_single_bytes_is_not_damaged_utf8(text, charset):
    assert decode(text.encode(charset)).charset != "utf-8"


def test_without_repair_nothing_is_guessed():
    assert decode("\ufeffé".encode(), repair=False).map.byte_range(0, 1) == (3, 5)
    for raw in ("é".encode("utf-16"), GERMAN.encode("cp1252"), b"ab\xff"):
        with pytest.raises(Refused, match="not UTF-8|binary"):
            decode(raw, repair=False)
    assert decode(GERMAN.encode("cp1252"), "cp1252", repair=False).map.text == GERMAN


def test_what_is_no_text_is_refused():
    for raw in (b"a\0b", b"\x7fELF\0\0"):
        with pytest.raises(Refused, match="binary"):
            decode(raw)
    with pytest.raises(Refused):
        decode(b"\xff\xfea")


@given(st.text(st.sampled_from("aé\n &<>;日"), max_size=40))
def test_html_in_any_charset_says_what_it_says_in_utf8(text):
    page = "<h1>T</h1><p>" + text.replace("日", "")
    for charset in ("utf-8", "cp1252", "utf-16"):
        raw = page.encode(charset)
        found = read_html(raw, charset, repair=True)
        assert found.map.text == read_html(page.encode()).map.text
        assert found.headings == read_html(page.encode()).headings
        if charset != "utf-16":
            for s in found.map.segments:
                if s.exact:
                    assert (
                        raw[s.byte_start : s.byte_end].decode() == found.map.text[s.start : s.end]
                    )


def test_pieces_keep_their_places_and_lines():
    pieces = SourceMapBuilder()
    pieces.append("one\n", 10, 14, 3)
    pieces.append_inserted("--")
    pieces.append_slice(SourceMap.identity("a\nbé"), 2, 4, shift=20, lines=8)
    map = pieces.build()
    assert map.text == "one\n--bé"
    assert [map.byte_range(0, 3), map.byte_range(4, 6), map.byte_range(7, 8)] == [
        (10, 13), (14, 14), (23, 25),
    ]  # fmt: skip
    assert [map.line(0), map.line(4), map.line(7)] == [3, 4, 10]


def test_a_megabyte_of_anything_is_read_in_one_pass():
    for raw in (b"\xc3" * 2**20, b"\x80\n" * 2**19, b"a" * 2**20, "й".encode("cp1251") * 2**20):
        try:
            assert len(decode(raw).map.text) > 0
        except Refused as refused:
            assert refused.reason in ("unknown charset", "not UTF-8")
    assert compose_maps(SourceMap.identity("x"), SourceMap.identity("x", 3)).byte_range(0, 1) == (
        3,
        4,
    )
