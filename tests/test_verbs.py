"""The table of verbs: groups in the order of the work, and pages that tell of each verb."""

import re

import pytest

from groundup.core.errors import COMMAND_OF_KIND
from groundup.verbs import GROUPS, PAGES, VERBS, _docs_address, contents, usage, verbs_below


@pytest.mark.parametrize("words", ["testset", "testset --help", "model -h", "examples --help"])
def test_a_word_that_begins_verbs_lists_them(words, run):
    code, out, err = run(*words.split())
    name = words.split()[0]
    inside = [verb for verb in VERBS if verb.name.startswith(f"{name} ")]
    assert (code, err) == (0, "") and len(out.split("\n\n")[0].splitlines()) == len(inside)
    assert all(verb.name in out and verb.help in out for verb in inside)
    assert run(name, "nothing")[0] == 2


@pytest.mark.parametrize("group", sorted({name.split()[0] for name in PAGES} - set(PAGES)))
def test_the_page_of_a_word_that_begins_verbs_has_an_example_and_a_page_of_the_docs(
    group, run, root, monkeypatch
):
    monkeypatch.chdir(root)
    out, first = run(group, "--help")[1], verbs_below(group)[0]
    assert f"\n\nExample:\n  groundup {first.name} {first.example}\n\nDocs: docs/" in out
    assert (root / out.split("Docs: ")[1].strip()).is_file()


def test_the_docs_address_is_a_path_where_the_docs_are_and_a_name_elsewhere(root, monkeypatch):
    monkeypatch.chdir(root)
    assert _docs_address("retrieve") == "docs/reference/retrieve.md"
    monkeypatch.chdir("/")
    assert _docs_address("retrieve").endswith("docs/reference/retrieve.md")
    assert _docs_address("nowhere") == "docs/reference/nowhere.md in the project's repository"


def test_the_contents_stand_in_groups_in_the_order_of_the_work_a_line_a_verb():
    page = usage()
    places = [page.index(f"\n{group.title}\n") for group in GROUPS]
    assert places == sorted(places)
    order = ["prepare", "tokenizer", "pretrain", "finetune", "ask", "evaluate", "gate", "release"]
    lines = page.splitlines()
    rows = [line.split("  ")[1] for line in lines if re.match(r"  [a-z]+( [a-z]+)?  ", line)]
    assert rows == [verb.name for verb in VERBS]
    assert [name for name in rows if name in order] == order
    assert max(map(len, page.splitlines()[3:-4])) <= 80


def test_the_table_alone_answers_help_and_version(run):
    assert contents([]) == contents(["--help"]) == contents(["help"]) == usage()
    assert contents(["--version"]) == run("-V")[1].strip()
    assert contents(["corpus", "--help"]) is contents(["ask"]) is contents(["zzz"]) is None


def test_the_help_of_a_verb_lists_the_verbs_below_it(run):
    for name in ("corpus", "tokens", "checkpoints", "tasks"):
        out = run(name, "--help")[1]
        assert verbs_below(name)
        assert all(f"  {verb.name}  " in out and verb.help in out for verb in verbs_below(name))
    assert "Commands below" not in run("ask", "--help")[1]


def test_each_verb_s_page_is_there_and_tells_of_it(root):
    for name, page in PAGES.items():
        text = (root / "docs/reference" / f"{page}.md").read_text(encoding="utf-8")
        assert re.search(rf"groundup {name}(?![\w-])", text), f"docs/{page}.md lacks {name}"


def test_errors_name_commands_that_exist():
    named = re.findall(r"groundup ([a-z ]+)`", " ".join(COMMAND_OF_KIND.values()))
    assert named and set(named) <= set(PAGES)
