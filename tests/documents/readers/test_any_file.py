"""Files of any kind as documents, with what an index reads of them."""

import gzip

import pytest

from groundup.documents import NAVIGATION, ReadConfig, Record, read_data, rows_of_tables
from tests.documents.readers.test_books import pdf


def test_tables_and_footnotes_of_latex_are_read_as_they_stand():
    source = rb"""\documentclass{article}\begin{document}
Lichens grow on stones.\footnote{The survey cost 900 pounds.} They are slow.
\begin{table}\caption{Species}\begin{tabular}{ll} Stone & Species \\ \hline Slate & 22 \\
\end{tabular}\end{table} See the end. \begin{thebibliography}{9}\bibitem{a} Smith 2001.
\end{thebibliography}\end{document}"""
    (document,) = read_data("a.tex", source, ReadConfig())
    assert "stones. The survey cost 900 pounds. They" in document.text
    assert "Smith 2001" in document.text
    rows = rows_of_tables(document, 0, len(document.text))
    assert [document.text[slice(*row)] for row in rows] == ["Stone\tSpecies", "Slate\t22"]


def test_members_of_any_ending_are_read_as_files_of_a_folder_are():
    packed = gzip.compress(b"The pump stopped at 03:14.\n")
    [record] = read_data("pump.log.gz", packed, ReadConfig(archives=True))
    assert isinstance(record, Record) and record.text.startswith("The pump")


def test_lines_at_the_edges_of_a_pdf_are_navigation_where_most_pages_have_them():
    words = "oak ash elm fir yew".split()
    pages = [
        f"Guild tools\nThe {word} has own words.\nGuild 12/{n}" for n, word in enumerate(words)
    ]
    [record] = read_data("guild.pdf", pdf(pages), ReadConfig())
    skipped = [record.text[start:end].strip() for start, end in record.metadata[NAVIGATION]]
    assert skipped.count("Guild tools") == 5 and "own words" not in " ".join(skipped)


def test_text_of_short_pages_is_no_running_head():
    pages = ["The sluice keeper is Ada Holm.", "The siren weighs 14 kg.", "It was built in 1931."]
    [record] = read_data("a.pdf", pdf(pages), ReadConfig())
    assert NAVIGATION not in record.metadata
    sizes = [f"{word} grow here. The helmet size is {50 + n}." for n, word in enumerate("ABCDE")]
    [record] = read_data("a.pdf", pdf(sizes), ReadConfig())
    assert NAVIGATION not in record.metadata


def test_latin_letters_of_several_languages_are_western():
    text = "Müller and Muñoz sell Gruyère and jalapeños.\n"
    [record] = read_data("a.txt", text.encode("latin-1"), ReadConfig())
    assert record.text == text


@pytest.mark.parametrize(
    ("page", "skipped"),
    [
        ("<main>Tea.</main><footer><p>© Firm <a href=a>Help</a></footer>", ["© Firm Help"]),
        ("<p>Tea.<div class=x role='contentinfo'><div>© Firm</div> Imprint</div><p>Cup.",
         ["© Firm\nImprint"]),
        ("<p>Tea.<footer>© Firm<footer>inner</footer></footer>", ["© Firm\n\ninner"]),
        ("<p>Tea.<footer><a href=a>One</a><br><a href=b>Two</a></footer>", ["One\nTwo"]),
        ("<article><p>Tea.<footer>By Ann</footer></article>", []),
        ("<blockquote><p>Tea.<footer>Ann, 1850</footer></blockquote>", []),
        ("<p>Tea.<footer> <img> </footer>", []),
        ("<footer><p>Tea is never closed.", []),
        (f"<p>Tea.<footer>{'Steep it long. ' * 70}</footer>", []),
    ],
)  # fmt: skip
def test_the_footer_of_a_page_is_in_no_passage(page, skipped):
    (read,) = read_data("a.html", page.encode())
    assert isinstance(read, Record)
    ranges = read.metadata.get(NAVIGATION, [])
    assert [read.text[start:end] for start, end in ranges] == skipped
