"""What an answer to a name that does not exist is, and how to tell it.

Made-up names are put together in groundup.corpus, where a test set's unanswerable questions come
from too, so that no name is refused here and asked there in another shape.
"""

from groundup.corpus import identifier_words

REFUSAL_TEXT = "I do not know that name: it is not in the documents I was trained on."
"""It does not repeat the name: a small model that copies an unknown one may lose its way in it."""


def is_refusal(answer: str) -> bool:
    """Whether an answer refuses, by the beginning of the refusal sentence.

    >>> is_refusal(REFUSAL_TEXT), is_refusal("The documents say: Return the largest item.")
    (True, False)
    """
    return answer.strip().startswith(REFUSAL_TEXT.partition(":")[0])


def count_alphabetic_words(identifier: str) -> int:
    """Number of words, numbers not counted.

    >>> count_alphabetic_words("uuid4"), count_alphabetic_words("get_type_hints")
    (1, 3)
    """
    return sum(word.isalpha() for word in identifier_words(identifier))
