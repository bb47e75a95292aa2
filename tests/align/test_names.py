from groundup.align.names import REFUSAL_TEXT, count_alphabetic_words, is_refusal


def test_the_refusal_is_recognised_and_nothing_else_is():
    assert is_refusal(REFUSAL_TEXT)
    assert is_refusal("\n" + REFUSAL_TEXT[:30])
    assert not is_refusal("I know `a.b`.") and not is_refusal("")


def test_numbers_are_no_spelled_words():
    assert [count_alphabetic_words(name) for name in ("uuid4", "read_text2", "_")] == [1, 2, 0]
