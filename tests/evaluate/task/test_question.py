"""Questions become prompts and pairs; answers agree with a second way to find them."""

import ast
import operator
import random
import re
from collections import Counter
from fractions import Fraction
from itertools import islice, product

import pytest

from groundup.core import Completion, ConfigError, Likelihood, LoglikelihoodRequest, Reason
from groundup.evaluate.task import question
from groundup.evaluate.task.question import (
    QuestionSource,
    QuestionTask,
    TaskQuestion,
    _normalise_answer,
)
from groundup.evaluate.task.task import ChatOptions, EvaluationTask, TaskOptions


def doubled(stream: random.Random):
    while True:
        n = stream.randrange(1000)
        yield TaskQuestion(f"2 x {n}?", str(2 * n))


def coloured(stream: random.Random):
    return [TaskQuestion(f"Colour {n}?", "red", ("red", "blue"), f"g{n % 2}") for n in range(6)]


TEXT = QuestionSource(doubled, "Answer with the number.", r"-?\d[\d,]*")
CHOICE = QuestionSource(coloured, "", "", default_count=6, is_choice=True)


def task(questions: QuestionSource = TEXT, **asked) -> QuestionTask:
    return QuestionTask("doubles", TaskOptions(**asked), questions)


def test_it_is_a_task():
    assert isinstance(task(), EvaluationTask) and isinstance(task(CHOICE), EvaluationTask)
    assert task().kind == "generate_until" and task(CHOICE).kind == "multiple_choice"
    assert [m.key for m in task().measures] == ["exact_match", "exact_match,last"]
    assert [m.key for m in task(CHOICE).measures] == ["acc", "acc_norm"]


def test_a_prompt_is_instruction_examples_and_the_question():
    (item,) = task(few_shot=2).items(None, 1)
    blocks = item.prompt.split("\n\n")
    assert blocks[0] == "Answer with the number." and len(blocks) == 4
    assert all("\nAnswer: " in block for block in blocks[1:3]) and blocks[3].endswith("\nAnswer:")
    assert item.document["question"] in blocks[3] and item.pairs == ()
    assert next(task(few_shot=0).items(None, 1)).prompt.count("Question:") == 1
    assert "shots:2|template:no" in task(few_shot=2).signature


def test_a_limit_may_exceed_the_common_number_of_endless_questions():
    assert len(list(task().items(None, None))) == 500
    assert len(list(task().items(None, 501))) == 501
    assert len(list(task(CHOICE).items(None, 100))) == 6
    assert [item.id for item in task().items(None, 3)] == ["0", "1", "2"]


def test_options_are_pairs_after_the_same_prompt():
    (item,) = task(CHOICE, few_shot=0).items(None, 1)
    assert item.pairs == (
        LoglikelihoodRequest(item.prompt, " red"),
        LoglikelihoodRequest(item.prompt, " blue"),
    )
    assert item.target == 0 and item.group == "g0" and item.prompt == "Question: Colour 0?\nAnswer:"


def test_no_example_is_the_question_itself():
    for item in task(CHOICE, few_shot=5).items(None, None):
        assert item.prompt.count(item.document["question"]) == 1
        assert item.prompt.count("Question:") == 6


def test_a_chat_needs_a_model_that_renders_it():
    with pytest.raises(ConfigError, match="needs a model"):
        list(task(chat=ChatOptions(apply_template=True)).items(None, 1))
    assert task(chat=ChatOptions(apply_template=True)).sampling.stop == ()
    assert (
        task().sampling.stop and task(chat=ChatOptions(apply_template=True)).answer_delimiter == ""
    )


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        (" 1234", 1.0, 1.0),
        (" 1,234.\nQuestion", 1.0, 1.0),
        ("Two times 617 is 1234", 0.0, 1.0),
        ("1234 is 2 x 617", 0.0, 0.0),
        ("about 12345", 0.0, 0.0),
        ("no idea", 0.0, 0.0),
        ("", 0.0, 0.0),
    ],
)
def test_an_answer_is_read_in_two_ways(text: str, first: float, last: float):
    (item,) = task().items(None, 1)
    item = item._replace(target="1234")
    scored = task().score(item, [Completion(text, "stop", 3)])
    assert scored.scores == {"exact_match": first, "exact_match,last": last}
    assert scored.unparsed == (() if any(sign.isdigit() for sign in text) else ("last",))


def test_the_likeliest_option_is_chosen():
    (item,) = task(CHOICE).items(None, 1)
    asked = [Likelihood(-1.9, True, 1), Likelihood(-2.0, False, 1)]
    assert task(CHOICE).score(item, asked).scores == {"acc": 1.0, "acc_norm": 0.0}


def test_a_failed_request_leaves_every_measure_open():
    (item,) = task().items(None, 1)
    reason = Reason("timeout", "no answer")
    assert task().score(item, [reason]).undefined == {
        "exact_match": reason, "exact_match,last": reason,
    }  # fmt: skip


def test_what_does_not_matter_is_gone():
    assert (
        _normalise_answer("43 93, 113") == "43 93 113"
        and _normalise_answer("Red Ball.") == "red ball"
    )
    assert _normalise_answer("-1,000") == "-1000" and _normalise_answer("1,00") == "1 00"


def test_more_examples_than_there_are_is_refused():
    """Two hundred are drawn, and the question itself is never among its examples."""
    with pytest.raises(ConfigError, match="--few-shot 201 exceeds the"):
        next(iter(task(few_shot=201).items(None, 1)))


LEVELS = (1, 2, 3, 5)
OPERATIONS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul}


def questions(make: question.QuestionMaker, level: int, count: int = 300) -> list[TaskQuestion]:
    stream = random.Random(f"{make.__name__}/{level}")
    return list(islice(question.question_stream(make, level)(stream), count))


def evaluated(node: ast.AST) -> int:
    if isinstance(node, ast.BinOp):
        return OPERATIONS[type(node.op)](evaluated(node.left), evaluated(node.right))
    assert isinstance(node, ast.Constant) and isinstance(node.value, int)
    return node.value


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("make", [question.arithmetic, question.expression])
def test_sums_are_right_and_as_long_as_the_level_says(make: question.QuestionMaker, level: int):
    for each in questions(make, level):
        text = each.text.removeprefix("What is ").removesuffix("?")
        tree = ast.parse(text, mode="eval").body
        assert evaluated(tree) == int(each.answer), each
        operations = sum(isinstance(node, ast.BinOp) for node in ast.walk(tree))
        assert operations == (1 if make is question.arithmetic else level + 1)
        assert max(len(digits) for digits in re.findall(r"\d+", text)) <= level or operations > 1


@pytest.mark.parametrize("level", LEVELS)
def test_the_larger_is_larger(level: int):
    found = questions(question.comparison, level)
    for each in found:
        a, b = (Fraction(option) for option in each.options)
        assert a != b and Fraction(each.answer) == max(a, b) and each.answer in each.options
        assert f"{each.options[0]} or {each.options[1]}?" in each.text
    misleading = [e for e in found if len(e.answer) < max(map(len, e.options))]
    assert level == 1 or len(misleading) > len(found) / 20


@pytest.mark.parametrize("level", LEVELS)
def test_sorted_is_a_permutation_in_order(level: int):
    for each in questions(question.sorting, level):
        given = [int(n) for n in each.text.partition(": ")[2].split()]
        found = [int(n) for n in each.answer.split()]
        assert Counter(given) == Counter(found) and len(given) == 2 * level + 1
        assert all(a <= b for a, b in zip(found, found[1:], strict=False))


@pytest.mark.parametrize("level", LEVELS)
def test_letters_are_counted_one_by_one(level: int):
    found = questions(question.counting, level)
    for each in found:
        letter, words = re.findall(r'"(.*?)"', each.text)
        assert sum(sign == letter for sign in words) == int(each.answer)
        assert len(words.split()) == level
    assert any(each.answer == "0" for each in found)


def day_number(text: str) -> int:
    """Days since 1 March of the year 0, by counting years, leap days and months."""
    year, month, day = map(int, text.split("-"))
    year, month = (year, month - 3) if month > 2 else (year - 1, month + 9)
    leap_days = year // 4 - year // 100 + year // 400
    return 365 * year + leap_days + (153 * month + 2) // 5 + day - 1


@pytest.mark.parametrize("level", LEVELS)
def test_dates_are_so_many_days_apart(level: int):
    for each in questions(question.dates, level):
        days, way, start = re.findall(r"is (\d+) days? (after|before) (\S+)\?", each.text)[0]
        apart = day_number(each.answer) - day_number(start)
        assert apart == (int(days) if way == "after" else -int(days)), each
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", each.answer)


STEPS = {
    r"\w+ has (\d+) \w+\.": lambda have, n: n,
    r"\w+ finds (\d+) more\.": lambda have, n: have + n,
    r"\w+ buys (\d+) bags with (\d+) \w+ each\.": lambda have, n, m: have + n * m,
    r"\w+ gives \w+ twice as many as \w+ has\.": lambda have: have + 2 * have,
    r"\w+ gives (\d+) to \w+\.": lambda have, n: have - n,
    r"\w+ loses half of them\.": lambda have: have / 2,
    r"\w+ puts all but (\d+) in a box and leaves it\.": lambda have, n: n,
}


@pytest.mark.parametrize("level", LEVELS)
def test_stories_are_lived_through_sentence_by_sentence(level: int):
    told = Counter()
    for each in questions(question.word_problem, level):
        have = 0
        *sentences, asked = re.split(r"(?<=[.?]) ", each.text)
        assert asked.startswith("How many ") and len(sentences) == level + 2
        for sentence in sentences:
            (pattern,) = [one for one in STEPS if re.fullmatch(one, sentence)]
            match = re.fullmatch(pattern, sentence)
            assert match
            have = STEPS[pattern](have, *map(int, match.groups()))
            assert have >= 0 and have == int(have)
            told[pattern] += 1
        assert have == int(each.answer), each
    assert set(told) == set(STEPS)


@pytest.mark.parametrize("level", LEVELS)
def test_python_agrees_on_what_is_true(level: int):
    found = questions(question.boolean_expression, level)
    for each in found:
        text = each.text.partition(": ")[2]
        assert set(re.findall(r"\w+", text)) <= {"True", "False", "and", "or", "not"}
        assert str(eval(text, {"__builtins__": {}})) == each.answer
        assert len(re.findall("and|or|not", text)) == level + 1
    assert 0.3 < sum(each.answer == "True" for each in found) / len(found) < 0.7


QUANTIFIERS = {
    r"All (\w+) are (\w+)": lambda a, b: a <= b,
    r"No (\w+) are (\w+)": lambda a, b: not a & b,
    r"Some (\w+) are (?!not )(\w+)": lambda a, b: bool(a & b),
    r"Some (\w+) are not (\w+)": lambda a, b: bool(a - b),
}


def follows(premises: list[str], conclusion: str) -> bool:
    """Whether no assignment of subsets of three things makes the premises true and it false."""
    names = sorted({word for text in [*premises, conclusion] for word in terms(text)})
    subsets = [frozenset(i for i in range(3) if bits >> i & 1) for bits in range(8)]
    for chosen in product(subsets, repeat=len(names)):
        world = dict(zip(names, chosen, strict=True))
        if all(holds(text, world) for text in premises) and not holds(conclusion, world):
            return False
    return True


def terms(text: str) -> tuple[str, ...]:
    for pattern in QUANTIFIERS:
        if match := re.fullmatch(pattern, text):
            return match.groups()
    raise AssertionError(text)


def holds(text: str, world: dict[str, frozenset[int]]) -> bool:
    for pattern, test in QUANTIFIERS.items():
        if match := re.fullmatch(pattern, text):
            return test(*(world[name] for name in match.groups()))
    raise AssertionError(text)


def renamed(key: tuple[str, ...]) -> tuple[str, ...]:
    """The same argument whatever its kinds are called."""
    text = "|".join(key)
    for number, name in enumerate(dict.fromkeys(re.findall(r"\w+s\b", text))):
        text = re.sub(rf"\b{name}\b", f"k{number}", text)
    return tuple(text.split("|"))


def test_syllogisms_agree_with_models_of_sets():
    known: dict[tuple, bool] = {}
    found = questions(question.syllogism, 1)
    for each in found:
        start, _, told = each.text.partition(". ")
        told, _, conclusion = told.partition(" Does it follow: ")
        premises = [part.rstrip(".") for part in told.split(". ")]
        key = (*sorted(premises), conclusion)
        plain = renamed(key)
        if plain not in known:
            known[plain] = follows(premises, conclusion.rstrip("?"))
        assert known[plain] == (each.answer == "yes"), each
    assert 0.35 < sum(each.answer == "yes" for each in found) / len(found) < 0.65


def test_the_known_fifteen_of_256_forms_are_valid():
    found = question._syllogisms_by_validity()
    assert (len(found[True]), len(found[False])) == (15, 241)
    barbara = tuple(question.SyllogismStatement(0, *ends) for ends in ((1, 0), (2, 1), (2, 0)))
    moved = {tuple(sorted((one, two))) + (end,) for one, two, end in found[True]}
    swapped = tuple(
        sorted((question.SyllogismStatement(0, 1, 0), question.SyllogismStatement(0, 2, 1)))
    )
    assert (*swapped, barbara[2]) in moved


@pytest.mark.parametrize("level", [2, 5])
def test_idle_premises_are_about_other_kinds(level: int):
    for each in questions(question.syllogism, level, 50):
        told, _, conclusion = each.text.partition(" Does it follow: ")
        premises = [part.rstrip(".") for part in told.split(". ")[1:]]
        assert len(premises) == 2 + level - 1
        linked = set(terms(conclusion.rstrip("?")))
        for _ in premises:
            linked |= {w for p in premises if set(terms(p)) & linked for w in terms(p)}
        assert len(linked) == 3
        relevant = [p for p in premises if set(terms(p)) <= linked]
        assert len(relevant) == 2 and all(
            p.startswith("All ") for p in premises if p not in relevant
        )


@pytest.mark.parametrize("level", LEVELS)
def test_a_replay_of_the_swaps_ends_with_the_same_ball(level: int):
    for each in questions(question.object_tracking, level):
        place = {
            ball: person for person, ball in re.findall(r"(\w+) has the ([\w ]+)\.", each.text)
        }
        swaps = re.findall(r"(\w+) and (\w+) swap", each.text)
        assert len(swaps) == 2 * level
        for a, b in swaps:
            place = {ball: {a: b, b: a}.get(who, who) for ball, who in place.items()}
        (asked,) = re.findall(r"does (\w+) have", each.text)
        assert place[each.answer] == asked and set(each.options) == set(place)
