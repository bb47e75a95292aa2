"""The tables of LaTeX commands: well formed, and no command with two meanings."""

import pytest

from groundup.documents.articles import commands

SETS = "definitions affiliations notes references not_citations tables verbatim dropped maths"
GROUPED = "arguments environment_arguments headings breaking floats".split()
MAPPED = "accents signs symbols ligatures".split()


def test_argument_lists_are_words_of_three_letters():
    tables = {**commands.ARGUMENTS, **commands.ENVIRONMENT_ARGUMENTS}
    assert all(set(word) <= set("omk") for word in tables.values())


def test_a_command_has_one_meaning():
    groups = [
        commands.HEADINGS,
        commands.NOTES,
        commands.AFFILIATIONS,
        commands.REFERENCES,
        commands.SYMBOLS,
    ]
    for number, one in enumerate(groups):
        for other in groups[number + 1 :]:
            assert not set(one) & set(other)


def test_the_file_has_these_tables():
    assert set(commands._TABLES) == {*SETS.split(), *GROUPED, *MAPPED}
    for table in [commands._TABLES[name] for name in (*GROUPED, *MAPPED)]:
        assert all(isinstance(value, str) for value in table.values())


@pytest.mark.parametrize("name", [*SETS.split(), *GROUPED])
def test_a_command_is_listed_once(name):
    table = commands._TABLES[name]
    words = (table if isinstance(table, str) else " ".join(table.values())).split()
    assert sorted(set(words)) == sorted(words)
