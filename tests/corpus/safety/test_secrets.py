"""Secrets: each provider's form is found, examples are not, and equal ones stay equal."""

import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.safety.secrets import (
    PROVIDERS,
    Secrets,
    SecretsConfig,
    looks_random,
    secrets_in,
)
from groundup.documents import Record, SourceMap, follow

CONFIG = SecretsConfig()
LETTERS, DIGITS = string.ascii_letters, string.digits
BOTH, HEX = LETTERS + DIGITS, "0123456789abcdef"
B32, B64, URL = string.ascii_uppercase + "234567", BOTH + "+/", BOTH + "_-"


def draw(alphabet: str, size: int, seed: int) -> str:
    """Random characters with at least one digit and both cases where the alphabet has them."""
    chooser = random.Random(f"{alphabet}{size}{seed}")
    return "".join(chooser.choice(alphabet) for _ in range(size))


def forms(seed: int) -> dict[str, list[str]]:
    """Secrets made to the forms that providers document; new ones for every seed."""

    def d(alphabet: str, size: int, part: int = 0) -> str:
        return draw(alphabet, size, seed * 10 + part)

    jwt = f"eyJ{d(URL, 33)}.eyJ{d(URL, 60, 1)}.{d(URL, 43, 2)}"
    pem = "\n".join(d(B64, 64, part) for part in range(8))
    return {
        "aws_access_key": [f"AKIA{d(B32, 16)}", f"ASIA{d(B32, 16)}"],
        "google_api_key": [f"AIza{d(URL, 34)}x"],
        "google_oauth": [f"GOCSPX-{d(URL, 27)}x", f"ya29.{d(URL, 120)}x"],
        "github_token": [f"ghp_{d(BOTH, 36)}", f"gho_{d(BOTH, 36)}", f"ghs_{d(BOTH, 36)}",
                         f"github_pat_{d(BOTH, 22)}_{d(BOTH, 59, 1)}"],
        "gitlab_token": [f"glpat-{d(BOTH, 20)}", f"glrt-{d(BOTH, 20)}"],
        "slack_token": [f"xoxb-{d(DIGITS, 12)}-{d(DIGITS, 12, 1)}-{d(BOTH, 24)}",
                        f"xapp-1-A{d(B32, 10)}-{d(DIGITS, 13)}-{d(HEX, 64)}"],
        "slack_webhook": [
            f"https://hooks.slack.com/services/T{d(B32, 8)}/B{d(B32, 8, 1)}/{d(BOTH, 24)}"],
        "stripe_key": [f"sk_live_{d(BOTH, 24)}", f"rk_live_{d(BOTH, 24)}", f"whsec_{d(BOTH, 32)}"],
        "twilio_key": [f"SK{d(HEX, 32)}"],
        "sendgrid_key": [f"SG.{d(URL, 22)}.{d(BOTH, 43)}"],
        "mailgun_key": [f"key-{d(HEX, 32)}"],
        "mailchimp_key": [f"{d(HEX, 32)}-us12"],
        "npm_token": [f"npm_{d(BOTH, 36)}"],
        "pypi_token": [f"pypi-AgEIcHlwaS5vcmc{d(URL, 120)}x"],
        "openai_key": [f"sk-{d(BOTH, 20)}T3BlbkFJ{d(BOTH, 20, 1)}", f"sk-proj-{d(URL, 100)}x"],
        "anthropic_key": [f"sk-ant-api03-{d(URL, 92)}x"],
        "huggingface_token": [f"hf_{d(LETTERS, 34)}"],
        "azure_storage_key": [f"AccountKey={d(B64, 86)}=="],
        "digitalocean_token": [f"dop_v1_{d(HEX, 64)}"],
        "shopify_token": [f"shpat_{d(HEX, 32)}"],
        "databricks_token": [f"dapi{d(HEX, 32)}"],
        "telegram_token": [f"{d('123456789', 9)}:AA{d(URL, 32)}x"],
        "docker_token": [f"dckr_pat_{d(BOTH, 27)}"],
        "jwt": [jwt],
        "private_key": [f"-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----",
                        f"-----BEGIN EC PRIVATE KEY-----\n{pem}\n-----END EC PRIVATE KEY-----",
                        f"-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----"],
        "url_password": [f"postgres://admin:{d(BOTH, 14)}@db.internal:5432/app",
                         f"https://bob:{d(BOTH, 20)}@git.internal/x.git",
                         f"redis://:{d(BOTH, 24)}@cache:6379/0"],
    }  # fmt: skip


PLACES = ['key = "{}"', "key: {}", "export KEY={}", "  '{}',", "// was {} once", "<a b='{}'/>",
          '{{"k": "{}"}}', "curl -H 'X-Key: {}' x"]  # fmt: skip


@pytest.mark.parametrize("seed", range(20))
def test_every_form_is_found_wherever_it_stands(seed):
    missed = []
    for kind, secrets in forms(seed).items():
        for secret in secrets:
            for place in PLACES:
                text = f"x = 1\n{place.format(secret)}\ny = 2\n"
                found = {s.kind: text[s.start : s.end] for s in secrets_in(text, CONFIG)}
                if kind not in found or not set(found.values()) & set(parts(secret, found)):
                    missed.append((kind, secret, place, found))
    assert not missed, missed[:3]


def parts(secret: str, found: dict[str, str]) -> list[str]:
    """What of a planted text is secret: the whole, or the part inside a URL or a block."""
    return [value for value in found.values() if value in secret]


@pytest.mark.parametrize(
    "line",
    [
        'aws_secret_access_key = "{b64}"', "AWS_SECRET_ACCESS_KEY={b64}", '"secretKey": "{b64}"',
        'password = "{word}"', "api_key: '{word}'", 'client_secret="{word}"',
        "SECRET_KEY = '{word}'",
        "DB_PASSWORD={word}", 'authToken => "{word}"', "Authorization: Bearer {word}{word}",
    ],
)  # fmt: skip
def test_values_given_to_names_are_found(line):
    missed = 0
    for seed in range(40):
        text = line.format(b64=draw(B64, 40, seed), word=draw(BOTH, 24, seed))
        missed += not secrets_in(text, CONFIG)
    assert missed == 0


@pytest.mark.parametrize(
    "text",
    [
        'key = "AKIAIOSFODNN7EXAMPLE"',
        "aws_secret = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        'password = "your-password-here"', "password = os.environ['DB_PASSWORD']",
        "token = get_token(user_id=12345678)", 'api_key = "xxxxxxxxxxxxxxxxxxxxxxxx"',
        "SECRET_KEY = config.SECRET_KEY", 'password: "{{ vault_password_2024 }}"',
        "postgres://user:password@localhost/db", "http://user:pass@example.com/",
        "https://$USER:$TOKEN@host/x", "mailto://a:b@c", "sk-" + "a" * 48,
        'sha256_key = "' + "ab" * 32 + '"', "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----", "token = 'identifier_name_2'",
        'token_type = "Bearer12345abcdeXYZ"', "for key, token in zip(keys1, tokens2): pass",
        "", "\0", "\ud800 password = '\ud800'",
    ],
)  # fmt: skip
def test_examples_and_code_are_left(text):
    assert secrets_in(text, CONFIG) == []


def record(text: str) -> Record:
    safe = text.encode("utf-8", "replace").decode()
    return Record("1", "s", "a.py", "code", safe, SourceMap.identity(safe))


def test_equal_secrets_have_equal_placeholders_and_lines_stay():
    one, two = f"ghp_{draw(BOTH, 36, 1)}", f"npm_{draw(BOTH, 36, 2)}"
    text = f"a = '{one}'\nb = '{two}'\nc = '{one}'\n"
    ruling = Secrets(CONFIG)(record(text))
    after = follow(record(text), ruling)
    assert after.text == (
        "a = '<SECRET:github_token:1>'\nb = '<SECRET:npm_token:2>'\nc = '<SECRET:github_token:1>'\n"
    )
    assert {edit.reason for edit in ruling.edits} == {"secret: github_token", "secret: npm_token"}
    assert after.metadata["secrets"] == {"github_token": 2, "npm_token": 1}
    assert Secrets(CONFIG)(after).edits == ()
    assert one not in str(ruling.metadata)


@given(st.text(max_size=300))
def test_any_text_is_judged_and_what_is_found_lies_inside(text):
    at = 0
    for secret in secrets_in(text, CONFIG):
        assert at <= secret.start < secret.end <= len(text)
        at = secret.end


@pytest.mark.parametrize("unit", [
    "a", "<", "password=", "key=\"", "-----BEGIN PRIVATE KEY-----", "://", "eyJ",
    "secret_", "xoxb-",
    "A:b@", "aws key secret ", "sk-", "authorization: basic ", "Basic ", "EAA", "session_token=a",
    "\"", "PuTTY-User-Key-File-2:", "M", "token_", "a.b", "http://a:", "sig=", "SG.",
])  # fmt: skip
def test_a_megabyte_of_anything_ends(unit):
    secrets_in(unit * (1_000_000 // len(unit)), CONFIG)


def test_words_and_identifiers_do_not_look_random():
    said = [
        "authentication_backend2",
        "com.example.Service1",
        "my-secret-token-1",
        "0123456789ab",
        "SomeCamelCaseName22",
        "application/json+v2",
        "2024-01-02T03:04:05",
        "#{token}12345678",
    ]
    assert [word for word in said if looks_random(word, CONFIG)] == []
    assert len(PROVIDERS) > 50 and len({p.kind for p in PROVIDERS}) == len(PROVIDERS)
