"""Manual pages: man and mdoc as a reader sees them."""

import shutil

import pytest

from groundup.core import ConfigError
from groundup.documents import Record, apply_result
from groundup.documents.articles import manual
from groundup.documents.articles.manual import Manual, ManualConfig
from groundup.documents.readers.reader import ProgramLimits

MAN = r""".\" a comment
.de IX
..
.TH TEA 1 2024-05-01 "Kitchen" "Manual"
.SH NAME
tea \- make \fItea\fR
.SH SYNOPSIS
.B tea
.RI [ options ]
.if t .ft C
.ie \nF \{\
.  de XX
..
.\}
.SH DESCRIPTION
It says \(lqhi\(rq at 5\e2 and caf\['e]
.BR boil (2),
.IX index
then ends.
.TP
.B \-h
Show help.
.nf
  x = 1
    y
.fi
.TS
l l.
a	b
.TE
.SH "SEE ALSO"
.BR pot (1)
"""


def read(source: str, **settings):
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    record = Record("1", "s", "tea.1", "manual", data=source.encode())
    ruling = Manual(ManualConfig(**settings))(record)
    return ruling, None if ruling.reason else apply_result(record, ruling)


def test_a_page_of_man():
    _, after = read(MAN)
    assert after.text == (
        "NAME\n\ntea - make tea\n\nSYNOPSIS\n\ntea [options]\n\nDESCRIPTION\n\n"
        "It says “hi” at 5\\2 and café boil(2), then ends.\n\n-h\nShow help.\n\n  x = 1\n    y"
    )
    assert after.metadata == {
        "title": "TEA", "section": "1", "date": "2024-05-01",
        "aside": {"tables": ["a\tb"], "sections": ["SEE ALSO\n\npot(1)"]},
    }  # fmt: skip


def test_a_page_of_mdoc():
    _, after = read(
        ".Dd May 1, 2024\n.Dt TEA 1\n.Os\n.Sh NAME\n.Nm tea\n.Nd make tea\n.Sh SYNOPSIS\n.Nm\n"
        ".Op Fl h\n.Ar cup ...\n.Sh DESCRIPTION\nThe\n.Nm\nutility uses\n.Xr boil 2 ,\nand\n"
        ".Dq hot\n"
        "water.\n.Bl -tag -width x\n.It Fl h\nShow help.\n.El\n"
    )
    assert after.text == (
        "NAME\n\ntea — make tea\n\nSYNOPSIS\n\ntea\t[-h] cup ...\n\nDESCRIPTION\n\n"
        "The tea utility uses boil(2), and “hot” water.\n\n-h\nShow help."
    )


def test_pages_that_only_point_elsewhere_are_dropped():
    assert read(".so man2/open.2\n")[0].reason == "manual: points to another page"
    assert read("just text\n")[0].reason == "manual: not a manual page"


def test_lines_map_to_the_source_that_they_were_formatted_from():
    data = ('.\\" é is in a comment\n' + MAN).encode()
    _, after = read(data.decode())
    text = after.text
    for words, source in (
        ("Show help.", b"Show help."),
        ("tea - make tea", b"tea \\- make \\fItea"),
    ):
        start = text.index(words)
        assert data[slice(*after.map.byte_range(start, start + len(words)))] == source
    for piece in after.map.segments:
        if piece.exact:
            source = data[piece.byte_start : piece.byte_end].decode()
            assert source == text[piece.start : piece.end]


def test_a_table_in_a_section_that_is_moved_is_moved_once():
    page = '.TH TEA 1\n.SH NAME\ntea\n.SH "SEE ALSO"\n.TS\nl l.\na\tb\n.TE\n.SH NOTES\nx\n'
    _, after = read(page)
    assert after.text == "NAME\n\ntea\n\nNOTES\n\nx"
    assert after.metadata["aside"] == {"sections": ["SEE ALSO\n\na\tb"]}


def test_no_file_is_read_and_nothing_runs_for_long(monkeypatch):
    secret = ".TH A 1\n.SH NAME\na\n" + "x\n" * 2_000 + ".so /etc/passwd\n.so etc/passwd\n"
    assert "root:" not in read(secret)[1].text
    monkeypatch.setattr(manual, "LIMITS", ProgramLimits(20, 100))
    assert read(MAN)[0].reason == "too large"
    monkeypatch.setattr(manual, "LIMITS", ProgramLimits(0.01, 100))
    monkeypatch.setattr(manual, "COMMAND", ("sleep", "60"))
    assert read(MAN)[0].reason == "too slow"


def test_a_missing_program_is_named(monkeypatch):
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(ConfigError, match="apt-get install mandoc"):
        Manual(ManualConfig())
