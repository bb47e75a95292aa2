"""The tables of LaTeX commands: well formed, and no command with two meanings."""

from groundup.documents.articles import commands


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
