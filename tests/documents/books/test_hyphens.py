"""Hyphens at line ends: joined, kept or left, by evidence."""

from dataclasses import replace

import pytest

from groundup.documents import Record, SourceMap, TextSpan, apply_result
from groundup.documents.books.hyphens import Hyphens, HyphensConfig


def plain(text: str, *spans: TextSpan) -> Record:
    return Record("1", "s", "p", "text", text, SourceMap.identity(text), spans)


def done(text: str, **settings: bool) -> str:
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
    assert done(text) == wanted


def test_the_books_own_words_decide_before_the_table():
    assert done("It is data-\nbase here; a data-base, the data-base.").startswith("It is data-base")
    assert done("It is data-\nbase here; a database.").startswith("It is database")


def test_another_language_rests_on_its_own_words():
    text = (
        "Der Zeilen-\numbruch ist da. Ein Zeilenumbruch ist schön. Die Über-\nschrift, Überschrift."
    )
    assert "Der Zeilenumbruch" in done(text, use_word_table=False)
    assert "Die Überschrift" in done(text, use_word_table=False)


def test_an_author_who_sets_a_prefix_apart_does_so_at_a_lines_end():
    habit = "They re-encode, re-submit and re-install it, then "
    assert done(habit + "re-\ncreate it.").endswith("re-create\nit.")
    assert done("They encode it, then re-\ncreate it.").endswith("recreate\nit.")
    assert done(habit + "re-\nturn it.").endswith("return\nit.")


def test_other_endings_of_a_word_speak_for_it():
    assert done("The base-\nnames; a basename, the basename.").startswith("The basenames;")
    assert done("The re-\ncreated one; re-create it.").startswith("The re-created\none;")


def test_two_acronyms_keep_their_hyphen():
    assert done("riscv64 is RISC-\nV here").endswith("RISC-V\nhere")


GERMAN = "Der Text ist das, was die Leser und der Autor nicht zu sehen haben. "
FRENCH = "Le texte est dans la langue que les gens et le roi ne parlent pas. "


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (GERMAN + "die Vor- \nund Nachteile", "Vor- und Nachteile"),
        (GERMAN + "Haupt-\nund Nebensatz", "Haupt- und Nebensatz"),
        (GERMAN + "eine E-\nMail", "E-Mail"),
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
    assert wanted in " ".join(done(text).split())


def test_lines_stay_as_long_as_they_were():
    """What comes next looks at their width; the last word of a paragraph moves no break."""
    text = "  a word of the compo-\n  nents, which go on\n\nhere the infor-\nmation.\n\nNew text.\n"
    assert done(text) == (
        "  a word of the components,\n  which go on\n\nhere the information.\n\nNew text.\n"
    )
    unwrapped = replace(plain("an infor-\nmation of it"), metadata={"wrapped_lines": 1})
    assert (
        apply_result(unwrapped, Hyphens(HyphensConfig())(unwrapped)).text == "an information of it"
    )
