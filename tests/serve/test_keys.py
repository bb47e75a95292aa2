"""Keys are shown once and kept as hashes; a running server sees every change of their file."""

import json
import os
import re
import stat
import subprocess
from datetime import UTC, datetime, timedelta

import pytest

from groundup.core import ConfigError, child
from groundup.serve.keys import KeyRing, add_key, list_keys, revoke_key, rotate_key


@pytest.fixture
def path(tmp_path):
    return tmp_path / "made" / "keys.json"


def test_a_key_is_shown_once_and_only_its_hash_is_kept(path):
    new = add_key(path, "ann")
    assert re.fullmatch(r"gu-[\w-]{43}", new.key) and str(new).startswith(new.key + "\n")
    assert new.key[3:] not in path.read_text() and new.key not in str(list_keys(path))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KeyRing(path).find(new.key).name == "ann"
    assert {add_key(path, f"n{at}").key for at in range(5)} & {new.key} == set()


@pytest.mark.parametrize(
    "wrong", ["", "gu-", "gu-x", "é", "\udcff".encode("utf-8", "replace").decode()]
)
def test_what_is_no_key_finds_none(path, wrong):
    key = add_key(path, "ann").key
    ring = KeyRing(path)
    for each in (wrong, key + wrong + "x", key[:-1], key.upper()):
        assert ring.find(each) is None


def test_a_key_allows_its_scopes(path):
    ring = KeyRing(path) if path.exists() else None
    keys = {scope: add_key(path, scope, scope=[scope]).key for scope in ("chat", "metrics", "all")}
    usual = add_key(path, "usual").key
    ring = KeyRing(path)
    assert ring.find(keys["chat"]).allows("chat") and not ring.find(keys["chat"]).allows("metrics")
    assert all(ring.find(keys["all"]).allows(scope) for scope in ("chat", "metrics", "search"))
    assert not ring.find(usual).allows("metrics") and ring.find(usual).allows("search")


def test_a_name_has_one_key(path):
    add_key(path, "ann")
    with pytest.raises(ConfigError, match="has a key already; run groundup keys rotate .* ann"):
        add_key(path, "ann")
    with pytest.raises(ConfigError, match="'bob' has no key in .*; groundup keys list"):
        rotate_key(path, "bob")
    with pytest.raises(ConfigError, match="'bob' has no key"):
        revoke_key(path, "bob")
    for name in ("", "a b", "a" * 65, "a\n"):
        with pytest.raises(ConfigError, match="ApiKey.name"):
            add_key(path, name)
    assert [key.name for key in list_keys(path).keys] == ["ann"]


def test_a_rotated_key_has_its_scopes_limits_and_lifetime(path):
    first = add_key(path, "ann", scope=["search"], days=10, requests_per_minute=7)
    second = rotate_key(path, "ann", hours=2)
    ring, now = KeyRing(path), datetime.now(UTC)
    for key in (first.key, second.key):
        found = ring.find(key)
        assert (found.scopes, found.limits.requests_per_minute) == (("search",), 7)
    assert abs(second.expires - now - timedelta(days=10)) < timedelta(minutes=1)
    assert abs(second.former_expires - now - timedelta(hours=2)) < timedelta(minutes=1)
    third = rotate_key(path, "ann", hours=0)
    assert third.former_expires is None
    assert [ring.find(each.key) is not None for each in (first, second, third)] == [0, 0, 1]


def test_rotation_never_lengthens_a_life(path):
    first = add_key(path, "ann", days=1 / 24)
    assert rotate_key(path, "ann", hours=24).former_expires == first.expires


def test_a_changed_file_is_read_again(path, capsys):
    ann = add_key(path, "ann").key
    ring = KeyRing(path)
    bob = add_key(path, "bob").key
    assert ring.find(bob).name == "bob"
    assert revoke_key(path, "bob") == "The key of bob is revoked."
    assert ring.find(bob) is None and ring.find(ann)
    good = path.read_text()
    path.write_text("{")
    assert ring.find(ann), "a broken file leaves the former keys"
    path.unlink()
    assert ring.find(ann) is None, "without a file no key is valid"
    path.write_text(good)
    assert ring.find(ann)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "is no file of keys"),
        ("[]", "is no file of keys"),
        ('{"keys": [{"name": "a"}]}', "ApiKey.secrets is required"),
        ('{"keys": [], "more": 1}', "no key `more`"),
        ("TWICE", "has a name twice"),
    ],
)
def test_a_file_of_something_else_is_refused(path, content, expected):
    add_key(path, "ann")
    if content == "TWICE":
        [key] = json.loads(path.read_text())["keys"]
        content = json.dumps({"keys": [key, key]})
    path.write_text(content)
    for call in (list_keys, KeyRing, lambda path: add_key(path, "bob")):
        with pytest.raises(ConfigError, match=expected):
            call(path)
    assert path.read_text() == content


def test_a_file_that_others_can_write_is_refused(path):
    add_key(path, "ann")
    path.chmod(0o620)
    with pytest.raises(ConfigError, match="can be written by other users; run chmod 600"):
        KeyRing(path)
    path.chmod(0o644)
    assert KeyRing(path).keys


def test_a_missing_file_says_how_to_make_one(path):
    with pytest.raises(ConfigError, match=r"is missing; make it: groundup keys add .*keys.json"):
        list_keys(path)


def test_several_edits_at_once_are_all_kept(path):
    code = "import sys; from pathlib import Path; from groundup.serve.keys import add_key\n"
    code += "for at in range(20): add_key(Path(sys.argv[1]), f'{sys.argv[2]}-{at}')"
    command = child.python_command("-c", code, str(path))
    started = [
        subprocess.Popen([*command, str(at)], env=child.python_environment()) for at in range(3)
    ]
    assert [each.wait(60) for each in started] == [0, 0, 0]
    assert len(list_keys(path).keys) == 60
    assert sorted(os.listdir(path.parent)) == ["keys.json"]


def test_the_verbs(path, run):
    words = ("--scope", "chat", "--scope", "search", "--tokens-per-minute", "9", "--concurrent", 2)
    code, out, _ = run("keys", "add", path, "ann", *words)
    key = out.splitlines()[0]
    assert code == 0 and KeyRing(path).find(key).limits.concurrent == 2
    assert "ann may use it for chat, search." in out
    code, out, _ = run("keys", "list", path)
    assert out == "ann  chat,search  tokens_per_minute 9  concurrent 2\n" and key not in out
    code, out, _ = run("keys", "rotate", path, "ann", "--hours", "1", "--json")
    assert KeyRing(path).find(json.loads(out)["key"]).name == "ann"
    assert run("keys", "revoke", path, "ann")[:2] == (0, "The key of ann is revoked.\n")
    assert run("keys", "list", path)[1] == "No keys; `groundup keys add` makes one.\n"
    code, _, said = run("keys", "add", path, "ann", "--scope", "everything")
    assert code == 2 and '"chat", "embeddings", "search", "metrics", "all"' in said
