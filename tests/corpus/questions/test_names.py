import random

from groundup.corpus.questions.names import (
    count_identifiers,
    identifier_style,
    identifier_words,
    make_up_name,
    word_pools,
)

REAL = ["read_text", "write_bytes", "get_type_hints", "JSONDecoder", "TextReader", "setUpClass",
        "--no-color", "--dry-run"]  # fmt: skip


def test_a_made_up_name_exists_nowhere_and_looks_like_its_model():
    pools, rng = word_pools(REAL), random.Random(0)
    taken = set(REAL)
    for identifier in REAL:
        outer = "" if identifier.startswith("-") else "pathlib.Path."
        made = make_up_name(outer + identifier, pools, taken, rng)
        last = made.removeprefix(outer)
        assert made.startswith(outer) and last not in REAL
        assert identifier_style(last) == identifier_style(identifier) and len(
            identifier_words(last)
        ) == len(identifier_words(identifier))
        assert set(identifier_words(last)) <= {
            word for name in REAL for word in identifier_words(name)
        }


def test_no_made_up_name_is_made_twice():
    pools = word_pools(["read_text", "write_bytes"])
    taken = {"read_text", "write_bytes"}
    made = {make_up_name("a.read_text", pools, taken, random.Random(i)) for i in range(2)}
    assert made == {"a.read_bytes", "a.write_text"}
    assert make_up_name("a.read_text", pools, taken, random.Random(0)) == ""


def test_identifiers_are_counted_as_words_and_options_whole():
    counts = count_identifiers(["read_text(x); read_text2 --dry-run", "x = read_text"])
    assert counts["read_text"] == 2 and counts["x"] == 2 and counts["2"] == 0
    assert counts["--dry-run"] == 1
