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

from ..record import PASS, Record, Ruling

PARTS = re.compile(r"[^a-zA-Z0-9]+")
ADDRESS = re.compile(r"[\d.]+|.*:.*")
NO_SCHEME = re.compile(r"(?:[\w-]+\.)+([\w-]+)\.?(?::\d{1,5})?(?:[/?#].*)?", re.DOTALL)


Item = Annotated[str, InputFile("@")]


class UrlsConfig(Config):
    """Block lists; each item is a word, or `@FILE` for a file with one per line."""

    domains: tuple[Item, ...] = ()
    """Registered domains or hosts, in letters or punycode. Source: yours, such as the UT1
    blocklists (CC-BY-SA)."""
    urls: tuple[Item, ...] = ()
    """Exact addresses."""
    hard_words: tuple[Item, ...] = ()
    """One of these as a word drops an address. Source: as datatrove's banned_words."""
    soft_words: tuple[Item, ...] = ()
    """`soft_limit` of these drop it. Source: as datatrove's soft_banned_words."""
    subwords: tuple[Item, ...] = ()
    """Substrings that drop it, ignoring punctuation. Source: as datatrove's banned_subwords."""
    soft_limit: int = 2
    """Distinct soft words. Source: FineWeb, section 3.1."""
    without_url: bool = True
    """Keep records without an address."""


class Urls:
    """Step `web.urls`: drops pages by their address."""

    def __init__(self, config: UrlsConfig) -> None:
        self.config = config
        self.domains = frozenset(listed(config.domains, on_the_wire))
        self.urls = frozenset(listed(config.urls, str))
        self.hard = frozenset(listed(config.hard_words, squeezed))
        self.soft = frozenset(listed(config.soft_words, squeezed))
        subwords = sorted(filter(None, listed(config.subwords, squeezed)))
        self.subwords = re.compile("|".join(map(re.escape, subwords))) if subwords else None

    def __call__(self, record: Record) -> Ruling:
        """Decide by `metadata["url"]`; adds the host and the registered domain."""
        url = record.metadata.get("url")
        if not isinstance(url, str) or not url:
            return PASS if self.config.without_url else Ruling("url: none")
        host = host_of(url)
        domain = registered_domain(host)
        reason = self.reason(url, host, domain)
        if reason:
            return Ruling(f"url: {reason}", details=url[:500])
        return Ruling(metadata={"host": host, "domain": domain or host})

    def reason(self, url: str, host: str, domain: str) -> str:
        """The list that drops an address, or an empty string."""
        if on_the_wire(domain) in self.domains:
            return "domain"
        if on_the_wire(host) in self.domains:
            return "subdomain"
        decoded = unquote(url)  # once, as a server does
        if url in self.urls or decoded in self.urls:
            return "address"
        words = {word.lower() for word in PARTS.split(decoded)}
        if words & self.hard:
            return "hard word"
        if len(words & self.soft) >= self.config.soft_limit:
            return "soft words"
        return "subword" if self.subwords and self.subwords.search(squeezed(decoded)) else ""


def squeezed(word: str) -> str:
    """Letters and digits only, in lower case."""
    return PARTS.sub("", word).lower()


def listed(items: tuple[str, ...], form) -> list[str]:  # noqa: ANN001
    """Items of a list, with its files read; raises ConfigError if a file cannot be read."""
    result = []
    for item in items:
        if not item.startswith("@"):
            result.append(form(item.strip()))
            continue
        try:
            lines = Path(item[1:]).read_text("utf-8", "replace").splitlines()
        except OSError as error:
            raise ConfigError(f"The list {item[1:]} cannot be read ({error.strerror}).") from None
        result += [form(line.strip()) for line in lines if line.strip() and line[0] != "#"]
    return result


def host_of(url: str) -> str:
    """Host of an address in lower case, without port; empty if it has none.

    Without a scheme, a name with a public suffix or an IPv4 address is a host.

    >>> host_of("HTTP://user@Www.Example.org:80/x"), host_of("no address"), host_of("http://[::1")
    ('www.example.org', '', '')
    >>> host_of("example.org:80/x"), host_of("mailto:a@example.org"), host_of("kettles/one.html")
    ('example.org', '', '')
    """
    url = url.strip()
    bare = NO_SCHEME.fullmatch(url)
    if bare and (bare[1].isdecimal() or punycode(bare[1].lower()) in suffix_rules()):
        url = f"//{url}"
    try:
        return (urlsplit(url).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


@cache
def suffix_rules() -> frozenset[str]:
    """Rules of the Public Suffix List, international names also in punycode."""
    packed = Path(__file__).with_name("public_suffix_list.dat.gz").read_bytes()
    rules = set()
    for line in gzip.decompress(packed).decode("utf-8").splitlines():
        rule = line.strip()
        if rule and not rule.startswith("//"):
            rules |= {rule, punycode(rule)}
    return frozenset(rules)


def punycode(name: str) -> str:
    """A host name in punycode; unchanged if it cannot be encoded."""
    try:
        return ".".join(
            part if part.isascii() else "xn--" + part.encode("punycode").decode("ascii")
            for part in name.split(".")
        )
    except UnicodeError:
        return name


def on_the_wire(name: str) -> str:
    """A host name in the canonical form in which names are compared.

    >>> on_the_wire("MÜNCHEN.de.") == on_the_wire("xn--mnchen-3ya.de")
    True
    """
    return punycode(unicodedata.normalize("NFKC", name).lower().rstrip("."))


def registered_domain(host: str) -> str:
    """The public suffix and one more label; empty if there is none.

    >>> registered_domain("www.example.co.uk"), registered_domain("co.uk")
    ('example.co.uk', '')
    """
    host = host.lower()
    if not host or host.startswith(".") or ".." in host or ADDRESS.fullmatch(host):
        return ""
    labels = host.split(".")
    plain = punycode(host).split(".")
    rules = suffix_rules()
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
