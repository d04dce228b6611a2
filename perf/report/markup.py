"""HTML and SVG as text in which everything is escaped that was not made here.

A scenario's name or a processor's comes from a file that somebody else may have written: a string
becomes markup only through `tag`.
"""

from __future__ import annotations

import html

# https://html.spec.whatwg.org/multipage/syntax.html#void-elements, those that a page here has
_VOID = frozenset({"meta"})


class Markup(str):
    """Text that is markup already, and is not escaped again."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: str | float) -> Markup:
    """Return one element; children that are no `Markup`, and all attributes, are escaped.

    `class_` is the attribute `class`, and `stroke_width` is `stroke-width`. Numbers are written
    with two decimals at most, so that the same record gives the same bytes.
    """
    written = "".join(f' {_named(key)}="{_value(value)}"' for key, value in attributes.items())
    if name in _VOID:
        return Markup(f"<{name}{written}>")
    return Markup(f"<{name}{written}>{join(*children)}</{name}>")


def join(*parts: str) -> Markup:
    """Return the parts one after the other, escaped where they are no `Markup`."""
    return Markup("".join(one if isinstance(one, Markup) else html.escape(one) for one in parts))


def _named(key: str) -> str:
    return key.rstrip("_").replace("_", "-")


def _value(value: str | float) -> str:
    if isinstance(value, str):
        return html.escape(value)
    return f"{value:.2f}".rstrip("0").rstrip(".") if value % 1 else f"{value:.0f}"
