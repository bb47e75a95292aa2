"""Files of any kind as documents, with what an index reads of them."""

from groundup.documents import ReadConfig, read_data, rows_of_tables


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
