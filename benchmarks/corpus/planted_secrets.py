# ruff: noqa: E501 — templates stand as they are read
"""Secrets planted into lines of code, written without a look at what finds them.

Each kind has the shape that its provider documents; values are random and valid for nobody. They
stand where people leave them: assignments, environment files, URLs, headers, JSON, YAML, comments
and private keys of several lines. Beside each secret a decoy may stand, which is none: a hash, an
identifier, a placeholder, an example of the provider's own documentation.
"""

import base64
import json
import random
import string
from collections.abc import Callable
from typing import NamedTuple

UPPER, LOWER, DIGITS = string.ascii_uppercase, string.ascii_lowercase, string.digits
LETTERS = UPPER + LOWER
ALNUM = LETTERS + DIGITS
HEX = "0123456789abcdef"


class Planted(NamedTuple):
    """A secret and the line where it stands, counted from 1."""

    line: int
    secret: str
    kind: str


class Code(NamedTuple):
    """Lines with secrets in them."""

    lines: list[str]
    planted: list[Planted]


def some(rng: random.Random, alphabet: str, count: int) -> str:
    """Random characters."""
    return "".join(rng.choice(alphabet) for _ in range(count))


def jwt(rng: random.Random) -> str:
    """A signed token: header, payload, signature."""

    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    body = {"sub": some(rng, DIGITS, 10), "iat": rng.randint(10**9, 2 * 10**9), "role": "admin"}
    signature = base64.urlsafe_b64encode(rng.randbytes(32)).rstrip(b"=").decode()
    return f"{part({'alg': 'HS256', 'typ': 'JWT'})}.{part(body)}.{signature}"


MAKERS: dict[str, Callable[[random.Random], str]] = {
    "aws_access_key": lambda r: r.choice(["AKIA", "ASIA"]) + some(r, UPPER + "234567", 16),
    "github_token": lambda r: r.choice(["ghp_", "gho_", "ghs_", "ghu_"]) + some(r, ALNUM, 36),
    "github_fine": lambda r: "github_pat_" + some(r, ALNUM, 22) + "_" + some(r, ALNUM, 59),
    "gitlab_token": lambda r: "glpat-" + some(r, ALNUM + "-_", 20),
    "slack_token": lambda r: f"xoxb-{some(r, DIGITS, 12)}-{some(r, DIGITS, 12)}-{some(r, ALNUM, 24)}",
    "slack_hook": lambda r: "https://hooks.slack.com/services/T" + some(r, UPPER + DIGITS, 8) + "/B"
    + some(r, UPPER + DIGITS, 8) + "/" + some(r, ALNUM, 24),
    "stripe_key": lambda r: "sk_live_" + some(r, ALNUM, 24),
    "google_key": lambda r: "AIza" + some(r, ALNUM + "-_", 35),
    "sendgrid_key": lambda r: f"SG.{some(r, ALNUM + '-_', 22)}.{some(r, ALNUM + '-_', 43)}",
    "twilio_key": lambda r: "SK" + some(r, HEX, 32),
    "npm_token": lambda r: "npm_" + some(r, ALNUM, 36),
    "pypi_token": lambda r: "pypi-AgEIcHlwaS5vcmc" + some(r, ALNUM + "-_", 150),
    "openai_key": lambda r: "sk-proj-" + some(r, ALNUM + "-_", 60),
    "anthropic_key": lambda r: "sk-ant-api03-" + some(r, ALNUM + "-_", 93) + "AA",
    "huggingface_token": lambda r: "hf_" + some(r, LETTERS, 34),
    "digitalocean_token": lambda r: "dop_v1_" + some(r, HEX, 64),
    "jwt": jwt,
    "azure_key": lambda r: base64.b64encode(r.randbytes(64)).decode(),
    "url_password": lambda r: some(r, ALNUM, 14),
    "aws_secret_key": lambda r: some(r, ALNUM + "/+", 40),
    "password": lambda r: some(r, LETTERS, 5) + some(r, DIGITS, 3) + r.choice("!#%+_") + some(r, ALNUM, 6),
    "generic": lambda r: some(r, HEX, 40) if r.random() < 0.5 else some(r, ALNUM, 32),
}  # fmt: skip
OWN_PLACE = {
    "url_password": ["DATABASE_URL=postgres://app:{}@db.internal.net:5432/app",
                     'broker = "amqp://worker:{}@mq01.corp.net/jobs"'],
    "aws_secret_key": ["aws_secret_access_key = {}", 'AWS_SECRET_ACCESS_KEY="{}"'],
    "azure_key": ["DefaultEndpointsProtocol=https;AccountName=prodstore;AccountKey={};EndpointSuffix="
                  "core.windows.net"],
    "password": ['password = "{}"', "DB_PASSWORD={}", '  "smtp_password": "{}",', "passwd: '{}'"],
    "generic": ['api_key = "{}"', "SECRET_KEY = '{}'", '"client_secret": "{}"',
                "X_AUTH_TOKEN={}", "auth_token: {}"],
    "slack_hook": ["curl -X POST {} -d @note.json", 'WEBHOOK = "{}"'],
}  # fmt: skip
PLACES = [
    'token = "{}"', "export API_TOKEN={}", "  key: {}", '{{"credentials": {{"value": "{}"}}}}',
    "# old one, still works: {}", 'headers = {{"Authorization": "Bearer {}"}}',
    "curl -H 'Authorization: Bearer {}' https://api.corp.net/v1/items", "const KEY = '{}';",
    'client = Client("{}")', "set({}, now)",
]  # fmt: skip
DECOYS = [
    lambda r: f"commit {some(r, HEX, 40)}", lambda r: f'sha256 = "{some(r, HEX, 64)}"',
    lambda r: f"id: {some(r, HEX, 8)}-{some(r, HEX, 4)}-4{some(r, HEX, 3)}-a{some(r, HEX, 3)}-"
    + some(r, HEX, 12),
    lambda r: 'api_key = "YOUR_API_KEY_HERE"', lambda r: 'password = "changeme"',
    lambda r: "AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", lambda r: 'token = os.environ["TOKEN"]',
    lambda r: 'secret = "${SECRET_KEY}"', lambda r: "password: <your password>",
    lambda r: f"integrity sha512-{base64.b64encode(r.randbytes(64)).decode()}",
    lambda r: f"color: #{some(r, HEX, 6)};", lambda r: "postgres://user:password@localhost/db",
    lambda r: f"data:image/png;base64,{base64.b64encode(r.randbytes(60)).decode()}",
]  # fmt: skip


def plant(lines: list[str], seed: int, count: int = 0) -> Code:
    """The lines with secrets put between them, one of every kind (or `count`), and decoys."""
    rng = random.Random(seed)
    kinds = list(MAKERS) if not count else [rng.choice(list(MAKERS)) for _ in range(count)]
    blocks: list[tuple[list[str], str, str]] = []
    for kind in kinds:
        secret = MAKERS[kind](rng)
        place = rng.choice(OWN_PLACE.get(kind, PLACES))
        blocks.append(([place.format(secret)], secret, kind))
    blocks.append((private_key(rng), "PRIVATE KEY", "private_key"))
    decoys = [([decoy(rng)], "", "") for decoy in DECOYS]
    every = blocks + decoys
    places = sorted((rng.randint(0, len(lines)), number) for number in range(len(every)))
    out: list[str] = []
    planted: list[Planted] = []
    at = 0
    for place, number in places:
        out += lines[at:place]
        at = place
        block, secret, kind = every[number]
        if kind:
            planted.append(Planted(len(out) + 1, secret, kind))
        out += block
    return Code(out + lines[at:], planted)


def private_key(rng: random.Random) -> list[str]:
    """A private key's lines, of random bytes."""
    name = rng.choice(["RSA PRIVATE KEY", "OPENSSH PRIVATE KEY", "EC PRIVATE KEY", "PRIVATE KEY"])
    body = base64.b64encode(rng.randbytes(400)).decode()
    inner = [body[at : at + 64] for at in range(0, len(body), 64)]
    return [f"-----BEGIN {name}-----", *inner, f"-----END {name}-----"]
