import random

from groundup.align import phrases
from groundup.align.phrases import fence_code, fill_phrasing


def test_held_out_phrasings_are_none_of_training():
    held_out = {phrase.replace("`", "") for phrase in phrases.NAME_HELD_OUT}
    assert not held_out & {phrase.replace("`", "") for phrase in phrases.NAME + phrases.NAME_NEXT}


def test_every_phrasing_takes_its_parts():
    for group in (phrases.NAME, phrases.NAME_HELD_OUT, phrases.NAME_NEXT):
        assert all("json.dumps" in phrase.format(name="json.dumps") for phrase in group)
    for phrase in phrases.WRITE:
        filled = phrase.format(thing="function", identifier="dumps", docstring="Write it.")
        assert "`dumps`" in filled and filled.endswith("Write it.")
    for phrase in phrases.TOPIC:
        assert "Names" in phrase.format(title="Names")


def test_asking_is_decided_by_the_generator():
    asked = [fill_phrasing(phrases.NAME, random.Random(3), {"name": "a.b_c"}) for _ in range(2)]
    assert asked[0] == asked[1] and "a.b_c" in asked[0]


def test_code_stands_between_fences():
    assert fence_code("x = 1") == "```python\nx = 1\n```"
