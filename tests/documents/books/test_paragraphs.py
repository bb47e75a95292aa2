"""Paragraphs: wrapped lines become one; verse, tables, lists and code stay."""

import pytest

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.hyphens import Hyphens, HyphensConfig
from groundup.documents.books.paragraphs import ParagraphJoiner, ParagraphJoinerConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


PROSE = (
    "It is a truth universally acknowledged, that a single man in\n"
    "possession of a good fortune, must be in want of a wife. However\n"
    "little known the feelings or views of such a man may be on his\n"
    "first entering.\n"
)


def done(text: str, *spans: TextSpan) -> str:
    record = plain(text, *spans)
    return apply_result(record, ParagraphJoiner(ParagraphJoinerConfig())(record)).text


def test_wrapped_lines_become_one_and_the_next_paragraph_stays_apart():
    text = done(PROSE + "\n" + PROSE)
    assert text.count("\n") == 3 and "man in possession" in text


def test_verse_stays():
    verse = (
        "Tyger Tyger, burning bright,\nIn the forests of the night;\nWhat immortal hand or eye,\n"
        "Could frame thy fearful symmetry?\n"
    )
    assert verse in done(PROSE + "\n" + verse + "\n" + PROSE)


def test_tables_lists_and_code_stay():
    blocks = [
        "Name of the thing   Size of it   Price\nA first thing       12           3.50\n",
        "- one item of a list that is rather long\n- another item of it, long as well\n",
        "for (i = 0; i < length; i++) {\n    total += values[i] * weights[i];\n}\n",
    ]
    for block in blocks:
        assert block in done(PROSE + "\n" + block)


def test_a_paragraph_goes_on_over_a_page():
    first = PROSE[: PROSE.index("little")]
    text = first + "\n\n" + PROSE[len(first) :]
    turned = done(
        text, TextSpan("page", 0, len(first) + 1), TextSpan("page", len(first) + 1, len(text))
    )
    assert "However little known" in turned
    assert "However\n" in done(text)


def test_japanese_and_chinese_lines_join_without_a_space():
    lines = (
        "吾輩は猫である。名前はまだ無い。どこで生れた",
        "かとんと見当がつかぬ。何でも薄暗いじめじめし",
        "た所で",
    )
    assert done("\n".join(lines) + "\n") == "".join(lines) + "\n"
    chinese = "学而时习之不亦说乎有朋自远方来不亦乐乎\n人不知而不愠不亦君子乎\n"
    assert done(chinese).count("\n") == 1 and " " not in done(chinese)


def test_a_japanese_paragraph_begins_with_its_indent():
    line = "吾輩は猫である。名前はまだ無い。どこで生れた"
    assert done(f"{line}\n\u3000{line}\n").count("\n") == 2


def test_latin_and_korean_lines_keep_their_space():
    latin = "吾輩は猫である。名前はまだ無い。その名は Tama\nである。\n"
    assert "Tama である" in done(latin)
    korean = "나는 고양이로소이다 이름은 아직 없다 어디서 태어났는지\n도무지 알 수 없다.\n"
    assert "태어났는지 도무지" in done(korean)


def typeset(paragraph: str, width: int, *, indent: str) -> list[str]:
    """Lines of a paragraph; long words are broken after their fourth letter."""
    lines, line = [], indent
    for word in paragraph.split():
        if len(line) + len(word) < width:
            line += word + " "
        elif len(word) > 7 and word.isalpha() and len(line) + 5 <= width:
            lines.append(line + word[:4] + "-")
            line = word[4:] + " "
        else:
            lines.append(line.rstrip())
            line = word + " "
    return [*lines, line.rstrip()]


TALE = (
    "The administrator considered every information that the department could possibly produce "
    "and decided afterwards that nothing whatever followed from the calculations of yesterday. "
) * 3


@pytest.mark.parametrize("indent", ["", "    "])
@pytest.mark.parametrize("order", [(Hyphens, ParagraphJoiner), (ParagraphJoiner, Hyphens)])
def test_hyphens_and_paragraphs_in_both_orders_and_pages_of_several_widths(indent, order):
    lines = []
    for at in range(24):
        lines += typeset(TALE, (52, 64, 90)[at // 8], indent=indent) + [""] * (not indent)
    record = plain("\n".join(lines))
    for step in order:
        config = HyphensConfig() if step is Hyphens else ParagraphJoinerConfig()
        record = apply_result(record, step(config)(record))
    found = [one.strip() for one in record.text.split("\n") if one.strip()]
    # A word moved on both sides may leave a line so short that it looks like a paragraph's last.
    assert found.count(TALE.strip()) >= 22 and max(map(len, found)) == len(TALE.strip())


def test_one_line_much_longer_than_the_others_does_not_keep_them_apart():
    lines = PROSE.replace("However\n", "However http://example.org/" + "long/" * 20 + "\n")
    assert done(f"{PROSE}\n{lines}\n{PROSE}").count("\n") == 5
