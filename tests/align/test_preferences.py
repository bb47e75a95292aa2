"""Preferences are read in TRL's layouts, and what cannot be used is kept aside with its reason."""

import json

import pytest

from groundup.align import Preference, PreferencesConfig, import_preferences
from groundup.align.preferences import parse_preference, read_preferences
from groundup.core import DataError, Message

USER = Message("user", "2+2?")


def turn(role, content):
    return {"role": role, "content": content}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"prompt": "2+2?", "chosen": "4", "rejected": "5"}, Preference((USER,), "4", "5")),
        ({"prompt": [turn("user", "2+2?")], "chosen": [turn("assistant", "4")],
          "rejected": [turn("assistant", "5")], "score": 9}, Preference((USER,), "4", "5")),
        ({"chosen": [turn("user", "2+2?"), turn("assistant", "4")],
          "rejected": [turn("user", "2+2?"), turn("assistant", "5")]},
         Preference((USER,), "4", "5")),
        ({"prompt": [turn("system", "Be brief."), turn("user", "a"), turn("assistant", "b"),
                     turn("user", "c")], "chosen": "d", "rejected": "e"},
         Preference((Message("system", "Be brief."), Message("user", "a"),
                     Message("assistant", "b"), Message("user", "c")), "d", "e")),
        ({"prompt": "2+2?", "completion": "4", "label": True}, Preference((USER,), "4", "")),
        ({"prompt": "2+2?", "completion": "5", "label": False}, Preference((USER,), "", "5")),
    ],
)  # fmt: skip
def test_rows_of_each_layout_are_read_and_written(row, expected):
    found = parse_preference(row)
    assert found == expected and parse_preference(json.loads(found.to_json())) == found
    assert found.is_pair == bool(found.chosen and found.rejected)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "It is no object"),
        ({"prompt": "a"}, "It has no chosen and no rejected"),
        ({"prompt": "a", "chosen": "b"}, "It has no rejected"),
        ({"prompt": "a", "chosen": "b", "rejected": "b"}, "chosen answer equals the rejected"),
        ({"prompt": "a", "chosen": " ", "rejected": "b"}, "Its chosen is empty"),
        ({"prompt": "", "chosen": "a", "rejected": "b"}, "turns are none"),
        ({"prompt": 5, "chosen": "a", "rejected": "b"}, "neither a text nor a list"),
        ({"prompt": [turn("assistant", "x")], "chosen": "a", "rejected": "b"}, "turns are assist"),
        (
            {"prompt": [turn("user", "x"), turn("user", "y")], "chosen": "a", "rejected": "b"},
            "turns are user, user",
        ),
        ({"prompt": [turn("robot", "x")], "chosen": "a", "rejected": "b"}, "'robot'"),
        ({"prompt": [turn("user", None)], "chosen": "a", "rejected": "b"}, "no text turn"),
        ({"prompt": "a", "chosen": [turn("user", "b")], "rejected": "c"}, "not one turn"),
        ({"chosen": "a", "rejected": ["b"]}, "different kinds"),
        ({"prompt": "a", "completion": "b", "label": "yes"}, "expected true or false"),
        ({"prompt": "a", "completion": "", "label": True}, "Its completion is empty"),
    ],
)
def test_what_cannot_be_used_says_why(row, reason):
    with pytest.raises(DataError, match=reason):
        parse_preference(row)


def test_prompts_are_split_whole_and_reasons_are_counted(tmp_path):
    rows = [
        {"prompt": f"question {n // 2}", "chosen": f"good\u2028and {n}", "rejected": "bad\x85"}
        for n in range(60)
    ]
    lines = [*map(json.dumps, rows), json.dumps(rows[0]), "{", json.dumps({"prompt": "a"}), ""]
    (tmp_path / "pairs.jsonl").write_text("\n".join(lines))
    made = import_preferences(
        PreferencesConfig(validation_share=0.3), [tmp_path / "pairs.jsonl"], tmp_path / "out"
    )
    train, held_out = (read_preferences(made, name) for name in ("train", "validation"))
    assert len(train) + len(held_out) == 60
    assert not {each.prompt for each in train} & {each.prompt for each in held_out}
    reasons = {"It is there twice.": 1, "It is no JSON.": 1, "It has no chosen and no rejected.": 1}
    assert made.numbers["rejected"] == reasons
    assert made.numbers["train"] == {"pairs": len(train), "single": 0}
    aside = [json.loads(line) for line in (made.path / "rejected.jsonl").read_text().splitlines()]
    assert [each["place"] for each in aside] == [f"pairs.jsonl line {n}" for n in (61, 62, 63)]


def test_a_missing_file_and_one_without_rows_are_told(tmp_path):
    with pytest.raises(DataError, match="There is no file .*none.jsonl"):
        import_preferences(PreferencesConfig(), [tmp_path / "none.jsonl"], tmp_path / "a")
    (tmp_path / "one.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    with pytest.raises(DataError, match="1 usable rows with 1 prompts leave none for validation"):
        import_preferences(PreferencesConfig(), [tmp_path / "one.jsonl"], tmp_path / "b")
    assert not (tmp_path / "b" / "manifest.json").exists()
