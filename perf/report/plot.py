"""One picture with two axes, as inline SVG; colours and dashes are classes of the page's style.

Every picture has a name and a description for those who cannot see it (WAI-ARIA Graphics Module,
`role="img"` with `aria-labelledby`), and takes its identifiers from its name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from perf.report.markup import Markup, join, tag
from perf.report.scale import Scale
from perf.report.words import number

WIDTH, HEIGHT = 760.0, 300.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 18.0, 46.0
LETTER = 6.6  # of the 12-pixel type, on average
ROW = 15.0  # a line of text

Ticks = Sequence[tuple[float, str]]


class Plot:
    """Axes, and what is drawn between them.

    `x_ticks` replaces the values that the x axis names; `marks` are vertical lines with a text
    above the plot and a class, and their texts are put in rows so that none covers another.
    """

    def __init__(
        self,
        x: Scale,
        y: Scale,
        *,
        labels: tuple[str, str],
        x_ticks: Ticks | None = None,
        marks: Sequence[tuple[float, str, str]] = (),
        legend: Sequence[tuple[str, str]] = (),
    ) -> None:
        self.x, self.y = x, y
        rows = _rows([(self._x(at), text) for at, text, _ in marks])
        self._top = TOP + ROW * (max(rows, default=-1) + 1) + (ROW if legend else 0)
        self.height = HEIGHT - TOP + self._top
        self._body: list[Markup] = [*self._grid(x_ticks), *self._names(labels)]
        self._body += self._legend(legend)
        for (at, text, kind), row in zip(marks, rows, strict=True):
            self._body += self._mark(at, text, kind, self._top - 5 - ROW * row)

    def line(self, points: Iterable[tuple[float, float]], kind: str, *, dots: bool = False) -> None:
        """Join the points, (x, y), by straight lines of one class."""
        places = [(self._x(x), self._y(y)) for x, y in points]
        self._body.append(_path(places, f"line {kind}"))
        if dots:
            self._body += [
                tag("circle", cx=x, cy=y, r=3.5, class_=f"dot {kind}") for x, y in places
            ]

    def stairs(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """Draw (x, y) where y holds from the x before it to its own."""
        places: list[tuple[float, float]] = []
        for (before, _), (x, y) in zip([(self.x.low, 0.0), *points], points, strict=False):
            places += [(self._x(before), self._y(y)), (self._x(x), self._y(y))]
        self._body.append(_path(places, f"line {kind}"))

    def bar(self, low: float, high: float, value: float, kind: str) -> None:
        """Draw a bar from the axis; what is above zero is at least a pixel high."""
        left, right, foot = self._x(low), self._x(high), self._y(self.y.low)
        tall = max(1.0, foot - self._y(value))
        wide = max(0.6, right - left - 1)
        self._body.append(
            tag("rect", x=left, y=foot - tall, width=wide, height=tall, class_=f"bar {kind}")
        )

    def level(self, value: float, text: str, kind: str) -> None:
        """Draw a horizontal line with its text at the left."""
        y = self._y(value)
        self._body.append(_path([(LEFT, y), (WIDTH - RIGHT, y)], f"line {kind}"))
        self._body.append(tag("text", text, x=LEFT + 5, y=y - 4, class_="mark"))

    def picture(self, name: str, title: str, described: str) -> Markup:
        """Return the figure. `name` is its identifier, of letters and hyphens."""
        return picture(name, title, described, self.height, *self._body)

    def _x(self, value: float) -> float:
        return LEFT + self.x.at(value) * (WIDTH - LEFT - RIGHT)

    def _y(self, value: float) -> float:
        return self.height - BOTTOM - self.y.at(value) * (self.height - BOTTOM - self._top)

    def _grid(self, x_ticks: Ticks | None) -> list[Markup]:
        found, foot = [], self.height - BOTTOM
        for value in self.y.ticks():
            y = self._y(value)
            found.append(_path([(LEFT, y), (WIDTH - RIGHT, y)], "grid"))
            found.append(
                tag("text", number(value), x=LEFT - 7, y=y + 4, text_anchor="end", class_="tick")
            )
        ticks = x_ticks or [(value, number(value)) for value in self.x.ticks(8)]
        for value, text in ticks:
            x = self._x(value)
            found.append(_path([(x, foot), (x, foot + 5)], "axis"))
            found.append(tag("text", text, x=x, y=foot + 18, text_anchor="middle", class_="tick"))
        found.append(_path([(LEFT, foot), (WIDTH - RIGHT, foot)], "axis"))
        return found

    def _names(self, labels: tuple[str, str]) -> list[Markup]:
        middle = (self._top + self.height - BOTTOM) / 2
        across = tag(
            "text", labels[0], x=(LEFT + WIDTH - RIGHT) / 2, y=self.height - 8,
            text_anchor="middle", class_="name",
        )  # fmt: skip
        up = tag(
            "text", labels[1], x=14, y=middle, text_anchor="middle", class_="name",
            transform=f"rotate(-90 14 {middle:.0f})",
        )  # fmt: skip
        return [across, up]

    def _legend(self, legend: Sequence[tuple[str, str]]) -> list[Markup]:
        found, x = [], LEFT
        for text, kind in legend:
            found.append(_path([(x, 10), (x + 26, 10)], f"line {kind}"))
            found.append(tag("text", text, x=x + 32, y=14, class_="mark"))
            x += 52 + LETTER * len(text)
        return found

    def _mark(self, at: float, text: str, kind: str, y: float) -> list[Markup]:
        x = self._x(at)
        anchor, beside = _anchor(x, text)
        return [
            _path([(x, y + 3), (x, self.height - BOTTOM)], f"line {kind}"),
            tag("text", text, x=beside, y=y, text_anchor=anchor, class_="mark"),
        ]


def picture(name: str, title: str, described: str, height: float, *body: Markup) -> Markup:
    """Return a drawing of WIDTH by `height` as a figure with its name and description."""
    drawn = tag(
        "svg",
        tag("title", title, id=f"{name}-title"),
        tag("desc", described, id=f"{name}-desc"),
        *body,
        viewBox=f"0 0 {WIDTH:.0f} {height:.0f}",
        role="img",
        aria_labelledby=f"{name}-title {name}-desc",
    )
    return tag("figure", tag("figcaption", title), drawn)


def _rows(labels: Sequence[tuple[float, str]]) -> list[int]:
    """Return a row for each text, 0 the lowest: the first where it covers none before it."""
    ends: list[list[tuple[float, float]]] = []
    found = []
    for x, text in labels:
        anchor, beside = _anchor(x, text)
        wide = LETTER * len(text) + 8
        start = {"start": beside, "middle": beside - wide / 2, "end": beside - wide}[anchor]
        span = (start, start + wide)
        row = next((n for n, taken in enumerate(ends) if _free(span, taken)), len(ends))
        if row == len(ends):
            ends.append([])
        ends[row].append(span)
        found.append(row)
    return found


def _free(span: tuple[float, float], taken: list[tuple[float, float]]) -> bool:
    return all(span[1] <= low or span[0] >= high for low, high in taken)


def _anchor(x: float, text: str) -> tuple[str, float]:
    """Return how a text above `x` is set, so that it stays inside the picture."""
    half = LETTER * len(text) / 2
    if x - half < LEFT:
        return "start", LEFT
    if x + half > WIDTH - RIGHT:
        return "end", WIDTH - RIGHT
    return "middle", x


def _path(places: Sequence[tuple[float, float]], kind: str) -> Markup:
    drawn = " ".join(f"{'L' if n else 'M'}{x:.1f} {y:.1f}" for n, (x, y) in enumerate(places))
    return tag("path", d=drawn, class_=kind) if places else join()
