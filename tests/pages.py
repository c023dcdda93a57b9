"""Read a page as a person or a screen reader would, and check what every page owes to both."""

from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
SVG_LEAVES = {"rect", "path", "circle"}


@dataclass
class Element:
    """One element: its tag, attributes, children and the words directly in it."""

    tag: str
    attrs: dict[str, str]
    parent: "Element | None" = None
    children: list["Element"] = field(default_factory=list)
    pieces: list["str | Element"] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Return the words in it and below, with single spaces."""
        words = " ".join(piece if isinstance(piece, str) else piece.text for piece in self.pieces)
        return " ".join(words.split())

    def all(self, tag: str = "", **attrs: str) -> list["Element"]:
        """Return the elements below with a tag and attributes, in the order of the page."""
        wanted = {name.rstrip("_").replace("_", "-"): value for name, value in attrs.items()}
        found: list[Element] = []
        for child in self.children:
            if (not tag or child.tag == tag) and all(child.attrs.get(n) == v for n, v in wanted.items()):
                found.append(child)
            found.extend(child.all(tag, **attrs))
        return found

    def one(self, tag: str = "", **attrs: str) -> "Element":
        """Return the only element below with a tag and attributes."""
        found = self.all(tag, **attrs)
        assert len(found) == 1, f"{len(found)} of <{tag} {attrs}>"
        return found[0]

    def within(self, tag: str) -> bool:
        """Say whether it stands inside an element with a tag."""
        return self.parent is not None and (self.parent.tag == tag or self.parent.within(tag))


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.root = self.here = Element("document", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(element)
        self.here.pieces.append(element)
        if tag not in VOID:
            self.here = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.here.tag == tag, f"</{tag}> closes <{self.here.tag} {self.here.attrs}>"
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.pieces.append(data)


def page_of(response: Any) -> Element:
    """Read a response's HTML; fails when an element is closed by another's tag."""
    reader = _Reader()
    reader.feed(response.content.decode())
    reader.close()
    assert reader.here is reader.root, f"<{reader.here.tag} {reader.here.attrs}> is never closed"
    return reader.root


def heading(response: Any) -> str:
    """Return the page's heading."""
    return page_of(response).one("h1").text


def rows(response: Any, label: str = "") -> list[list[str]]:
    """Return the words of each body row of the first table, or of the one in the region with a label."""
    page = page_of(response)
    place = page.one("div", role="region", aria_label=label) if label else page
    tables = place.all("table")
    lines = tables[0].all("tr") if tables else []
    return [[cell.text for cell in line.children] for line in lines if not line.within("thead")]


def error_beside(response: Any, name: str) -> str:
    """Return what the page says is wrong with a field: the words its control is described by."""
    page = page_of(response)
    control = next(element for element in page.all() if element.attrs.get("name") == name)
    assert control.attrs.get("aria-invalid") == "true", f"{name} is not marked as invalid"
    described = control.attrs["aria-describedby"].split()
    return page.one(id=next(place for place in described if place.endswith("_error"))).text


def typed(response: Any, name: str) -> str:
    """Return what stands in a field."""
    control = next(element for element in page_of(response).all() if element.attrs.get("name") == name)
    return control.text if control.tag == "textarea" else control.attrs.get("value", "")


def assert_readable(response: Any) -> None:
    """Check what every page owes to keyboards, screen readers and the content policy."""
    page = page_of(response)
    assert page.one("html").attrs["lang"] == "en"
    assert page.one("head").one("title").text.endswith("– Tank")  # noqa: RUF001 - the dash is the page's
    assert len(page.all("h1")) == 1
    assert len(page.all("main")) == 1
    _assert_unique_ids(page)
    _assert_named(page)
    _assert_nothing_inline(page)


def _assert_unique_ids(page: Element) -> None:
    ids = [element.attrs["id"] for element in page.all() if "id" in element.attrs]
    assert sorted(ids) == sorted(set(ids))
    for element in page.all():
        for name in ("aria-describedby", "aria-labelledby", "for", "data-copy", "data-plot", "data-show"):
            for place in element.attrs.get(name, "").split():
                assert place in ids, f"{name}={place} names nothing"


def _assert_named(page: Element) -> None:
    labelled = {label.attrs.get("for") for label in page.all("label")}
    for element in page.all():
        attrs, name = element.attrs, element.attrs.get("aria-label") or element.text
        if element.tag in {"input", "select", "textarea"} and attrs.get("type") not in {"hidden", "submit"}:
            assert attrs.get("id") in labelled or attrs.get("aria-label") or element.within("label"), attrs
        if element.tag in {"a", "button", "summary"}:
            assert name, f"<{element.tag} {attrs}> says nothing"
        if attrs.get("role") == "img":
            assert attrs.get("aria-label"), f"a picture says nothing: {attrs}"
        if element.tag == "th":
            assert attrs.get("scope") in {"col", "row", "rowgroup"}, element.text
        if element.tag == "img":
            assert "alt" in attrs


def _assert_nothing_inline(page: Element) -> None:
    for element in page.all():
        assert "style" not in element.attrs, element.attrs
        assert not [name for name in element.attrs if name.startswith("on")], element.attrs
        assert element.tag != "style"
        if element.tag == "script":
            assert "src" in element.attrs or element.attrs.get("type") == "application/json"
