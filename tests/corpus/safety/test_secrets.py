"""Secrets: each provider's form is found, examples are not, and equal ones stay equal."""

import base64
import random
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.corpus.safety.secrets import (
    PROVIDERS,
    ReplaceSecrets,
    SecretsConfig,
    _find_secrets,
    _looks_random,
)
from groundup.documents import Record, SourceMap, apply_result

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
        "figma_token": [f"figd_{d(URL, 40)}x"],
        "pulumi_token": [f"pul-{d(HEX, 40)}"],
        "password_hash": [f"$2y$10${d(BOTH, 53)}", f"$6${d(BOTH, 8)}${d(BOTH, 86, 1)}",
                          f"$apr1${d(BOTH, 8)}${d(BOTH, 22, 1)}",
                          f"$5$rounds=5000${d(BOTH, 9)}${d(BOTH, 43)}",
                          f"pbkdf2_sha256$260000${d(BOTH, 22)}${d(B64, 43, 1)}="],
        "private_key": [f"-----BEGIN RSA PRIVATE KEY-----\n{pem}\n-----END RSA PRIVATE KEY-----",
                        f"-----BEGIN EC PRIVATE KEY-----\n{pem}\n-----END EC PRIVATE KEY-----",
                        f"-----BEGIN PRIVATE KEY-----\n{pem}\n-----END PRIVATE KEY-----"],
        "url_password": [f"postgres://admin:{d(BOTH, 14)}@db.internal:5432/app",
                         f"https://bob:{d(BOTH, 20)}@git.internal/x.git",
                         f"redis://:{d(BOTH, 24)}@cache:6379/0"],
    }  # fmt: skip


PLACES = ['key = "{}"', "key: {}", "export KEY={}", "  '{}',", "// was {} once", "<a b='{}'/>",
          '{{"k": "{}"}}', "curl -H 'X-Key: {}' x"]  # fmt: skip


@pytest.mark.parametrize("seed", range(5))
def test_every_form_is_found_wherever_it_stands(seed):
    missed = []
    for kind, secrets in forms(seed).items():
        for secret in secrets:
            for place in PLACES:
                text = f"x = 1\n{place.format(secret)}\ny = 2\n"
                found = {s.kind: text[s.start : s.end] for s in _find_secrets(text, CONFIG)}
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
    for seed in range(20):
        text = line.format(b64=draw(B64, 40, seed), word=draw(BOTH, 24, seed))
        missed += not _find_secrets(text, CONFIG)
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
    assert _find_secrets(text, CONFIG) == []


IN_PLACES = """api_key={} # prod|apiKey = {};|apiKey = {} // prod|#define WIFI_PASSWORD "{}"
<password>{}</password>|curl -u admin:{} https://x.io|mysql -u root -p{} shop|sshpass -p {} ssh x
machine x.io login bob password {}|db.x.io:5432:shop:bob:{}|пароль = "{}"|contraseña: '{}'
Cookie: sessionid={}; path=/|Set-Cookie: a=b; PHPSESSID={}; HttpOnly|PGPASSWORD={} psql -h x
  token: {},|tool --password {} run""".replace("\n", "|").split("|")


@pytest.mark.parametrize("place", IN_PLACES)
def test_random_values_of_14_to_32_characters_are_found_in_places(place):
    missed = []
    for seed in range(60):
        value = draw(BOTH, 14 + seed % 19, seed)
        text = f"x = 1\n{place.format(value)}\ny = 2\n"
        if value not in [text[s.start : s.end] for s in _find_secrets(text, CONFIG)]:
            missed.append(value)
    assert len(missed) <= 2, missed  # a drawn value can look like a word


def test_files_of_logins_are_found():
    login = base64.b64encode(f"bob:{draw(BOTH, 16, 1)}".encode()).decode()
    key = "".join(
        random.Random(1).choices(string.ascii_lowercase + DIGITS + "!@#$%^&*(-_=+)", k=50)
    )
    for text, value in (
        (f'{{"auths": {{"x.io": {{"auth": "{login}"}}}}}}', login),
        (f"SECRET_KEY = '{key}'", key),
        (f'SECRET_KEY = "django-insecure-{key}"', f"django-insecure-{key}"),
        (f"root:$6${draw(BOTH, 16, 2)}${draw(BOTH, 86, 3)}:19000:0:99999:7:::", "$6$"),
        (f"bob:$apr1${draw(BOTH, 8, 2)}${draw(BOTH, 22, 3)}", "$apr1$"),
    ):
        found = [text[s.start : s.end] for s in _find_secrets(text, CONFIG)]
        assert len(found) == 1 and found[0].startswith(value), text


@pytest.mark.parametrize(
    "text",
    [
        'uuid token = "550e8400-e29b-41d4-a716-446655440000"', 'pass: "Übergrößenträger2019"',
        "пароль: \"ДлинноеСлово2019год\"", "curl -u user:password http://x",
        "mysql -u root -p shop",
        "mysql -u root -p$MYSQL_PASSWORD", "machine host login user password secret",
        "localhost:5432:db:user:password", "<password>your_password_1</password>",
        "<token>{{ token_value_12 }}</token>", '#define TOKEN_NAME "identifier_name_2"',
        "apiKey = settings2.apiKey2Value;", "token = nextToken12(stream1);", '"auth": "enabled"',
        '"auth": "aGVsbG8gd29ybGQh"', "Cookie: session=session_id_value_1",
        "tool --password $TOKEN12",
        "pw = '$2y$10$'", "price $5$ and $6$ more", "curl -u ${USER}:${TOKEN_A1b2C3} x",
        "key_token = nextToken2Value,", "password = getenv2(NAME), # here",
        "SECRET_KEY = 'change-me-change-me-change-me-change-me-change-me-'",
        "keyToken = sha256Base64Url;",
    ],
)  # fmt: skip
def test_what_stands_in_such_places_and_is_no_secret_stays(text):
    assert _find_secrets(text, CONFIG) == []


def record(text: str) -> Record:
    safe = text.encode("utf-8", "replace").decode()
    return Record("1", "s", "a.py", "code", safe, SourceMap.identity(safe))


def test_equal_secrets_have_equal_placeholders_and_lines_stay():
    one, two = f"ghp_{draw(BOTH, 36, 1)}", f"npm_{draw(BOTH, 36, 2)}"
    text = f"a = '{one}'\nb = '{two}'\nc = '{one}'\n"
    ruling = ReplaceSecrets(CONFIG)(record(text))
    after = apply_result(record(text), ruling)
    assert after.text == (
        "a = '<SECRET:github_token:1>'\nb = '<SECRET:npm_token:2>'\nc = '<SECRET:github_token:1>'\n"
    )
    assert {edit.reason for edit in ruling.edits} == {"secret: github_token", "secret: npm_token"}
    assert after.metadata["secrets"] == {"github_token": 2, "npm_token": 1}
    assert ReplaceSecrets(CONFIG)(after).edits == ()
    assert one not in str(ruling.metadata)


@given(st.text(max_size=300))
def test_any_text_is_judged_and_what_is_found_lies_inside(text):
    at = 0
    for secret in _find_secrets(text, CONFIG):
        assert at <= secret.start < secret.end <= len(text)
        at = secret.end


@pytest.mark.parametrize("unit", [
    "a", "<", "password=", "key=\"", "-----BEGIN PRIVATE KEY-----", "://", "eyJ",
    "secret_", "xoxb-",
    "A:b@", "aws key secret ", "sk-", "authorization: basic ", "Basic ", "EAA", "session_token=a",
    "curl ", "curl -u a:", "mysql -p", "machine a ", "machine a login b password ", "a:5432:",
    "cookie:",
    "cookie: token", "<password>", "<password ", "#define ", "#define token ", "$2y$10$", "$6$a",
    "$argon2id$v=1$", "SECRET_KEY='", " --password", "пароль",
    "\"", "PuTTY-User-Key-File-2:", "M", "token_", "a.b", "http://a:", "sig=", "SG.",
])  # fmt: skip
def test_much_of_anything_ends(unit):
    _find_secrets(unit * (200_000 // len(unit)), CONFIG)


def test_words_and_identifiers_do_not_look_random():
    said = [
        "authentication_backend2", "com.example.Service1", "my-secret-token-1", "0123456789ab",
        "SomeCamelCaseName22", "application/json+v2", "2024-01-02T03:04:05", "#{token}12345678",
    ]  # fmt: skip
    assert [word for word in said if _looks_random(word, CONFIG)] == []
    assert len(PROVIDERS) > 50 and len({p.kind for p in PROVIDERS}) == len(PROVIDERS)
