# ruff: noqa: E501 — templates stand as they are read
"""Pages whose main text is known, in shells full of what is none; written without a look at what
cleans them.

    python -m benchmarks.documents.web_shells TEXT_FOLDER OUT --pages 200 --seed 7

Each page gets a layout by chance (header, side bars, advertisements between paragraphs, cookie
notice, newsletter box, related links, comments, share bars, footer, scripts and styles) around
paragraphs of real text. Beside PAGE.html lies PAGE.txt, the main text a paragraph a line.
"""

import argparse
import html
import random
import re
from pathlib import Path
from typing import NamedTuple

SITES = ["Daily Harbour", "TechNook", "The Garden Post", "Kitchen & Co", "OpenBench", "Reisewelt"]
TOPICS = ["Home", "News", "Sports", "Reviews", "Weather", "Travel", "Opinion", "Videos", "Shop",
          "Contact", "About us", "Careers", "Help", "Log in", "Subscribe", "Archive", "Jobs"]  # fmt: skip
ADS = [
    "You won't believe what this lamp can do", "Save 40% on winter tyres today only",
    "Doctors hate him: lose weight with one trick", "Compare 27 insurers in two minutes",
    "Sponsored: the phone everyone talks about", "Hot deals end in 02:14:09 — shop now",
    "Advertisement", "Play now for free, no download needed", "Refinance at 1.9% APR*",
]  # fmt: skip
COOKIES = [
    "We and our 742 partners store and access information on your device. Accept all Reject all",
    "This site uses cookies to improve your experience. By continuing you agree. Got it",
    "Your privacy matters to us. Manage preferences Accept and close",
]  # fmt: skip
BOXES = [
    "Sign up for our newsletter and never miss a story. Enter your email Subscribe",
    "Enjoying this article? Create a free account to keep reading.",
    "Download our app for iOS and Android.", "Follow us on Facebook Twitter Instagram",
    "Share Tweet Pin Email Print", "1,204 likes 87 comments 312 shares", "Listen to this article 6 min",
]  # fmt: skip
FOOTERS = [
    "© 2024 {site} Media Ltd. All rights reserved.", "Terms of use Privacy policy Imprint Sitemap",
    "Powered by PressRoom 6.2", "Registered office: 12 Quay Street. Company no. 0098431.",
]  # fmt: skip
COMMENTS = ["First!!", "lol so true", "Great read, thanks for sharing.", "Reply Report 3 days ago",
            "Can someone explain the second part?", "I disagree, my cousin tried it."]  # fmt: skip
SCRIPT = "<script>window.dataLayer=window.dataLayer||[];function gtag(){{dataLayer.push(arguments);}}gtag('config','{id}');</script>"
STYLE = "<style>.c{{display:none}}.a>.b{{margin:0 {n}px}}@media(max-width:{n}00px){{.x{{float:left}}}}</style>"
WORDS = [
    "wrap",
    "box",
    "col",
    "inner",
    "block",
    "unit",
    "area",
    "zone",
    "pane",
    "cell",
    "mod",
    "sec",
]


class Page(NamedTuple):
    """A page and its main text."""

    html: str
    main: str


class Shell:
    """The habits of one site: what its elements are called and where its boxes stand."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.site = rng.choice(SITES)
        self.semantic = rng.random() < 0.5
        self.telling = rng.random() < 0.6
        self.nav = rng.sample(TOPICS, rng.randint(5, 12))
        self.footer = [line.format(site=self.site) for line in rng.sample(FOOTERS, 3)]

    def element(self, tag: str, name: str, inner: str) -> str:
        """An element whose tag or class tells what it is, or neither, as sites do."""
        tag = tag if self.semantic else "div"
        name = name if self.telling else f"{self.rng.choice(WORDS)}-{self.rng.randint(1, 99)}"
        return f'<{tag} class="{name}">{inner}</{tag}>\n'

    def links(self, names: list[str]) -> str:
        """A list of links."""
        items = "".join(f'<li><a href="/{n.lower().replace(" ", "-")}">{n}</a></li>' for n in names)
        return f"<ul>{items}</ul>"

    def ad(self) -> str:
        """An advertisement."""
        text = self.rng.choice(ADS)
        link = f'<a href="https://ads.example/{self.rng.randint(1, 9999)}">{text}</a>'
        return self.element(
            "aside", self.rng.choice(["ad", "advert", "promo", "sponsor"]), f"<p>{link}</p>"
        )

    def box(self, texts: list[str], name: str) -> str:
        """A box of one sentence."""
        return self.element("aside", name, f"<p>{html.escape(self.rng.choice(texts))}</p>")

    def related(self, titles: list[str]) -> str:
        """Links to other pages with a line of each."""
        chosen = self.rng.sample(titles, min(len(titles), self.rng.randint(3, 6)))
        items = "".join(
            f'<li><a href="/{n}">{html.escape(t)}</a></li>' for n, t in enumerate(chosen)
        )
        head = self.rng.choice(
            ["Related stories", "You may also like", "Most read", "More from us"]
        )
        return self.element("section", "related", f"<h3>{head}</h3><ul>{items}</ul>")

    def comments(self) -> str:
        """What readers wrote below."""
        chosen = [self.rng.choice(COMMENTS) for _ in range(self.rng.randint(2, 7))]
        inner = "".join(
            f"<div><b>user{self.rng.randint(10, 999)}</b><p>{c}</p></div>" for c in chosen
        )
        return self.element("section", "comments", f"<h3>Comments ({len(chosen)})</h3>{inner}")

    def page(self, title: str, paragraphs: list[str], titles: list[str]) -> Page:
        """A whole page around a title and paragraphs."""
        rng = self.rng
        body = [f"<h1>{html.escape(title)}</h1>"]
        if rng.random() < 0.5:
            body.append(self.element("div", "share", "Share Tweet Pin Email Print"))
        for paragraph in paragraphs:
            body.append(f"<p>{html.escape(paragraph)}</p>")
            if rng.random() < 0.25:
                body.append(self.ad())
            if rng.random() < 0.12:
                body.append(self.box(BOXES, "newsletter"))
        before = [
            STYLE.format(n=rng.randint(2, 9)), SCRIPT.format(id=f"G-{rng.randint(1000, 9999)}"),
            self.element("header", "header", f"<div>{self.site}</div>{self.links(self.nav)}"),
            *([self.box(COOKIES, "cookie-notice")] if rng.random() < 0.7 else []),
            self.element("div", "crumbs", " &rsaquo; ".join(rng.sample(self.nav, 2))),
        ]  # fmt: skip
        side = self.element(
            "aside", "sidebar", self.ad() + self.related(titles) + self.box(BOXES, "app")
        )
        main = self.element("main", "content", "".join(body))
        middle = [main, side] if rng.random() < 0.7 else [side, main]
        after = [
            self.related(titles), *([self.comments()] if rng.random() < 0.6 else []),
            self.element("footer", "footer", "".join(f"<p>{line}</p>" for line in self.footer)),
            "<noscript>Please enable JavaScript to use this site.</noscript>",
        ]  # fmt: skip
        whole = "".join([*before, *middle, *after])
        head = f"<meta charset=utf-8><title>{html.escape(title)} | {self.site}</title>"
        document = f"<!DOCTYPE html><html><head>{head}</head><body>{whole}</body></html>"
        return Page(document, "\n".join([title, *paragraphs]))


def paragraphs_of(text: str) -> list[str]:
    """Paragraphs of prose in a plain text."""
    parts = [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]
    return [
        part for part in parts if 120 < len(part) < 1500 and part[0].isupper() and part[-1] in ".?!"
    ]


def make(texts: list[str], pages: int, seed: int) -> list[Page]:
    """So many pages in shells of several sites."""
    rng = random.Random(seed)
    pool = [p for text in texts for p in paragraphs_of(text)]
    titles = [
        " ".join(p.split()[: rng.randint(4, 9)]).rstrip(",.;:")
        for p in rng.sample(pool, min(400, len(pool)))
    ]
    shells = [Shell(rng) for _ in range(max(4, pages // 20))]
    out = []
    for _ in range(pages):
        at = rng.randrange(len(pool))
        chosen = pool[at : at + rng.randint(3, 12)]
        out.append(rng.choice(shells).page(rng.choice(titles), chosen, titles))
    return out


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("texts", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--pages", type=int, default=200)
    parser.add_argument("--seed", type=int, default=7)
    given = parser.parse_args()
    read = [f.read_text("utf-8", "replace") for f in sorted(given.texts.rglob("*.txt"))]
    given.out.mkdir(parents=True, exist_ok=True)
    for number, page in enumerate(make(read, given.pages, given.seed)):
        (given.out / f"{number:05d}.html").write_text(page.html, encoding="utf-8")
        (given.out / f"{number:05d}.txt").write_text(page.main, encoding="utf-8")
