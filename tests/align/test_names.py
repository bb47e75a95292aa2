from groundup.align.names import REFUSAL, is_refusal, spelled_words


def test_the_refusal_is_recognised_and_nothing_else_is():
    assert is_refusal(REFUSAL)
    assert is_refusal("\n" + REFUSAL[:30])
    assert not is_refusal("I know `a.b`.") and not is_refusal("")


def test_numbers_are_no_spelled_words():
    assert [spelled_words(name) for name in ("uuid4", "read_text2", "_")] == [1, 2, 0]
