"""HTML and SVG in which nothing can be forgotten to be escaped: text is escaped unless it is `Markup`."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Sequence

VOID = {"circle", "line", "meta", "path"}
CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")


class Markup(str):
    """Text that is HTML already."""


Content = str | Markup | None


def escaped(text: str) -> Markup:
    """Plain text as HTML; what no page may hold (control characters, changes of direction) becomes U+FFFD."""
    return text if isinstance(text, Markup) else Markup(html.escape(CONTROLS.sub("\ufffd", text)))


def element(name: str, /, *children: Content, **attributes: str | float | None) -> Markup:
    """An element; attributes and children that are None are left out.

    `class_` is written class, `aria_label` aria-label. A number has at most two decimals, which is what a plot needs.
    """
    words = [name]
    for key, value in attributes.items():
        if value is not None:
            words.append(f'{key.rstrip("_").replace("_", "-")}="{escaped(shortest(value))}"')
    if name in VOID:
        return Markup(f"<{' '.join(words)}/>")
    return Markup(f"<{' '.join(words)}>{joined(children)}</{name}>")


def joined(children: Iterable[Content]) -> Markup:
    return Markup("".join(escaped(child) for child in children if child is not None))


def shortest(value: str | float) -> str:
    """A number without needless decimals; text as it is."""
    if isinstance(value, str):
        return value
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def section(name: str, title: str, *children: Content) -> Markup:
    """A part of the page with its heading."""
    heading = element("h2", title, id=f"{name}-title")
    return element("section", heading, *children, id=name, aria_labelledby=f"{name}-title")


def table(
    caption: str, titles: Sequence[Content], lines: Iterable[Sequence[Content]], name: str | None = None
) -> Markup:
    """A table that scrolls by itself where it is too wide; the first cell of each line is its heading."""
    head = element("tr", *(element("th", title, scope="col") for title in titles))
    body = [
        element("tr", element("th", line[0], scope="row"), *(element("td", cell) for cell in line[1:]))
        for line in lines
    ]
    whole = element(
        "table", element("caption", caption), element("thead", head), element("tbody", *body), id=name
    )
    return element("div", whole, class_="scroll", role="region", aria_label=caption, tabindex="0")


def pairs(values: Iterable[tuple[str, Content]]) -> Markup:
    """A list of names and what they stand for."""
    return element(
        "dl",
        *(
            element("div", element("dt", key), element("dd", "–" if value is None else value))
            for key, value in values
        ),
    )
