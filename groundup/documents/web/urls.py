"""Addresses: drops pages by their URL, before they are parsed.

Order and meaning are FineWeb's: registered domain, host, exact address, one hard word, two soft
words, a banned subword. No lists are shipped, since every published one is partly wrong and ages;
the Public Suffix List, which defines domains, is. Knows nothing of a page's content.
"""

import gzip
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from groundup.core import Config, ConfigError, InputFile

from ..record import PASS, Record, StepResult

NON_ALPHANUMERIC = re.compile(r"[^a-zA-Z0-9]+")
IP_ADDRESS = re.compile(r"[\d.]+|.*:.*")
NO_SCHEME = re.compile(r"(?:[\w-]+\.)+([\w-]+)\.?(?::\d{1,5})?(?:[/?#].*)?", re.DOTALL)
BlockListItem = Annotated[str, InputFile("@")]


class UrlFilterConfig(Config):
    """Block lists; each item is a word, or `@FILE` for a file with one per line."""

    domains: tuple[BlockListItem, ...] = ()
    """Registered domains or hosts, in letters or punycode. Source: yours, such as the UT1
    blocklists (CC-BY-SA)."""
    urls: tuple[BlockListItem, ...] = ()
    """Exact addresses."""
    hard_words: tuple[BlockListItem, ...] = ()
    """One of these as a word drops an address. Source: as datatrove's banned_words."""
    soft_words: tuple[BlockListItem, ...] = ()
    """`soft_limit` of these drop it. Source: as datatrove's soft_banned_words."""
    subwords: tuple[BlockListItem, ...] = ()
    """Substrings that drop it, ignoring punctuation. Source: as datatrove's banned_subwords."""
    soft_limit: int = 2
    """Distinct soft words. Source: FineWeb, section 3.1."""
    keep_without_url: bool = True
    """Keep records without an address."""


class UrlFilter:
    """Step `web.urls`: drops pages by their address."""

    def __init__(self, config: UrlFilterConfig) -> None:
        self.config = config
        self.domains = frozenset(_read_block_list(config.domains, _canonical_host))
        self.urls = frozenset(_read_block_list(config.urls, str))
        self.hard_words = frozenset(_read_block_list(config.hard_words, _letters_and_digits))
        self.soft_words = frozenset(_read_block_list(config.soft_words, _letters_and_digits))
        subwords = sorted(filter(None, _read_block_list(config.subwords, _letters_and_digits)))
        self.subwords = re.compile("|".join(map(re.escape, subwords))) if subwords else None

    def __call__(self, record: Record) -> StepResult:
        """Decide by `metadata["url"]`; adds the host and the registered domain."""
        url = record.metadata.get("url")
        if not isinstance(url, str) or not url:
            return PASS if self.config.keep_without_url else StepResult("url: none")
        host = _host_of(url)
        domain = _registered_domain(host)
        reason = self._find_reason(url, host, domain)
        if reason:
            return StepResult(f"url: {reason}", details=url[:500])
        return StepResult(metadata={"host": host, "domain": domain or host})

    def _find_reason(self, url: str, host: str, domain: str) -> str:
        if _canonical_host(domain) in self.domains:
            return "domain"
        if _canonical_host(host) in self.domains:
            return "subdomain"
        decoded = unquote(url)  # once, as a server does
        if url in self.urls or decoded in self.urls:
            return "address"
        words = {word.lower() for word in NON_ALPHANUMERIC.split(decoded)}
        if words & self.hard_words:
            return "hard word"
        if len(words & self.soft_words) >= self.config.soft_limit:
            return "soft words"
        has_subword = self.subwords and self.subwords.search(_letters_and_digits(decoded))
        return "subword" if has_subword else ""


def _letters_and_digits(word: str) -> str:
    return NON_ALPHANUMERIC.sub("", word).lower()


def _read_block_list(items: tuple[str, ...], normalize) -> list[str]:  # noqa: ANN001
    result = []
    for item in items:
        if not item.startswith("@"):
            result.append(normalize(item.strip()))
            continue
        try:
            lines = Path(item[1:]).read_text("utf-8", "replace").splitlines()
        except OSError as error:
            raise ConfigError(f"The list {item[1:]} cannot be read ({error.strerror}).") from None
        result += [normalize(line.strip()) for line in lines if line.strip() and line[0] != "#"]
    return result


def _host_of(url: str) -> str:
    """Host of an address in lower case, without port; empty if it has none.

    Without a scheme, a name with a public suffix or an IPv4 address is a host.

    >>> _host_of("HTTP://user@Www.Example.org:80/x"), _host_of("no address"), _host_of("http://[::1")
    ('www.example.org', '', '')
    >>> _host_of("example.org:80/x"), _host_of("mailto:a@example.org"), _host_of("kettles/one.html")
    ('example.org', '', '')
    """
    url = url.strip()
    bare = NO_SCHEME.fullmatch(url)
    if bare and (bare[1].isdecimal() or _to_punycode(bare[1].lower()) in _public_suffix_rules()):
        url = f"//{url}"
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


@cache
def _public_suffix_rules() -> frozenset[str]:
    """Rules of the Public Suffix List, international names also in punycode."""
    packed = Path(__file__).with_name("public_suffix_list.dat.gz").read_bytes()
    rules = set()
    for line in gzip.decompress(packed).decode("utf-8").splitlines():
        rule = line.strip()
        if rule and not rule.startswith("//"):
            rules |= {rule, _to_punycode(rule)}
    return frozenset(rules)


def _to_punycode(name: str) -> str:
    try:
        return ".".join(
            part if part.isascii() else "xn--" + part.encode("punycode").decode("ascii")
            for part in name.split(".")
        )
    except UnicodeError:
        return name


def _canonical_host(name: str) -> str:
    """A host name in the canonical form in which names are compared."""
    return _to_punycode(unicodedata.normalize("NFKC", name).lower().rstrip("."))


def _registered_domain(host: str) -> str:
    """The public suffix and one more label; empty if there is none."""
    host = host.lower()
    if not host or host.startswith(".") or ".." in host or IP_ADDRESS.fullmatch(host):
        return ""
    labels = host.split(".")
    plain = _to_punycode(host).split(".")
    rules = _public_suffix_rules()
    size = 1
    for start in range(max(0, len(labels) - 8), len(labels)):
        name = ".".join(plain[start:])
        parent = ".".join(plain[start + 1 :])
        if f"!{name}" in rules:
            size = len(labels) - start - 1
            break
        if name in rules or (parent and f"*.{parent}" in rules):
            size = len(labels) - start
            break
    return ".".join(labels[-size - 1 :]) if len(labels) > size else ""
