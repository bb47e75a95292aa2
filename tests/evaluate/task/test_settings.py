"""Fields of a task file: wrong ones are errors that help; how a row fills them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from groundup.core import (
    Completion,
    ConfigError,
    DataError,
    Reason,
    Sampling,
    TextModel,
)
from groundup.evaluate.task.settings import (
    FieldReader,
    TaskSettings,
    _fill_template,
    prompt_digest,
    read_sampling,
    read_task_settings,
)
from groundup.evaluate.task.task import (
    ChatOptions,
    EvaluationTask,
    ItemScores,
    PromptTurn,
    RequestKind,
    Response,
    TaskGroup,
    TaskItem,
    TaskMeasure,
    _merge_turns,
    _needs_delimiter,
    example_turns,
    join_texts,
    question_turns,
    render_turns,
)
from groundup.evaluate.task.yaml_files import TaskCode
from tests.evaluate.task.lm_eval_peer import Fake

FILE = Path("t.yaml")
LEAST: dict[str, Any] = {
    "task": "t", "dataset_path": "json", "test_split": "test", "doc_to_text": "q",
    "doc_to_target": "a",
}  # fmt: skip


def sampling(**given: Any):
    settings = TaskSettings(task="t", generation_kwargs=given or None)
    return read_sampling(settings, FILE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"doc_to_txt": "q"}, r"t\.yaml: .*no key `doc_to_txt`; did you mean `doc_to_text`"),
        ({"output_type": "classify"}, "output_type: Input should be 'loglikelihood'"),
        ({"num_fewshot": -1}, "num_fewshot"),
        ({"repeats": 0}, "repeats"),
        ({"fewshot_config": {"sampler": "balanced"}}, "sampler: Input should be 'default' or"),
        (
            {"fewshot_config": {"fewshot_indices": [1]}},
            "FewShotSettings has no key `fewshot_indices`",
        ),
        ({"class": "x"}, "`class` is a task written in Python"),
        ({"doc_to_image": ["x"]}, "`doc_to_image` shows images"),
        ({"use_prompt": "x"}, "`use_prompt` needs promptsource"),
        ({"unsafe_code": True}, "needs a sandbox; use the built-in task humaneval"),
        ({"test_split": None}, "expected a test_split or a validation_split"),
        ({"dataset_path": None}, "expected dataset_path"),
        ({"doc_to_text": None}, "generate_until needs `doc_to_text`"),
        ({"output_type": "multiple_choice"}, "multiple_choice needs `doc_to_choice`"),
        ({"task": None}, "task is required"),
    ],
)
def test_wrong_fields_are_told(change, said):
    with pytest.raises(ConfigError, match=said):
        read_task_settings(LEAST | change, FILE)


def test_examples_take_from_the_task_what_they_leave_open():
    given = LEAST | {
        "fewshot_split": "dev", "target_delimiter": "=",
        "fewshot_config": {"doc_to_text": "Q: {{q}}", "fewshot_delimiter": "\n"},
    }  # fmt: skip
    shots = read_task_settings(given, FILE).few_shot_settings
    assert (shots.split, shots.doc_to_text, shots.doc_to_target) == ("dev", "Q: {{q}}", "a")
    assert (shots.target_delimiter, shots.fewshot_delimiter) == ("=", "\n")


def test_how_to_generate():
    assert sampling().stop == ("\n\n",) and sampling().max_tokens == 256
    assert sampling(until="x").stop == ("x",) and sampling(until=["a", ""]).stop == ("a",)
    assert sampling(max_gen_toks=9, max_tokens=5).max_tokens == 9
    assert sampling(max_new_tokens=7).max_tokens == 7
    assert sampling(do_sample=False, temperature=0.7).temperature == 0.0
    assert sampling(temperature=0.7).temperature == 0.7
    assert sampling(do_sample=True).temperature == 1.0
    found = sampling(do_sample=True, temperature=0.2, top_p=0.9, top_k=40)
    assert (found.temperature, found.top_p, found.top_k) == (0.2, 0.9, 40)
    with pytest.raises(ConfigError, match="generation_kwargs has no key `num_beams`"):
        sampling(num_beams=4)


def test_where_the_rows_lie_on_a_disk_does_not_move_the_digest():
    one = TaskSettings(**LEAST, dataset_kwargs={"data_files": "a.json"})
    two = TaskSettings(**LEAST, dataset_kwargs={"data_files": "b.json"})
    assert prompt_digest(one) == prompt_digest(two)
    assert prompt_digest(one) != prompt_digest(TaskSettings(**LEAST, fewshot_delimiter="\n"))


def reader(has_choices: bool = False, *columns: str) -> FieldReader:
    return FieldReader(Path("t.yaml"), frozenset(columns or ("q", "a")), has_choices)


def test_line_breaks_and_missing_names_are_lm_evals():
    assert _fill_template("a\n", {}) == "a\n" and _fill_template("{{x}}\n\n", {"x": 1}) == "1\n\n"
    assert _fill_template("{{x|regex_replace('o+', '0', 1)}}", {"x": "foo boo"}) == "f0 boo"
    with pytest.raises(DataError, match=r"t\.yaml: doc_to_text cannot be filled in .*'b' is und"):
        reader().text("{{b}}", {"q": 1})


def test_templates_cannot_reach_python():
    row = {"q": "x"}
    for attack in ("{{q.__class__.__mro__}}", "{{q.__init__.__globals__}}", "{{''.__class__}}"):
        with pytest.raises(DataError, match="cannot be filled in"):
            reader().text(attack, row)


@pytest.mark.parametrize(
    "attack",
    [
        "{{ 'a' * 10**10 }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{{ q | wordwrap(1) | wordwrap(10**9) }}",
        "{{ ('a' * 60 ~ 'b') | regex_replace('(a|a)+$', '') }}",
        "{{ ('a' * 99999) | regex_replace('a', 'b' * 99999) }}",
        "{% if q.clear() %}{% endif %}{{ q.append(1) }}",
    ],
)
def test_templates_have_the_limits_of_chat_templates(attack, monkeypatch):
    monkeypatch.setattr("groundup.tokenizer.imported.sandbox.MOST_SECONDS", 0.3)
    monkeypatch.setattr("groundup.evaluate.task.settings.REGEX_SECONDS", 0.3)
    with pytest.raises(DataError, match="doc_to_text cannot be filled in"):
        reader().text(attack, {"q": "words"})


def test_a_template_that_is_none_is_told():
    with pytest.raises(ConfigError, match="doc_to_text: The task template is invalid"):
        reader().text("{% if %}", {})


def test_a_column_wins_over_a_template():
    row = {"q": ["kept", 1], "a": "0"}
    assert reader().text("q", row) == ["kept", 1]
    assert reader(True).target("a", row) == "0"  # only what a template wrote becomes a number


@pytest.mark.parametrize(
    ("field", "has_choices", "value"),
    [
        ("{{a}}", True, 1),
        ("{{a}}", False, "1"),
        ("{{[a, 'x']}}", False, [1, "x"]),
        ("[not a list]", False, "[not a list]"),
        ("plain", False, "plain"),
        (3, True, 3),
        (["x", "y"], False, ["x", "y"]),
        (TaskCode("own.f", "", lambda row: row["a"] + 1), True, 2),
    ],
)
def test_targets(field: Any, has_choices: bool, value: Any):
    assert reader(has_choices).target(field, {"q": "Q", "a": 1}) == value


def test_digits_that_are_no_number_are_told():
    with pytest.raises(DataError, match="'²' is not the index"):
        reader(True).text("²", {})
    with pytest.raises(DataError, match="'007' is not the index"):
        reader(True).target("007", {})


def test_options():
    row = {"q": ["a", "b"], "a": 1}
    assert reader().choices("q", row) == ["a", "b"]
    assert reader().choices("{{q}}", row) == ["a", "b"]
    assert reader().choices({"A": "x", "B": "y"}, row) == ["x", "y"]
    with pytest.raises(DataError, match="quote `yes` and `no`"):
        reader().choices([False, True], row)
    with pytest.raises(DataError, match="must give a list"):
        reader().choices("a and b", row)


def test_prefixes_are_columns_or_templates():
    row = {"q": "Q", "a": None}
    assert reader().prefix("q", row) == "Q" and reader().prefix("a", row) == ""
    assert reader().prefix("So {{q}}", row) == "So Q" and reader().prefix(None, row) == ""


class Echo:
    """The smallest task: say the word again."""

    def __init__(self, name: str = "echo") -> None:
        self.name = name

    kind: RequestKind = "generate_until"
    version = "1"
    signature = "shots:0"
    measures = (TaskMeasure("same", "none", "higher", "share", "mean", "same"),)
    sampling = Sampling(max_tokens=4, stop=("\n",))
    repeats = 1

    def items(self, model: TextModel | None, limit: int | None) -> Iterator[TaskItem]:
        words = ["one", "two"][:limit]
        return (TaskItem(w, "", f"Say {w}:", (), w, {"word": w}) for w in words)

    def score(self, item: TaskItem, answers: Sequence[Response]) -> ItemScores:
        answer = answers[0]
        if isinstance(answer, Completion):
            return ItemScores(
                {"none": answer.text}, {"same": float(answer.text == item.target)}, {}
            )
        return ItemScores({}, {}, {"same": Reason("no_answer", "none")})


def test_a_task_needs_no_base_class():
    task = Echo()
    assert isinstance(task, EvaluationTask)
    item = next(task.items(None, 1))
    assert task.score(item, [Completion("one", "stop", 1)]).scores == {"same": 1.0}
    assert task.score(item, [Reason("x", "y")]).undefined["same"].code == "no_answer"


def test_keys_of_scores_name_the_filter_unless_there_is_none():
    assert Echo.measures[0].key == "same"
    assert TaskMeasure("em", "strict", "higher", "share", "mean", "").key == "em,strict"


def test_a_group_yields_each_task_once_in_order():
    a, b, c = Echo("a"), Echo("b"), Echo("c")
    inner = TaskGroup("inner", (b, a))
    assert [task.name for task in TaskGroup("outer", (a, inner, c)).tasks()] == ["a", "b", "c"]


TURNS = [
    PromptTurn("system", "S"),
    *example_turns("q1", "a1", None, "", " ", "\n\n"),
    *question_turns("q2", "", " "),
]


def test_plain_text_is_joined_by_delimiters():
    assert render_turns(TURNS, ChatOptions(), None) == "Sq1 a1\n\nq2"


def test_examples_as_turns_or_in_one_turn():
    turns = render_turns(TURNS, ChatOptions(True), Fake())
    assert turns == (
        "<system>S</system><user>q1</user><assistant>a1</assistant><user>q2</user><assistant>"
    )
    one = render_turns(TURNS, ChatOptions(True, multiturn=False), Fake())
    assert one == "<system>S</system><user>q1 a1\n\nq2</user><assistant>"


def test_the_beginning_of_an_answer_follows_the_template():
    turns = [*TURNS[:-1], *question_turns("q2", "So:", " ")]
    assert render_turns(turns, ChatOptions(), None).endswith("q2 So:")
    assert render_turns(turns, ChatOptions(True), Fake()).endswith("<user>q2</user><assistant>So:")
    assert _merge_turns(turns)[-1] == PromptTurn("assistant", "So:")
    assert example_turns("q", "a", None, "So:", "\n", "")[1].content == "So: a"
    assert question_turns("q ", "So:", " ")[0].delimiter == ""


def test_answers_are_texts_the_first_of_several_or_options():
    assert example_turns("q", 1, ["x", "y"], "", " ", "")[1].content == "y"
    assert example_turns("q", ["b", "c"], None, "", " ", "")[1].content == "b"
    assert example_turns("q", "", None, "", " ", "") == [PromptTurn("user", "q")]
    for wrong in (2.5, [], [3]):
        with pytest.raises(DataError, match="answer must be a text"):
            example_turns("q", wrong, None, "", " ", "")
    with pytest.raises(DataError, match="no option 2 among 2"):
        example_turns("q", 2, ["x", "y"], "", " ", "")


def test_a_question_must_be_a_text():
    with pytest.raises(DataError, match="must give a text here"):
        question_turns(None, "", " ")


def test_white_space_is_not_doubled():
    assert (
        join_texts("a", "b") == "a b"
        and join_texts("a\n", "b") == "a\nb"
        and join_texts("a", "") == "a"
    )
    assert not _needs_delimiter("", "x")


def test_a_template_needs_a_model():
    with pytest.raises(ConfigError, match="needs a model"):
        render_turns(TURNS, ChatOptions(True), None)
    assert ChatOptions(True, False).signature() == "template:one_turn|system:no"
