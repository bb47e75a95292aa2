from groundup.corpus.questions.verbs import VERBS, is_action, is_verb


def test_verbs_are_known_in_both_forms():
    assert all(is_verb(word) for word in ("copy", "Copies", "passes", "Sets", "tries"))
    assert not any(is_verb(word) for word in ("Maximum", "the", "similar", "", "Class"))


def test_the_list_holds_words_alone_in_order():
    assert all(word.isalpha() and word.islower() for word in VERBS)


def test_a_noun_that_looks_like_a_verb_is_no_deed():
    assert not is_action("Lookup registration can also be done by a decorator.")
    assert is_action("Check whether it is done.") and is_action("Checks if it can be done.")
