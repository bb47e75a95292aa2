"""Generated questions about numbers: sums, expressions, order, counting, dates, word problems.

Every family has levels from 1: more digits, longer expressions, more steps. Questions are
unlimited, and equal seeds give equal questions on every machine.
"""

import random
from collections.abc import Callable, Iterator
from datetime import date, timedelta

from .question import TaskQuestion

INTEGER_PATTERN = r"-?\d[\d,]*"
"""An integer in text, with or without commas."""
QuestionMaker = Callable[[random.Random, int], TaskQuestion]

WORDS = (
    "banana", "letter", "committee", "mississippi", "parallel", "balloon", "excellence",
    "assessment", "bookkeeper", "rhythm", "onomatopoeia", "strawberry", "referee", "tattoo",
)  # fmt: skip
PEOPLE = ("Ada", "Ben", "Chloe", "Dan", "Eva", "Finn", "Grace", "Hugo", "Ida", "Jon")
THINGS = ("apples", "books", "coins", "marbles", "pencils", "shells", "stamps", "stickers")


def question_stream(
    make: QuestionMaker, level: int
) -> Callable[[random.Random], Iterator[TaskQuestion]]:
    """An endless iterator over a maker's questions."""

    def draw(stream: random.Random) -> Iterator[TaskQuestion]:
        while True:
            yield make(stream, level)

    return draw


def arithmetic(stream: random.Random, level: int) -> TaskQuestion:
    """One operation on two numbers of up to `level` digits."""
    a, b = (stream.randrange(10 ** stream.randint(1, level)) for _ in range(2))
    sign, value = stream.choice([("+", a + b), ("-", a - b), ("*", a * b)])
    return TaskQuestion(f"What is {a} {sign} {b}?", str(value))


def expression(stream: random.Random, level: int) -> TaskQuestion:
    """A nested expression of `level` + 1 operations on one-digit numbers."""

    def grow(operations: int) -> tuple[str, int]:
        if not operations:
            value = stream.randrange(10)
            return str(value), value
        left = stream.randrange(operations)
        (a, x), (b, y) = grow(left), grow(operations - 1 - left)
        sign, value = stream.choice([("+", x + y), ("-", x - y), ("*", x * y)])
        return f"({a} {sign} {b})", value

    text, value = grow(level + 1)
    return TaskQuestion(f"What is {text[1:-1]}?", str(value))


def comparison(stream: random.Random, level: int) -> TaskQuestion:
    """The larger of two different decimals of up to `level` places, where length misleads."""

    def decimal(whole: int) -> str:
        places = stream.randint(0, level)
        return str(whole) + (f".{stream.randrange(10**places):0{places}d}" if places else "")

    whole = stream.randrange(100)
    a = b = decimal(whole)
    while float(a) == float(b):
        b = decimal(whole if level > 1 else stream.randrange(100))
        a = decimal(whole)
    larger = a if float(a) > float(b) else b
    return TaskQuestion(f"Which is larger, {a} or {b}?", larger, (a, b))


def sorting(stream: random.Random, level: int) -> TaskQuestion:
    """2 · `level` + 1 numbers in ascending order."""
    numbers = [stream.randrange(-10 * level, 100 * level) for _ in range(2 * level + 1)]
    order = " ".join(map(str, sorted(numbers)))
    return TaskQuestion(f"Sort in ascending order: {' '.join(map(str, numbers))}", order)


def counting(stream: random.Random, level: int) -> TaskQuestion:
    """Occurrences of a letter in `level` words."""
    words = " ".join(stream.choice(WORDS) for _ in range(level))
    letter = stream.choice(words.replace(" ", "") if stream.random() < 0.8 else "aeioust")
    text = f'How many times does the letter "{letter}" occur in "{words}"?'
    return TaskQuestion(text, str(words.count(letter)))


def dates(stream: random.Random, level: int) -> TaskQuestion:
    """The day up to 10 to the power of `level` days away, over months, years and leap days."""
    day = date(1900, 1, 1) + timedelta(days=stream.randrange(73_000))
    days = stream.randint(1, 10 ** min(level, 4))
    direction, sign = stream.choice([("after", 1), ("before", -1)])
    plural = "s" if days > 1 else ""
    text = f"Which date is {days} day{plural} {direction} {day.isoformat()}? Answer as YYYY-MM-DD."
    return TaskQuestion(text, (day + timedelta(days=sign * days)).isoformat())


def word_problem(stream: random.Random, level: int) -> TaskQuestion:
    """A word problem of `level` + 1 steps, without negative amounts."""
    person, other = stream.sample(PEOPLE, 2)
    things = stream.choice(THINGS)
    value = stream.randint(5, 30)
    sentences = [f"{person} has {value} {things}."]
    for _ in range(level + 1):
        n, m = stream.randint(2, 9), stream.randint(2, 9)
        steps = [
            (f"{person} finds {n} more.", value + n),
            (f"{person} buys {n} bags with {m} {things} each.", value + n * m),
            (f"{other} gives {person} twice as many as {person} has.", 3 * value),
        ]
        steps += [(f"{person} gives {n} to {other}.", value - n)] if value >= n else []
        steps += [(f"{person} loses half of them.", value // 2)] if value and not value % 2 else []
        steps += [(f"{person} puts all but {n} in a box and leaves it.", n)] if value > n else []
        text, value = stream.choice(steps)
        sentences.append(text)
    return TaskQuestion(
        f"{' '.join(sentences)} How many {things} does {person} have now?", str(value)
    )
