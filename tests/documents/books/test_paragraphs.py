# ruff: noqa: E501
"""Broken words and wrapped lines are joined; verse, tables, lists and code stay."""

from dataclasses import replace

import pytest

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.hyphens import Hyphens, HyphensConfig
from groundup.documents.books.paragraphs import ParagraphJoiner, ParagraphJoinerConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


def joined(text: str, **settings: bool) -> str:
    record = plain(text)
    return apply_result(record, Hyphens(HyphensConfig(**settings))(record)).text


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("the compo-\nnents of it", "the components\nof it"),
        ("a command-\nline tool", "a command-line\ntool"),
        ("an inter-\n\n\nesting page", "an interesting\npage"),
        ("the Smith-\nJones paper", "the Smith-Jones\npaper"),
        ("a non-\nlinear thing, nonlinear", "a nonlinear\nthing, nonlinear"),
        ("sound wa\u00adves and wa\u00ad\nves", "sound waves and waves"),
        ("state-of-the-\nart work", "state-of-the-art\nwork"),
        ("the MIT-\nstyle licence", "the MIT-style\nlicence"),
        ("a dash --\nhere", "a dash --\nhere"),
        ("pages 12-\n14", "pages 12-\n14"),
        ("scanned infor¬\nmation", "scanned information"),
    ],
)  # fmt: skip
def test_breaks(text, wanted):
    assert joined(text) == wanted


def test_the_books_own_words_decide_before_the_table():
    assert joined("It is data-\nbase here; a data-base, the data-base.").startswith(
        "It is data-base"
    )
    assert joined("It is data-\nbase here; a database.").startswith("It is database")


def test_another_language_rests_on_its_own_words():
    text = (
        "Der Zeilen-\numbruch ist da. Ein Zeilenumbruch ist schön. Die Über-\nschrift, Überschrift."
    )
    assert "Der Zeilenumbruch" in joined(text, use_word_table=False)
    assert "Die Überschrift" in joined(text, use_word_table=False)


def test_an_author_who_sets_a_prefix_apart_does_so_at_a_lines_end():
    habit = "They re-encode, re-submit and re-install it, then "
    assert joined(habit + "re-\ncreate it.").endswith("re-create\nit.")
    assert joined("They encode it, then re-\ncreate it.").endswith("recreate\nit.")
    assert joined(habit + "re-\nturn it.").endswith("return\nit.")


def test_other_endings_of_a_word_speak_for_it():
    assert joined("The base-\nnames; a basename, the basename.").startswith("The basenames;")
    assert joined("The re-\ncreated one; re-create it.").startswith("The re-created\none;")


def test_two_acronyms_keep_their_hyphen():
    assert joined("riscv64 is RISC-\nV here").endswith("RISC-V\nhere")


GERMAN = "Der Text ist das, was die Leser und der Autor nicht zu sehen haben. "
FRENCH = "Le texte est dans la langue que les gens et le roi ne parlent pas. "


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GERMAN + "die Vor- \nund Nachteile", "Vor- und Nachteile"),
        (GERMAN + "Haupt-\nund Nebensatz", "Haupt- und Nebensatz"),
        (GERMAN + "eine E-\nMail", "E-Mail"),
        (GERMAN + "die x-\nachse", "x-achse"),
        (GERMAN + "der USB-\nstick", "USB-stick"),
        (GERMAN + "die Haus-\ntür; Haus, Haus, die Tür, Tür", "die Haustür;"),
        (GERMAN + "im Hinter-\ngrund", "im Hintergrund"),
        (GERMAN + "die in-\nformation", "die information"),
        (FRENCH + "Qu'est-\nil devenu", "Qu'est-il devenu"),
        (FRENCH + "oui, dit-\nelle", "dit-elle"),
        (FRENCH + "y a-\nt-il du pain", "y a-t-il du pain"),
        (FRENCH + "y a-t-\nil du pain", "y a-t-il du pain"),
        (FRENCH + "puis-\nje entrer", "puis-je entrer"),
        (FRENCH + "est-\nce vrai", "est-ce vrai"),
        (FRENCH + "la sour-\nce", "la source"),
        (FRENCH + "l'ex-\nprésident", "l'ex-président"),
        (FRENCH + "un ex-\nemple", "un exemple"),
        (FRENCH + "avant et après, pré- \net postnatal", "pré- et postnatal"),
        ("It is the pre- and post-\nor mid-war time of the book.", "post- or mid-war"),
        ("It is an err-\nor of the hus-\nband.", "error of the husband"),
        ("The E-\nMail is in the box.", "The E-Mail"),
    ],
)  # fmt: skip
def test_each_language_has_its_own_hyphens(text, wanted):
    assert wanted in " ".join(joined(text).split())


def test_lines_stay_as_long_as_they_were():
    """What comes next looks at their width; the last word of a paragraph moves no break."""
    text = "  a word of the compo-\n  nents, which go on\n\nhere the infor-\nmation.\n\nNew text.\n"
    assert joined(text) == (
        "  a word of the components,\n  which go on\n\nhere the information.\n\nNew text.\n"
    )
    unwrapped = replace(plain("an infor-\nmation of it"), metadata={"wrapped_lines": 1})
    assert (
        apply_result(unwrapped, Hyphens(HyphensConfig())(unwrapped)).text == "an information of it"
    )


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
