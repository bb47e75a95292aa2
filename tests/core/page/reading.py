"""Reading a page as a browser does, as far as tests need it."""

from html.parser import HTMLParser

VOID = {"meta", "br", "hr", "input"}


class Reading(HTMLParser):
    """Tags with their attributes, text by element, and whether every tag is closed in order."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(markup)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs), f"an attribute comes twice in {tag}: {attrs}"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] not in (["style"], ["script"]):
            self.texts.append(data)

    @property
    def text(self) -> str:
        """All text, in order."""
        return "".join(self.texts)

    def values(self, attribute: str) -> list[str]:
        """Every value that an attribute has anywhere."""
        return [given[attribute] or "" for _, given in self.tags if attribute in given]

    def count(self, tag: str, name: str = "") -> int:
        """How many elements have this tag and this class."""
        return sum(
            found == tag and (not name or name in (given.get("class") or "").split())
            for found, given in self.tags
        )
