"""A repository's files come from its objects; nothing that it says is run or followed."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from groundup.documents import Record, Rejected
from groundup.documents.readers import git as git_reader
from groundup.documents.readers.git import SAFE_ENVIRONMENT, Git, GitConfig

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")


def git(where: Path, *words: str, stdin: Path = Path(os.devnull)) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main")
    env = SAFE_ENVIRONMENT | {"GIT_COMMITTER_DATE": "2026-01-02T00:00:00Z",
                           "GIT_AUTHOR_DATE": "2026-01-02T00:00:00Z"}  # fmt: skip
    env.pop("GIT_ALLOW_PROTOCOL")
    done = subprocess.run(["git", *identity, *words], cwd=where, env=env, check=True,
                          capture_output=True, input=stdin.read_bytes())  # fmt: skip
    return done.stdout.decode().strip()


@pytest.fixture
def repository(tmp_path) -> Path:
    where = tmp_path / "repos" / "tool"
    (where / "src").mkdir(parents=True)
    files = {
        "LICENSE": b"MIT License", "src/a.py": "x = 'é'\n".encode(), "src/b.c": b"int x;\n",
        "README.md": b"# Tool", "notes": b"plain", "logo.png": b"\x89PNG", "Makefile": b"all:\n",
        "src/bin.py": b"a\0b", "src/empty.py": b"", "nb.ipynb": b"{}",
    }  # fmt: skip
    for name, data in files.items():
        (where / name).write_bytes(data)
    (where / "link.py").symlink_to("/etc/passwd")
    git(where, "init", "-q")
    git(where, "add", "-A")
    git(where, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},module")
    git(where, "commit", "-q", "-m", "one")
    return where


def all_of(root: Path, config: GitConfig | None = None) -> list[Record | Rejected]:
    reader = Git(config or GitConfig())
    return [one for part in reader.plan(root) for one in reader.read(root, part, "s")]


def test_files_at_head_with_what_is_known_of_them(repository):
    (repository / "src" / "a.py").write_text("changed, not committed")
    found = all_of(repository.parent)
    records = {one.path: one for one in found if isinstance(one, Record)}
    assert {path: one.kind for path, one in records.items()} == {
        "tool/src/a.py": "python", "tool/src/b.c": "code", "tool/nb.ipynb": "notebook",
        "tool/Makefile": "code",
    }  # fmt: skip
    one = records["tool/src/a.py"]
    assert one.text == "x = 'é'\n" and one.map.byte_range(5, 6) == (5, 7)
    assert one.metadata["blob"] == git(repository, "rev-parse", "HEAD:src/a.py")
    assert one.metadata["commit"] == git(repository, "rev-parse", "HEAD")
    assert one.metadata["commit_date"] == "2026-01-02"
    assert one.metadata["licence_files"] == ["LICENSE"]
    assert {one.path: one.reason for one in found if isinstance(one, Rejected)} == {
        "tool/LICENSE": "another kind of file", "tool/README.md": "another kind of file",
        "tool/link.py": "not a regular file", "tool/logo.png": "another kind of file",
        "tool/module": "not a regular file", "tool/notes": "another kind of file",
        "tool/src/bin.py": "binary", "tool/src/empty.py": "empty",
    }  # fmt: skip


def test_all_kinds_on_wish_and_the_root_may_be_the_repository(repository):
    found = all_of(repository, GitConfig(kinds=()))
    kinds = {one.path: one.kind for one in found if isinstance(one, Record)}
    assert kinds["tool/README.md"] == "markdown" and kinds["tool/notes"] == "text"
    bare = repository.parent.parent / "bare.git"
    git(repository, "clone", "-q", "--bare", ".", str(bare))
    again = all_of(bare, GitConfig(kinds=()))
    assert [one.path.partition("/")[2] for one in again] == [
        one.path.partition("/")[2] for one in found
    ]


def test_ranges_give_every_file_once(repository):
    whole = all_of(repository)
    reader = Git(GitConfig(part_bytes=5))
    parts = reader.plan(repository)
    assert len(parts) > 3
    assert [one for part in parts for one in reader.read(repository, part, "s")] == whole


def test_what_a_repository_configures_is_not_run(repository, tmp_path):
    trap = tmp_path / "trap.sh"
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/sprung\ncat\n")
    trap.chmod(0o755)
    (repository / ".gitattributes").write_text("* filter=trap diff=trap text eol=crlf\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "two")
    for key in ("core.fsmonitor", "filter.trap.clean", "filter.trap.smudge", "diff.trap.textconv",
                "core.pager", "core.sshCommand", "core.editor", "core.alternateRefsCommand",
                "alias.cat-file", "uploadpack.packObjectsHook"):  # fmt: skip
        git(repository, "config", key, str(trap))
    git(repository, "config", "extensions.partialClone", "origin")
    git(repository, "config", "remote.origin.url", f"ext::{trap}")
    git(repository, "config", "remote.origin.promisor", "true")
    for hook in ("post-checkout", "pre-commit", "reference-transaction", "post-index-change"):
        shutil.copy(trap, repository / ".git" / "hooks" / hook)
    blob = git(repository, "rev-parse", "HEAD:src/b.c")
    (repository / ".git" / "objects" / blob[:2] / blob[2:]).unlink()  # git would fetch it
    found = {one.path: one for one in all_of(repository)}
    assert found["tool/src/a.py"].text == "x = 'é'\n"
    assert found["tool/src/b.c"].reason == "broken repository"
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_repository_is_told(tmp_path):
    (tmp_path / "none").mkdir()
    assert Git(GitConfig()).plan(tmp_path) == []
    for name in ("empty", "broken"):
        (tmp_path / name).mkdir()
        git(tmp_path / name, "init", "-q")
    (tmp_path / "broken" / ".git" / "HEAD").write_text("ref: refs/heads/../../../../etc/passwd")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / ".git").write_text("gitdir: /etc")
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    found = all_of(tmp_path)
    assert [(one.path, one.reason) for one in found] == [
        ("broken", "broken repository"), ("empty", "broken repository"),
    ]  # fmt: skip


def test_objects_of_another_repository_are_not_read(repository, tmp_path):
    shared = tmp_path / "shared"
    git(tmp_path, "clone", "-q", "--shared", str(repository), str(shared))
    (one,) = all_of(shared)
    assert one.reason == "broken repository" and "another" in one.details


def test_names_that_are_not_utf8_are_spelt_out(repository):
    try:
        with open(os.fsencode(repository) + b"/caf\xe9.py", "wb") as file:
            file.write(b"y = 1\n")
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "three")
    assert "tool/caf\\xe9.py" in {one.path for one in all_of(repository)}


@pytest.mark.parametrize("name", ["config", "refs", "packed-refs", "objects/pack", "shallow"])
def test_links_and_pipes_in_the_repository_s_folder_are_not_followed(repository, tmp_path, name):
    inside = repository / ".git" / name
    if inside.exists():
        shutil.move(inside, tmp_path / "outside")
    inside.symlink_to(tmp_path / "outside")
    (one,) = all_of(repository)
    assert one.reason == "broken repository" and f"{name} in it is a link" in one.details
    inside.unlink()
    os.mkfifo(inside)
    (one,) = all_of(repository)
    assert one.reason == "broken repository" and f"{name} in it is" in one.details


def test_a_tree_that_holds_trees_many_times_over_is_refused(repository, monkeypatch):
    blob = git(repository, "rev-parse", "HEAD:src/b.c")
    lines = [f"100644 blob {blob}\tf{i}.c" for i in range(10)]
    for _ in range(3):
        (repository / "lines").write_text("\n".join(lines) + "\n")
        tree = git(repository, "mktree", stdin=repository / "lines")
        lines = [f"040000 tree {tree}\td{i}" for i in range(10)]
    commit = git(repository, "commit-tree", "-m", "bomb", tree)
    git(repository, "update-ref", "HEAD", commit)
    assert len(all_of(repository)) == 1000
    monkeypatch.setattr(git_reader, "MOST_FILES", 999)
    (one,) = all_of(repository)
    assert one.reason == "too large" and "1000 files" in one.details
    monkeypatch.setattr(git_reader, "MOST_BYTES", 10_000)
    (one,) = all_of(repository)
    assert one.reason == "too large" and "10000 bytes" in one.details
