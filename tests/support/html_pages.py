"""An HTML report as tests look at it: its tags, their attributes, and its text."""

from __future__ import annotations

from html.parser import HTMLParser

TAGS = frozenset({
    *("html", "head", "meta", "link", "title", "style", "script", "body", "header", "nav", "main", "section", "footer"),
    *("h1", "h2", "h3", "div", "p", "span", "a", "b", "i", "small", "code", "pre", "wbr", "del", "ins", "time", "ul"),
    *("li", "dl", "dt", "dd", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "button", "input"),
    *("svg", "rect"),
})  # fmt: skip
"""The tags that the template has."""


class HtmlPage(HTMLParser):
    """A page. ``own`` is the content of its style and its script, ``text`` all other text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.own: dict[str, str] = {}
        self.text = ""
        self._inside = ""
        self.feed(content)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember a tag."""
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        self._inside = tag if tag in ("style", "script") else ""

    def handle_endtag(self, tag: str) -> None:
        """Leave style and script."""
        self._inside = ""

    def handle_data(self, data: str) -> None:
        """Remember text."""
        if self._inside:
            self.own[self._inside] = self.own.get(self._inside, "") + data
        else:
            self.text += data

    @property
    def markup_of_others(self) -> list[str]:
        """What the page has and the template has not: tags, scripts, handlers, styles of elements."""
        found = [tag for tag in self.tags if tag not in TAGS]
        found += [tag for tag in ("style", "script") for _ in range(self.tags.count(tag) - 1)]
        return found + [name for name, _ in self.attributes if name.startswith("on") or name == "style"]
