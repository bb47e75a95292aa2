"""Answers are quotes of the files, byte for byte, or refusals."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from groundup.core import ArtifactError, ConfigError, child
from groundup.retrieve import (
    answer_question,
    answer_to_json,
    answer_to_text,
    ask,
    index,
    open_index,
    verify_quotes,
)
from groundup.retrieve.answers.answer import (
    MIN_WEIGHT,
    MISSING_THRESHOLD,
    NOT_FOUND,
    THRESHOLD,
    _find_spans,
)
from groundup.retrieve.wording.question import WeightedQuestion

FILES = {
    "kitchen/tea.md": "# Tea\n\nTea is a drink made of leaves.\n\n## Brewing tea\n\n"
    "Pour water of 80 °C over the leaves. Wait three minutes.\n",
    "office.txt": "Opening hours\n=============\n\nThe office opens at nine, e.g. on Mondays.\n\n"
    "Holidays\n========\n\nEvery employee has thirty days of holiday a year.\n",
    "paths.html": "<html><title>Paths</title><body><h1>Paths</h1><dl><dt>join_paths(<i>a</i>, b)"
    "</dt><dd><p>Put two names &amp; a <b>separator</b> together.</p></dd></dl></body></html>",
    "tools/pot.py": '"""Pots."""\n\n\ndef fill(pot, litres=1.0):\n    """Fill a pot with water.\n\n'
    '    Raises ValueError if it is full.\n    """\n    pot.level += litres\n',
}
QUESTIONS = {
    "What is tea made of?": ("kitchen/tea.md", "Tea is a drink made of leaves."),
    "How do I brew tea?": ("kitchen/tea.md", "Pour water of 80 °C over the leaves."),
    "When does the office open?": ("office.txt", "The office opens at nine, e.g. on Mondays."),
    "How many holidays does an employee have?": ("office.txt", "Every employee has thirty days"),
    "What does join_paths do?": ("paths.html", "Put two names & a separator together."),
    "What does pot.fill do?": ("tools/pot.py", "Fill a pot with water."),
}
UNANSWERABLE = [
    "How do I grow coffee in a greenhouse?",
    "When does the swimming pool open?",
    "What does join_threads do?",
    "Who is the president?",
    "What is it?",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("handbook")
    for name, text in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def built(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("index")
    index(folder, out / "i")
    return out / "i"


def test_a_command_that_asks_imports_what_a_question_needs(built):
    script = (
        "import sys; from groundup.retrieve import ask; from pathlib import Path; "
        "print(ask('What is tea made of?', Path(sys.argv[1])).refused); "
        "print([name for name in ('numpy', 'torch', 'groundup.measure', 'multiprocessing', "
        "'email.message', 'tarfile', 'tree_sitter', 'rich') if name in sys.modules])"
    )
    command = child.python_command("-c", script, str(built))
    done = subprocess.run(command, env=child.python_environment(), capture_output=True, text=True)
    assert done.stdout == "False\n[]\n", done.stderr


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_first_quote_answers_and_is_proved_by_the_file(question, folder, built):
    path, said = QUESTIONS[question]
    found = ask(question, built)
    quote = found.claims[0].quotes[0]
    assert quote.path == path and said in " ".join(quote.text.split())
    assert found.claims[0].text == quote.text and quote.text in found.text
    data = (folder / path).read_bytes()
    if not path.endswith("html"):
        assert data[quote.start : quote.end].decode() == quote.text
    assert quote.line == data[: quote.start].count(b"\n") + 1
    assert verify_quotes(found, folder) == []


@pytest.mark.parametrize("question", UNANSWERABLE)
def test_what_the_documents_do_not_say_is_refused(question, built):
    found = ask(question, built)
    assert found.refused and found.text == NOT_FOUND and found.claims == ()
    assert found.details["score"] < THRESHOLD


@pytest.mark.parametrize("question", [*QUESTIONS, *UNANSWERABLE])
def test_the_score_is_a_share_and_decides(question, built):
    found = ask(question, built)
    assert 0.0 <= found.details["score"] <= 1.0
    assert found.refused == (found.details["score"] < THRESHOLD)


def test_json_has_the_quotes_with_their_bytes(folder, built):
    found = answer_to_json(ask("When does the office open?", built))
    assert json.loads(json.dumps(found)) == found
    assert set(found) == {
        "answer", "refused", "claims", "root", "changed", "score", "threshold", "missing",
        "terms", "unanswered", "found", "nearest", "no_quantity", "did_you_mean", "left_out",
        "left_out_files", "meaning", "related", "reading", "continues", "risk", "dropped", "note",
        "question",
    }  # fmt: skip
    assert found["question"] == "When does the office open?"
    assert found["refused"] is False and found["changed"] == []
    quote = found["claims"][0]["quotes"][0]
    assert set(quote) == {"path", "start", "end", "text"}
    data = Path(found["root"], quote["path"]).read_bytes()
    assert data[quote["start"] : quote["end"]].decode() == quote["text"]
    refusal = answer_to_json(ask("Who is the president?", built))
    assert refusal.pop("score") < refusal.pop("threshold") == MISSING_THRESHOLD
    assert refusal == {
        "question": "Who is the president?",
        "answer": NOT_FOUND, "refused": True, "claims": [], "missing": ["president"],
        "root": str(folder.resolve()), "changed": [], "terms": ["president"],
        "found": None, "nearest": None, "did_you_mean": None, "left_out": refusal["left_out"],
        "meaning": None, "related": None, "reading": None, "note": None, "risk": None,
        "dropped": None, "continues": None,
        "left_out_files": refusal["left_out_files"],
        "unanswered": None, "no_quantity": None,
    }  # fmt: skip


def test_text_for_people_names_file_line_and_bytes_or_what_is_nowhere(built):
    assert "office.txt:4 (bytes 29-" in answer_to_text(ask("When does the office open?", built))
    refused = answer_to_text(ask("Who is the president?", built))
    assert refused.startswith(f"{NOT_FOUND}\n  nowhere: president")
    long = answer_to_text(ask("Who is the president? " * 1000, built))
    assert long.endswith("\n  the first 4,000 of 21,999 characters were read")
    long = answer_to_text(ask("When does the office open? " * 1000, built))
    assert long.endswith("\n\n(the first 4,000 of 26,999 characters were read)")


def test_the_command_line_prints_what_the_room_says(built, capsys):
    from groundup.flags import emit

    for question in ("When does the office open?", "Who is the president?"):
        found = ask(question, built)
        emit(found, as_json=True)
        assert json.loads(capsys.readouterr().out) == answer_to_json(found)
        emit(found, as_json=False)
        assert capsys.readouterr().out == answer_to_text(found) + "\n"


def test_some_documents_alone_are_asked(tmp_path):
    (tmp_path / "docs" / "old").mkdir(parents=True)
    (tmp_path / "docs" / "old" / "a.md").write_text("The gate opens at seven.\n")
    (tmp_path / "docs" / "b.md").write_text("The gate opens at nine.\n")
    (tmp_path / "docs" / "c=d.txt").write_text("Das Tor ist um acht auf, und dann ist es zu.\n")
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)

    def texts(*only):
        claims = answer_question(opened.only(only), "When does the gate open?").claims
        return {claim.quotes[0].path for claim in claims}

    assert texts() == {"old/a.md", "b.md"} and texts("old/*") == {"old/a.md"}
    assert texts("old/*", "b*") == {"old/a.md", "b.md"} == texts("*.md", "language=english")
    assert texts("path=c=d*") == set() == texts("language=german")
    scores = [
        answer_question(one, "When does the gate open?").details["score"]
        for one in (opened, opened.only(["b*"]))
    ]
    assert scores[0] == scores[1]
    with pytest.raises(ConfigError, match=r"No document of the index matches --only \*\.pdf"):
        opened.only(["*.pdf"])
    with pytest.raises(ConfigError, match="no author"):
        opened.only(["author=Ada"])


def test_quotes_are_limited_and_different(folder, built):
    (folder / "copy.md").write_text(FILES["kitchen/tea.md"], encoding="utf-8")
    index(folder, built.parent / "copies")
    opened = open_index(built.parent / "copies")
    found = answer_question(opened, "What is tea made of?", 3)
    (folder / "copy.md").unlink()
    texts = [claim.text for claim in found.claims]
    assert len(texts) == len(set(texts)) <= 3
    assert len(answer_question(opened, "What is tea made of?", 1).claims) == 1


def test_files_that_changed_since_are_told_with_the_answer(tmp_path):
    folder, out = tmp_path / "plans", tmp_path / "i"
    folder.mkdir()
    bus, train = folder / "bus.md", folder / "train.md"
    bus.write_text("The first bus leaves at 04:45.\n")
    train.write_text("The last train leaves at 23:10.\n")
    index(folder, out)
    bus.write_text("The first bus leaves at 05:55.\n")
    found = ask("When does the first bus leave?", out)
    assert "04:45" in found.text and answer_to_json(found)["changed"] == ["bus.md"]
    *_, line = answer_to_text(found).splitlines()
    again = f"groundup index {folder.resolve()} --out {out}"
    assert line == f"bus.md has changed since it was indexed; run again: {again}"
    assert answer_to_json(ask("When does the last train leave?", out))["changed"] == []
    assert answer_to_json(ask("Who is the president?", out))["changed"] == []
    bus.unlink()
    assert "bus.md is gone since" in answer_to_text(ask("When does the first bus leave?", out))
    folder.rename(tmp_path / "elsewhere")
    found = ask("When does the last train leave?", out)
    assert answer_to_json(found)["changed"] is None and "were not compared" in answer_to_text(found)
    index(tmp_path / "elsewhere", out)
    assert answer_to_json(ask("When does the last train leave?", out))["changed"] == []


def test_an_index_that_knows_no_folder_compares_nothing(folder, built, tmp_path):
    copied = tmp_path / "copied"
    shutil.copytree(open_index(built).artifact.path, copied)
    found = ask("What is tea made of?", copied)
    assert (answer_to_json(found)["root"], answer_to_json(found)["changed"]) == (None, None)


@pytest.mark.parametrize("question", ["", " \n"])
def test_an_empty_question_is_told(question, built):
    with pytest.raises(ConfigError, match="question is empty"):
        ask(question, built)
    with pytest.raises(ConfigError, match="limit=0"):
        ask("tea?", built, limit=0)


@pytest.mark.parametrize("mark", ['"AND (foo: ', "tea^2 OR [a TO z] ", "-tea +~*?\\/ ", "\0\ud800"])
def test_no_character_of_a_question_is_syntax(mark, built):
    for question in (mark, f"{mark} What is tea made of?", f"What is tea {mark}made of?"):
        assert 0.0 <= ask(question, built).details["score"] <= 1.0


def test_a_huge_question_is_answered_and_says_what_was_cut(built):
    found = ask("What is tea made of? " + "tea leaves drink " * 6_000, built)
    assert not found.refused and "102,020" in found.details["note"]


def test_the_threshold_is_the_documented_one(root):
    page = (root / "docs/reference/retrieve.md").read_text()
    assert f"Below {THRESHOLD:g} the question is refused" in page


def test_a_name_of_the_documents_is_not_said_to_be_nowhere(built):
    found = ask("Does join_paths elect the president of the parliament?", built)
    assert found.refused
    assert "president" in found.details["missing"] and "join_paths" not in found.details["missing"]


def test_a_further_quote_needs_nearly_the_score_of_the_first(tmp_path, monkeypatch):
    folder = tmp_path / "pots"
    folder.mkdir()
    (folder / "all.md").write_text("The clay teapot brews green tea slowly.\n")
    (folder / "most.md").write_text("A clay teapot brews green tea.\n")
    for number in range(9):  # "slowly" is common, so it tells little
        (folder / f"{number}.md").write_text(f"Snail {number} of the garden walks slowly.\n")
    index(folder, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    asked = opened.parse("Which clay teapot brews green tea slowly?")
    weights = [max(MIN_WEIGHT, opened.term_weight(term)) for term in asked.terms]
    spans = _find_spans(opened, WeightedQuestion(asked, weights), {})
    scores = {span.hit.passage.path: span.score for span in spans}
    assert scores["all.md"] == 1.0 > scores["most.md"] > THRESHOLD
    module = sys.modules["groundup.retrieve.answers.answer"]  # the room has a function of that name
    monkeypatch.setattr(module, "FURTHER_CLAIM_SHARE", scores["most.md"] + 0.01)
    found = answer_question(opened, "Which clay teapot brews green tea slowly?")
    assert [claim.quotes[0].path for claim in found.claims] == ["all.md"]
    monkeypatch.setattr(module, "FURTHER_CLAIM_SHARE", scores["most.md"] - 0.01)
    assert len(answer_question(opened, "Which clay teapot brews green tea slowly?").claims) == 2


def test_a_question_and_an_index_in_each_other_s_place_are_told_with_the_right_command(built):
    question = "When does the office open?"
    with pytest.raises(ConfigError) as raised:
        ask(str(built), Path(question))
    said = str(raised.value)
    assert said.endswith(f"groundup ask '{question}' --index {built}") and "\n" not in said
    with pytest.raises(ArtifactError):  # a question that is no folder is a question
        ask(question, built / "no-index")


def test_scripts_see_the_score_its_threshold_and_the_words_that_are_nowhere(built):
    found = answer_to_json(ask("When does the office open?", built))
    assert found["threshold"] <= found["score"] <= 1 and found["missing"] == []
    refused = answer_to_json(ask("Who is the president?", built))
    assert refused["score"] < refused["threshold"] and refused["missing"] == ["president"]


def test_a_page_in_two_formats_is_quoted_once(tmp_path):
    lead, boats = "These boats lie at the east quay:", ("The barge Hild", "The tug Nora")
    (tmp_path / "docs").mkdir()
    marked = f"# Quays\n\n{lead}\n\n" + "".join(f"- {boat}\n" for boat in boats)
    (tmp_path / "docs/a.md").write_text(marked)
    items = "".join(f"<li>{boat}</li>" for boat in boats)
    page = f"<html><body><h1>Quays</h1><p>{lead}</p><ul>{items}</ul></body></html>"
    (tmp_path / "docs/b.html").write_text(page)
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    answer = answer_question(opened, "Which boats lie at the east quay?")
    assert len(answer.claims) == 1 and all(boat in answer.text for boat in boats)


@pytest.mark.parametrize("question", ["?", "the", "what is it"])
def test_a_question_without_a_word_says_so(question, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text("The kettle boils.")
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    assert "no word to look for" in answer_to_text(answer_question(opened, question))


def test_a_question_with_its_own_word_takes_nothing_from_the_next(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text(
        "# Fees\n\n| vessel | per night | per week |\n|---|---|---|\n"
        "| dinghy | 4 euros | 20 euros |\n| barge | 19 euros | 95 euros |\n\n"
        "Freeboard: the height of the deck above the waterline.\n"
    )
    opened = open_index(index(tmp_path / "docs", tmp_path / "i").path)
    question = "What is freeboard, and what does a barge pay per night or per week?"
    text = answer_question(opened, question).text
    assert "height of the deck" in text and "| barge | 19 euros" in text and "dinghy" not in text


@pytest.mark.parametrize(
    ("fact", "question", "other"),
    [
        (
            "The release v2.0.1 adds maps.",
            "What does the release v2.0.1 add?",
            ("v2.0.1", "v2.0.2"),
        ),
        ("Invoice 2024-118 is unpaid.", "Is invoice 2024-118 unpaid?", ("-118", "-119")),
        ("Order 55-1234 was shipped by Kest.", "Who shipped order 55-1234?", ("1234", "1235")),
        ("Model T-1000.5 has a tin lid.", "Which lid has model T-1000.5?", (".5", ".6")),
        ("The part AB-12/8 costs 9 pounds.", "What does the part AB-12/8 cost?", ("/8", "/9")),
        ("The valve 3/4 is brass.", "Is the valve 3/4 brass?", ("3/4", "3/8")),
    ],
)
def test_a_number_with_points_and_hyphens_is_one(fact, question, other, tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.txt").write_text(fact)
    index(tmp_path / "docs", tmp_path / "i")
    opened = open_index(tmp_path / "i")
    assert answer_question(opened, question).text == fact
    assert answer_question(opened, question.replace(*other)).refused


@pytest.mark.parametrize(
    "question",
    [
        "According to “North pier”, how deep is the water?",
        'In the chapter "North pier", how deep is the water?',
        "Laut „North pier“ how deep is the water?",
    ],
)
def test_a_question_that_names_its_source_is_asked_of_that_alone(question, tmp_path):
    (tmp_path / "docs").mkdir()
    for name, depth in (("South", 4), ("North", 9)):
        text = f"# {name} pier\n\nThe water is {depth} metres deep there.\n"
        (tmp_path / "docs" / f"{name}.md").write_text(text)
    index(tmp_path / "docs", tmp_path / "i")
    answer = ask(question, tmp_path / "i")
    assert [claim.quotes[0].path for claim in answer.claims] == ["North.md"]
    assert answer.details["question"] == question and "9 metres" in answer.text
    assert ask(question.replace("North", "West"), tmp_path / "i").details["missing"][-1] == "West"


PAGE = """Python Library Documentation: module {name}

NAME
    {name} - Files and more.

MODULE REFERENCE
    https://docs.python.org/3.11/library/{name}.html

DESCRIPTION
    >>> {other}.copytree("a", "b")

FUNCTIONS
    {function}(src, dst, size=0)
        {text}

FILE
    /usr/lib/{name}.py
"""


def test_a_name_of_code_is_answered_with_its_entry_and_a_run_of_words_with_where_it_stands(
    tmp_path,
):
    docs = tmp_path / "docs"
    docs.mkdir()
    aside = " It makes no links and asks nothing of its caller." * 12
    pages = [("shutil", "copytree", f"Recursively copy a directory tree.{aside}")]
    pages += [(f"copy{n}", "copy", "Recursively copy a tree.") for n in range(60)]
    for name, function, text in pages:
        page = PAGE.format(name=name, other="shutil", function=function, text=text)
        (docs / f"{name}.txt").write_text(page)
    index(docs, tmp_path / "i")
    opened = open_index(tmp_path / "i")
    for question in ("shutil.copytree", "recursively copy a directory tree"):
        answer = answer_question(opened, question)
        assert answer.text.startswith("copytree(src, dst, size=0)"), question
    assert answer_question(opened, "What is the price of shutil?").refused
    mistyped = answer_question(opened, "shutil.copytrea")
    assert mistyped.refused and mistyped.details["nearest"]["text"].startswith("copytree(src")
