# ruff: noqa: E501 — samples stand as they are read
"""Addresses: domains by the Public Suffix List's own test cases, and the order of the lists."""

import re
from pathlib import Path

import pytest

from groundup.core import ConfigError
from groundup.documents import PASS, Record
from groundup.documents.web.urls import UrlFilter, UrlFilterConfig, _registered_domain

CASES = (Path(__file__).parents[2] / "fixtures/public_suffixes.txt").read_text("utf-8")
"""The list's test cases; in the public domain."""


@pytest.mark.parametrize(
    "host, domain", re.findall(r"^checkPublicSuffix\('(.*)', (.*)\);", CASES, re.M)
)
def test_domains_are_those_of_the_lists_own_cases(host, domain):
    assert _registered_domain(host) == domain.strip("'").replace("null", "")


def ruled(url: object, **settings) -> str:
    return UrlFilter(UrlFilterConfig(**settings))(
        Record("1", "s", "p", "html", metadata={"url": url})
    ).reason


def test_lists_in_their_order(tmp_path):
    words = tmp_path / "words"
    words.write_text("# soft\nfree\ncheap\n")
    settings = {
        "domains": ("bad.co.uk", "sub.ok.org"), "urls": ("http://ok.org/x",), "hard_words": ("Casino",),
        "soft_words": (f"@{words}",), "subwords": ("p0rn",),
    }  # fmt: skip
    assert ruled("http://www.bad.co.uk/", **settings) == "url: domain"
    assert ruled("http://SUB.ok.org/", **settings) == "url: subdomain"
    assert ruled("http://ok.org/x", **settings) == "url: address"
    assert ruled("http://ok.org/casino-x", **settings) == "url: hard word"
    assert ruled("http://ok.org/casinos", **settings) == ""
    assert ruled("http://ok.org/free", **settings) == ""
    assert ruled("http://ok.org/free/cheap", **settings) == "url: soft words"
    assert ruled("http://ok.org/myp-0rn2", **settings) == "url: subword"


@pytest.mark.parametrize(
    "url",
    ["http://ok.org/s%65x", "http://ok.org/a%2Fsex", "http://ok.org/sex", "ok.org/%73%65%78?x"],
)
def test_hard_words_are_found_behind_percent_signs(url):
    assert ruled(url, hard_words=("sex",)) == "url: hard word"
    assert ruled("http://ok.org/s%2565x", hard_words=("sex",)) == ""  # decoded once


@pytest.mark.parametrize(
    "listed", ["münchen.de", "xn--mnchen-3ya.de", "MÜNCHEN.DE", "mu\u0308nchen.de"]
)
@pytest.mark.parametrize(
    "url", ["https://www.münchen.de/x", "https://xn--mnchen-3ya.de/", "münchen.de"]
)
def test_international_names_are_one_in_both_forms(listed, url):
    assert ruled(url, domains=(listed,)) == "url: domain"


@pytest.mark.parametrize(
    "url", ["bad.org/x", "www.bad.org", "bad.org:8080/x?y", "//bad.org/x", "BAD.org."]
)
def test_an_address_without_a_scheme_has_a_host(url):
    assert ruled(url, domains=("bad.org",)) == "url: domain"


def test_host_and_domain_are_noted():
    ruling = UrlFilter(UrlFilterConfig())(
        Record("1", "s", "p", "html", metadata={"url": "http://a.b.co.uk/"})
    )
    assert ruling.metadata == {"host": "a.b.co.uk", "domain": "b.co.uk"}


@pytest.mark.parametrize(
    "url",
    [None, "", 7, "no address", "http://[::1", "http://" + "a." * 9000, "\0", "http://\ud800"],
)
def test_a_record_without_an_address_is_kept_or_dropped(url):
    assert ruled(url) == ""
    if not isinstance(url, str) or not url:
        assert ruled(url, keep_without_url=False) == "url: none"


def test_a_missing_list_is_an_error():
    with pytest.raises(ConfigError, match="cannot be read"):
        UrlFilter(UrlFilterConfig(domains=("@/nowhere",)))


def test_empty_lists_drop_nothing():
    assert UrlFilter(UrlFilterConfig())(Record("1", "s", "p", "html")) == PASS
