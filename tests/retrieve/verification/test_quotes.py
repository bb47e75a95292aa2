"""A quote is proved by its file alone; what does not hold is told."""

import io
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from groundup.cli import main
from groundup.core import Answer, Claim, ConfigError, DataError, Quote, hash_file
from groundup.documents import read_bytes
from groundup.retrieve import ask, index, verify, verify_quotes
from groundup.retrieve.search import MAX_FILE_BYTES, changed_files

NAMES = ("tea.md", "tea.html", "latin.html")
CONTENT = {
    "tea.md": "Grüner Tee ist heiß.\n".encode(),
    "tea.html": "<p>Grüner <b>Tee</b> ist\n hei&szlig;.<!-- no --></p><p>Ende.</p>".encode(),
    "latin.html": b'<meta charset="iso-8859-1"><p>Gr\xfcner Tee ist hei\xdf.</p>',
}
SAID = "Grüner Tee ist heiß."


@pytest.fixture
def folder(tmp_path):
    for name, data in CONTENT.items():
        (tmp_path / name).write_bytes(data)
    return tmp_path


def quote(name: str) -> Quote:
    document = read_bytes(CONTENT[name], name)
    start = document.text.index(SAID)
    return document.quote(start, start + len(SAID))


def claimed(quote: Quote, sha256: str | None = None) -> Answer:
    details = {"files": {quote.path: sha256}} if sha256 else {}
    return Answer(quote.text, claims=(Claim(quote.text, (quote,)),), details=details)


def codes(answer: Answer, folder) -> list[str]:
    return [problem.code for problem in verify_quotes(answer, folder)]


@pytest.mark.parametrize("name", NAMES)
def test_a_true_quote_is_proved(name, folder):
    document = read_bytes(CONTENT[name], name)
    assert codes(claimed(quote(name), document.sha256), folder) == []


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    "change",
    [{"text": "Grüner Tee ist kalt."}, {"start": 0, "end": 3}, {"end": 10_000}, {"start": -5}],
)
def test_a_false_quote_is_not(name, change, folder):
    assert codes(claimed(quote(name)._replace(**change)), folder) == ["differs"]


@pytest.mark.parametrize("name", NAMES)
def test_every_bit_of_a_quote_counts(name, folder):
    true = quote(name)
    moved = true._replace(start=true.start + 1)
    shorter = true._replace(text=true.text[:-1])
    assert codes(claimed(moved), folder) == codes(claimed(shorter), folder) == ["differs"]


def test_a_file_that_changed_since_is_told(folder):
    old = read_bytes(CONTENT["tea.md"], "tea.md")
    answer = claimed(quote("tea.md"), old.sha256)
    (folder / "tea.md").write_bytes(CONTENT["tea.md"] + b"More.\n")
    (problem,) = verify_quotes(answer, folder)
    assert problem.code == "changed" and "still has the quote" in problem.message
    (folder / "tea.md").write_bytes(b"Less.\n" + CONTENT["tea.md"])
    (problem,) = verify_quotes(answer, folder)
    assert problem.code == "differs" and "changed since it was indexed" in problem.message
    (folder / "tea.md").unlink()
    assert codes(answer, folder) == ["missing"]


def test_a_path_out_of_the_folder_is_refused(folder):
    (folder / "inner").mkdir()
    outside = quote("tea.md")._replace(path="../tea.md")
    assert codes(claimed(outside), folder / "inner") == ["outside"]
    assert codes(claimed(outside._replace(path="/etc/hostname")), folder) == ["outside"]


def test_the_answers_of_an_index_know_their_files(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("out") / "i"
    index(folder, out)
    answer = ask("Ist grüner Tee heiß?", out)
    assert answer.claims and verify_quotes(answer, folder) == []
    (folder / answer.claims[0].quotes[0].path).write_bytes(b"Nichts.")
    assert codes(answer, folder)[0] == "differs"
    assert verify_quotes(replace(answer, claims=()), folder) == []


def test_files_are_compared_with_what_was_indexed_and_huge_ones_not_read(tmp_path):
    for name in ("same.txt", "edited.txt", "huge.txt"):
        (tmp_path / name).write_text(name)
    indexed = {name: hash_file(tmp_path / name) for name in ("same.txt", "edited.txt", "huge.txt")}
    (tmp_path / "edited.txt").write_text("other")
    os.truncate(tmp_path / "huge.txt", MAX_FILE_BYTES + 1)
    assert changed_files(indexed | {"gone.txt": ""}, tmp_path) == {
        "edited.txt": "has changed", "huge.txt": "has changed", "gone.txt": "is gone",
    }  # fmt: skip


def test_a_quote_of_nothing_proves_nothing(folder):
    true = quote("tea.md")
    assert codes(claimed(true._replace(end=true.start, text="")), folder) == ["differs"]


def test_a_quote_does_not_reach_beyond_its_file(folder):
    whole = CONTENT["tea.md"].decode()
    document = read_bytes(CONTENT["tea.md"], "tea.md")
    true = document.quote(0, len(document.text))._replace(text=whole, end=len(CONTENT["tea.md"]))
    assert codes(claimed(true), folder) == []
    assert codes(claimed(true._replace(end=true.end + 1)), folder) == ["differs"]


@pytest.fixture
def saved(folder, tmp_path_factory, capsys):
    """A saved answer and its index."""
    home = tmp_path_factory.mktemp("saved")
    index(folder, home / "i")
    capsys.readouterr()
    code, out = typed(capsys, "ask", "Ist grüner Tee heiß?", "--index", home / "i", "--json")
    assert code == 0
    (home / "answer.json").write_text(out, encoding="utf-8")
    return home


def typed(capsys, *words) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    code = ended.value.code
    assert isinstance(code, int)
    return code, capsys.readouterr().out


def test_a_saved_answer_is_proved_by_its_documents(saved, folder, capsys):
    code, out = typed(capsys, "verify", saved / "answer.json", "--index", saved / "i")
    assert code == 0 and " quotes are proved by files in " in out
    code, out = typed(capsys, "verify", saved / "answer.json", "--json")
    found = json.loads(out)
    assert (code, found["problems"], found["root"]) == (0, [], str(folder))
    assert found["quotes"] >= 1


def test_a_saved_answer_whose_documents_changed_exits_with_1(saved, folder, capsys):
    path = json.loads((saved / "answer.json").read_text("utf-8"))["claims"][0]["quotes"][0]["path"]
    (folder / path).write_bytes(CONTENT[path] + b" ")
    code, out = typed(capsys, "verify", saved / "answer.json", "--index", saved / "i")
    assert code == 1 and out.startswith(f"changed: {path} still has the quote.")
    assert typed(capsys, "verify", saved / "answer.json")[0] == 0  # hashes are the index's
    (folder / path).write_text("Nichts davon.")
    code, out = typed(capsys, "verify", saved / "answer.json", "--json")
    (problem,) = json.loads(out)["problems"][:1]
    assert (code, problem["code"], problem["quote"]["path"]) == (1, "differs", path)


def test_a_quote_that_was_edited_is_found_wherever_the_documents_are(saved, folder, capsys):
    text = (saved / "answer.json").read_text("utf-8")
    (saved / "edited.json").write_text(text.replace("heiß", "kalt"), encoding="utf-8")
    folder = folder.rename(folder.with_name(f"{folder.name}-moved"))
    for name, code in (("answer.json", 0), ("edited.json", 1)):
        assert typed(capsys, "verify", saved / name, "--root", folder)[0] == code
    with pytest.raises(ConfigError, match="which is no folder; give --root"):
        verify(saved / "answer.json")


@pytest.mark.parametrize("claim, problems", [
    ("Grüner Tee ist heiß.", []), ("Tee, der grün ist, kostet 9 Euro.", ["unsupported"]),
    ("Grüner Tee ist nicht heiß.", ["unsupported"]),
])  # fmt: skip
def test_a_claim_in_other_words_must_be_what_its_document_says(claim, problems, saved, folder):
    answer = json.loads((saved / "answer.json").read_text("utf-8"))
    quotes = answer["claims"][0]["quotes"]
    answer |= {"answer": f" {claim} ", "claims": [{"text": claim, "quotes": quotes}]}
    (saved / "forged.json").write_text(json.dumps(answer))
    found = verify(saved / "forged.json")
    assert [each.code for each in found.problems] == problems
    assert found.exit_code == len(problems) and "1 of 1 quotes are proved" in str(found)


def test_an_answer_that_is_not_its_claims_is_no_answer(saved):
    answer = json.loads((saved / "answer.json").read_text("utf-8"))
    (saved / "forged.json").write_text(json.dumps(answer | {"answer": "Tee ist giftig."}))
    with pytest.raises(DataError, match="an answer that is not its claims; ask again"):
        verify(saved / "forged.json")


def test_where_a_quote_differs_is_shown(folder):
    text = CONTENT["tea.md"].decode() * 9
    (folder / "tea.md").write_text(text + "Ende eins.")
    long = Quote("tea.md", 0, len((text + "Ende eins.").encode()), text + "Ende zwei.", 1)
    [problem] = verify_quotes(claimed(long), folder)
    assert "Ende eins." in problem.message and len(problem.message) < 200


def test_bytes_that_are_no_text_are_told(folder, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(bytes(range(256)) * 8)))
    with pytest.raises(DataError, match="it is no text"):
        verify(Path("-"), root=folder)


def test_standard_input_is_read_and_a_refusal_needs_no_proof(folder, monkeypatch):
    refused = {"answer": "not in these documents", "refused": True, "claims": [], "root": None}
    written = io.TextIOWrapper(io.BytesIO(json.dumps(refused).encode()))
    monkeypatch.setattr("sys.stdin", written)
    assert verify(Path("-"), root=folder) == (str(folder), 0, ())
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"The kettle is red.")))
    with pytest.raises(DataError, match="^standard input holds no answer"):
        verify(Path("-"), root=folder)


@pytest.mark.parametrize(
    "text",
    [
        "", "[]", "{}", '{"answer": "a", "refused": false, "claims": []}',
        '{"answer": "a", "refused": false, "claims": [{"text": "a", "quotes": []}]}',
        '{"answer": "a", "refused": false, "claims": [{"text": "a", "quotes": [{"path": "x"}]}]}',
        '{"answer": "a", "refused": false, "claims": [{"text": "a", "quotes": '
        '[{"path": "tea.md", "start": "0", "end": 4, "text": "Gr"}]}]}',
        '{"answer": "a", "refused": false, "claims": [{"text": "a", "quotes": '
        '[{"path": "tea\\u0000.md", "start": 0, "end": 4, "text": "Gr"}]}]}',
    ],
)  # fmt: skip
def test_what_is_no_answer_is_an_error(text, folder):
    (folder / "answer.json").write_text(text)
    with pytest.raises(DataError, match="answer"):
        verify(folder / "answer.json", root=folder)
    with pytest.raises(DataError, match="cannot be read"):
        verify(folder / "none.json", root=folder)
