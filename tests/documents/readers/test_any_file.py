"""Files of any kind as documents, with what an index reads of them."""

import gzip

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
