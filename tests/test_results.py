"""What is printed: text for people, JSON for scripts, nothing for nothing."""

import json

from groundup.core import Answer, Claim, Quote, Reason
from groundup.flags import emit
from tests.artifacts import Nothing, artifact


def test_results_are_printed_for_people_and_for_scripts(capsys, tmp_path):
    def printed(result: object, as_json: bool) -> str:
        emit(result, as_json)
        return capsys.readouterr().out

    made = artifact(tmp_path / "a")
    text = printed(made, False)
    assert text.startswith(f"report {made.id[:12]}  4 B") and "share 0.5123  name x" in text
    data = json.loads(printed(made, True))
    assert data["path"] == str(made.path) and data["files"]["a.txt"]["bytes"] == 4
    claim = Claim("It stands.", (Quote("a.txt", 3, 13, "It stands.", 2),))
    answer = Answer("It stands.", claims=(claim,))
    assert printed(answer, False) == "  It stands.\n    a.txt:2 (bytes 3-13)\n"
    assert json.loads(printed(answer, True)) == {
        "answer": "It stands.", "refused": False, "claims": [{"text": "It stands.", "quotes": [
            {"path": "a.txt", "start": 3, "end": 13, "text": "It stands."}
        ]}], "root": None, "changed": None, "question": None, "score": None, "threshold": None,
        "missing": None, "terms": None, "found": None, "nearest": None, "did_you_mean": None,
        "left_out": None, "unanswered": None, "no_quantity": None, "note": None, "meaning": None,
        "related": None, "left_out_files": None, "reading": None,
        "risk": None, "dropped": None,
        "continues": None,
    }  # fmt: skip
    assert printed(Answer("not here", refused=True), False) == "not here\n"
    assert printed(None, False) == printed(None, True) == ""
    assert printed("a line", False) == "a line\n"
    assert json.loads(printed("a line", True)) == "a line"
    assert json.loads(printed([Reason("x", "y"), Nothing()], False)) == [
        {"code": "x", "message": "y"}, {},
    ]  # fmt: skip
