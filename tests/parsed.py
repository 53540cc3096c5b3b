"""A page of HTML as a browser would read it."""

from html.parser import HTMLParser

# Tags that have no end.
EMPTY = {"meta", "img", "br", "hr", "link", "input"}
# Names that a page, a terminal or matplotlib would obey if it did not show them.
EVIL = {
    "markup": "<b>bold</b>",
    "script": "<script>alert(1)</script>",
    "attribute": '" onerror="alert(1)',
    "terminal": "a\x1b[31mred",
    "direction": "exe\u202egpj",
    "formula": r"$\frac$",
    "template": "{{ 7 * 7 }}",
}


class Parsed(HTMLParser):
    """What a page is made of.

    Attributes:
        tags: each with its attributes, in order.
        text: all that is read, style aside.
        rows: of all tables, the text of their cells.
    """

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.tags, self.open, self.texts, self.rows = [], [], [], []
        self.feed(source)
        self.close()
        assert not self.open, f"left open: {self.open}"
        self.text = " ".join("".join(self.texts).split())

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(set(names)) == len(names), (tag, names)
        self.tags.append((tag, dict(attributes)))
        if tag not in EMPTY:
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" in self.open:
            return
        self.texts.append(data + (" " if self.open[-1:] != ["span"] else ""))
        if {"td", "th"} & set(self.open):
            self.rows[-1][-1] += data.strip()

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


def check_whole(source):
    """The page parsed; fail where it loads or runs anything, or a picture has no words."""
    page = Parsed(source)
    assert source.startswith("<!DOCTYPE html>")
    assert {tag for tag, _ in page.tags} & {"script", "iframe", "object", "link", "base"} == set()
    for tag, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert all(
            value.startswith(("data:image/png;base64,", "#"))
            for name, value in attributes.items()
            if name in ("src", "href", "srcset", "action")
        ), tag
    headers = {m["http-equiv"]: m["content"] for m in page.all("meta") if "http-equiv" in m}
    # The page may be opened anew, and no other one.
    assert headers.pop("refresh", "1").isdecimal()
    (policy,) = headers.values()
    assert policy == "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    assert "url(" not in source
    assert all(image["alt"] for image in page.all("img"))
    assert [attributes["lang"] for attributes in page.all("html")] == ["en"]
    assert len(page.all("h1")) == 1
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    assert {link["href"][1:] for link in page.all("a")} <= set(ids)
    return page
