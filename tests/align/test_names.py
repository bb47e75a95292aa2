import random

from groundup.align.names import (
    REFUSAL,
    count_identifiers,
    is_refusal,
    make_up,
    style,
    word_pools,
    words,
)

REAL = ["read_text", "write_bytes", "get_type_hints", "JSONDecoder", "TextReader", "setUpClass"]


def test_a_made_up_name_exists_nowhere_and_looks_like_its_model():
    pools, rng = word_pools(REAL), random.Random(0)
    taken = set(REAL)
    for identifier in REAL:
        made = make_up(f"pathlib.Path.{identifier}", pools, taken, rng)
        outer, _, last = made.rpartition(".")
        assert outer == "pathlib.Path" and last not in REAL
        assert style(last) == style(identifier) and len(words(last)) == len(words(identifier))
        assert set(words(last)) <= {word for name in REAL for word in words(name)}


def test_no_made_up_name_is_made_twice():
    pools = word_pools(["read_text", "write_bytes"])
    taken = {"read_text", "write_bytes"}
    made = {make_up("a.read_text", pools, taken, random.Random(i)) for i in range(2)}
    assert made == {"a.read_bytes", "a.write_text"}
    assert make_up("a.read_text", pools, taken, random.Random(0)) == ""


def test_the_refusal_is_recognised_and_nothing_else_is():
    assert is_refusal(REFUSAL)
    assert is_refusal("\n" + REFUSAL[:30])
    assert not is_refusal("I know `a.b`.") and not is_refusal("")


def test_identifiers_are_counted_as_words():
    counts = count_identifiers(["read_text(x); read_text2", "x = read_text"])
    assert counts["read_text"] == 2 and counts["x"] == 2 and counts["2"] == 0
