"""Preferences are read in TRL's layouts, and what cannot be used is kept aside with its reason."""

import json

import pytest

from groundup.align import (
    Preference,
    PreferencesConfig,
    balance,
    import_preferences,
    read_preferences,
)
from groundup.align.preferences import parse_row
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
        ({"prompt": "2+2?", "chosen": "4", "rejected": "5", "margin": 2},
         Preference((USER,), "4", "5", 2.0)),
        ({"prompt": "2+2?", "chosen": "4", "rejected": "5", "score_chosen": 9, "score_rejected": 7},
         Preference((USER,), "4", "5", 2.0)),
        ({"conversations": [{"from": "human", "value": "2+2?"}],
          "chosen": {"from": "gpt", "value": "4"}, "rejected": {"from": "gpt", "value": "5"}},
         Preference((USER,), "4", "5")),
        ({"instruction": "2+2?", "chosen": "4", "rejected": "5"}, Preference((USER,), "4", "5")),
        ({"instruction": "2+2?", "output": "5", "label": False}, Preference((USER,), "", "5")),
        ({"messages": [turn("user", "2+2?"), turn("assistant", "4")], "label": True},
         Preference((USER,), "4", "")),
        ({"prompt": "2+2?", "completions": ["2 is 2.", "So 5."], "labels": [True, False]},
         Preference((USER,), "", "", 0.0, ("2 is 2.", "So 5."), (True, False))),
    ],
)  # fmt: skip
def test_rows_of_each_layout_are_read_and_written(row, expected):
    (found,) = parse_row(row)
    assert found == expected and parse_row(json.loads(json.dumps(found.to_dict()))) == [found]
    assert found.is_pair == bool(found.chosen and found.rejected)


def test_a_ranking_is_all_pairs_of_different_score_with_their_margins():
    row = {"prompt": "2+2?", "completions": ["5", "4", "four", "?"], "scores": [1, 3, 3, 0.5]}
    found = [(pair.chosen, pair.rejected, pair.margin) for pair in parse_row(row)]
    assert found == [("4", "5", 2), ("4", "?", 2.5), ("four", "5", 2), ("four", "?", 2.5),
                     ("5", "?", 0.5)]  # fmt: skip
    ranked = {"prompt": "2+2?", "completions": ["5", "4"], "ranks": [2, 1]}
    assert parse_row(ranked) == [Preference((USER,), "4", "5", 1.0)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ([], "It is no object"),
        ({"prompt": "a"}, "It has no chosen and no rejected"),
        ({"prompt": "a", "chosen": "b"}, "It has no rejected"),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "completion": "b", "label": True},
            "It has both chosen and completion",
        ),
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
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": float("nan")},
            r"margin is \[nan\]",
        ),
        (
            {"prompt": "a", "chosen": "b", "rejected": "c", "margin": 1e30},
            r"margin is 1e\+30; expected at most 1e\+06",
        ),
        ({"prompt": "a", "completions": ["b"]}, "need as many labels"),
        ({"prompt": "a", "completions": ["b", "c"], "labels": [True]}, "need as many labels"),
        ({"prompt": "a", "completions": ["b"], "labels": [-1]}, "1 steps need as many labels"),
        ({"prompt": "a", "completions": "b", "labels": [True]}, "no lists of completions"),
        ({"prompt": "a", "completions": ["b", "c"], "scores": [1, 1]}, "equally good"),
        ({"prompt": "a", "completions": ["b", "b"], "scores": [1, 2]}, "are equal"),
        ({"prompt": "a", "completions": ["b", "c"], "scores": [1]}, r"scores is \[1\]; expected 2"),
        ({"messages": [turn("user", "b")], "label": True}, "no answer at the end"),
    ],
)
def test_what_cannot_be_used_says_why(row, reason):
    with pytest.raises(DataError, match=reason):
        parse_row(row)


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
    counts = {name: made.numbers["train"][name] for name in ("pairs", "single", "stepwise")}
    assert counts == {"pairs": len(train), "single": 0, "stepwise": 0}
    aside = [json.loads(line) for line in (made.path / "rejected.jsonl").read_text().splitlines()]
    assert [each["place"] for each in aside] == [f"pairs.jsonl line {n}" for n in (61, 62, 63)]


def test_pairs_of_a_ranking_that_share_their_words_are_all_kept(tmp_path):
    answers = ["Boats are lifted by the crane on Monday.", "Boats are lifted by a crane on Monday.",
               "Boats are lifted by the big crane on Monday."]  # fmt: skip
    rows = [{"prompt": f"Question {n}?", "completions": answers, "ranks": [1, 2, 3]}
            for n in ("one", "two", "three", "four")]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    config = PreferencesConfig(validation_share=0.5)
    made = import_preferences(config, [tmp_path / "rows.jsonl"], tmp_path / "out")
    assert sum(len(read_preferences(made, split)) for split in ("train", "validation")) == 12


def test_contrary_labels_of_a_pair_are_no_duplicates(tmp_path):
    one, other = "Boats are lifted by the crane.", "They go down the slip, slowly."
    rows = [{"prompt": f"Question {n}?", "chosen": a, "rejected": b}
            for n in ("one", "two", "three") for a, b in ((one, other), (other, one))]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, [*rows, rows[0]])))
    config = PreferencesConfig(validation_share=0.5)
    made = import_preferences(config, [tmp_path / "rows.jsonl"], tmp_path / "out")
    assert sum(len(read_preferences(made, split)) for split in ("train", "validation")) == 6


def test_a_missing_file_and_one_without_rows_are_told(tmp_path):
    with pytest.raises(DataError, match="There is no file .*none.jsonl"):
        import_preferences(PreferencesConfig(), [tmp_path / "none.jsonl"], tmp_path / "a")
    (tmp_path / "one.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    with pytest.raises(DataError, match="1 usable rows with 1 questions leave none for validation"):
        import_preferences(PreferencesConfig(), [tmp_path / "one.jsonl"], tmp_path / "b")
    assert not (tmp_path / "b" / "manifest.json").exists()
    with open(tmp_path / "one.jsonl", "a") as file:
        file.write('{"prompt": "q", "chosen": 7, "rejected": "b"}\n{"prompt": "q"}\n')
    left = r"\(2 were left out\)\. Its chosen is 7; expected a text\. \(1 times\) It has no chosen"
    with pytest.raises(DataError, match=left):
        import_preferences(PreferencesConfig(), [tmp_path / "one.jsonl"], tmp_path / "b")


def test_steps_and_pairs_lie_side_by_side_and_are_cleaned(tmp_path):
    rows = [
        {"prompt": f"Sum {n}?", "completions": [f"One {n}.", "Two."], "labels": [True, n % 2 > 0]}
        for n in range(20)
    ]
    rows += [{"prompt": f"Tea {n}?", "completions": ["Hot.", "Cold.", f"{n}"], "ranks": [1, 2, 3],
              "source": "tea"} for n in range(20)]  # fmt: skip
    excuse = "I'm sorry, but I can't help with that."
    rows += [{"prompt": "a", "chosen": excuse, "rejected": "b"},
             {"prompt": "a", "chosen": "b", "rejected": excuse}]  # fmt: skip
    (tmp_path / "all.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    made = import_preferences(PreferencesConfig(), [tmp_path / "all.jsonl"], tmp_path / "out")
    found = [each for name in ("train", "validation") for each in read_preferences(made, name)]
    pairs, steps = [each for each in found if each.is_pair], [each for each in found if each.steps]
    assert len(pairs) == 61 and len(steps) == 20 and sum(len(each.steps) for each in steps) == 40
    assert made.numbers["rejected"] == {"It refuses as assistants of others do.": 1}
    counts = balance(made.path).splits
    kinds = [counts[name]["kinds"] for name in counts]
    assert sum(each.get("pair", 0) for each in kinds) == 61
    assert counts["train"]["sources"].keys() == {"tea", "all.jsonl"}
    assert "rejected words" in str(balance(made.path))
