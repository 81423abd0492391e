"""A small chart in SVG: panels side by side, lines over a logarithmic axis of load. Readable without colours."""

from collections.abc import Sequence
from html import escape
from math import floor, log10

from msgspec import Struct

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito's, which the colour-blind tell apart."""
DASHES = ("", "7 4", "2 3")
MARKS = ("circle", "square", "diamond")

_WIDTH, _HEIGHT, _LEFT, _TOP, _BOTTOM = 420, 260, 64, 64, 44
_GAP = 240

Panel = tuple[str, Sequence["Line"]]


class Line(Struct, frozen=True, kw_only=True):
    """One line; `colour` and `dashes` are numbers of the palettes, points are (level, value)."""

    label: str
    colour: int
    dashes: int
    points: tuple[tuple[float, float], ...]


def chart(title: str, about: str, axis: str, panels: Sequence[Panel]) -> str:
    """The document. Its title and description hold what a screen reader should say."""
    width = _LEFT + len(panels) * (_WIDTH + _GAP)
    height = _TOP + _HEIGHT + _BOTTOM
    told = "; ".join(
        f"{line.label}: " + ", ".join(f"{value:.4g} at {level:g}" for level, value in line.points)
        for _, lines in panels
        for line in lines
    )
    attributes = 'role="img" aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="12"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" {attributes}>',
        f'<title id="title">{escape(title)}</title><desc id="desc">{escape(told)}</desc>',
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(_LEFT, 20, title, size=15, weight="bold"),
        _text(_LEFT, 38, about, size=11, fill="#555555"),
    ]
    for number, (caption, lines) in enumerate(panels):
        parts.append(f'<g transform="translate({_LEFT + number * (_WIDTH + _GAP)} {_TOP})">')
        parts += _panel(caption, axis, lines)
        parts.append("</g>")
    return "\n".join([*parts, "</svg>\n"])


def _panel(caption: str, axis: str, lines: Sequence[Line]) -> list[str]:
    levels = sorted({level for line in lines for level, _ in line.points})
    values = [value for line in lines for _, value in line.points]
    if not levels:
        return [_text(0, 20, "no sound run")]
    top = nice(max(values) or 1.0)
    across = _scale(levels)
    parts = [_text(0, -8, caption, weight="bold")]
    for step in range(5):
        value, y = top * step / 4, _HEIGHT - _HEIGHT * step / 4
        parts.append(f'<line x1="0" x2="{_WIDTH}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>')
        parts.append(_text(-8, y + 4, f"{value:g}", anchor="end"))
    parts += [_text(across(level), _HEIGHT + 18, f"{level:g}", anchor="middle") for level in levels]
    parts.append(_text(_WIDTH / 2, _HEIGHT + 36, axis, anchor="middle"))
    for number, line in enumerate(lines):
        places = [(across(level), _HEIGHT * (1 - value / top)) for level, value in line.points]
        parts += _drawn(line, places, 10 + 18 * number)
    return parts


def _drawn(line: Line, places: Sequence[tuple[float, float]], legend_y: float) -> list[str]:
    colour = COLOURS[line.colour % len(COLOURS)]
    stroke = f'fill="none" stroke="{colour}" stroke-width="2" stroke-dasharray="{DASHES[line.dashes % len(DASHES)]}"'
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    parts = [f'<polyline points="{path}" {stroke}/>', *(_mark(line.colour, x, y, colour) for x, y in places)]
    start = _WIDTH + 14
    parts.append(f'<line x1="{start}" x2="{start + 26}" y1="{legend_y}" y2="{legend_y}" {stroke}/>')
    parts += [_mark(line.colour, start + 13, legend_y, colour), _text(start + 34, legend_y + 4, line.label)]
    return parts


def _mark(number: int, x: float, y: float, colour: str) -> str:
    match MARKS[number % len(MARKS)]:
        case "circle":
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="{colour}"/>'
        case "square":
            return f'<rect x="{x - 3:.1f}" y="{y - 3:.1f}" width="6" height="6" fill="{colour}"/>'
        case _:
            return f'<path d="M{x:.1f} {y - 4.5:.1f}l4.5 4.5l-4.5 4.5l-4.5-4.5z" fill="{colour}"/>'


def nice(value: float) -> float:
    """The next number that starts with 1, 2, 4, 6 or 8: a scale of four steps has short labels."""
    unit = 10.0 ** floor(log10(value))
    return next(step * unit for step in (1, 2, 4, 6, 8, 10) if step * unit >= value * 0.999)


class _Scale(Struct, frozen=True):
    low: float
    width: float

    def __call__(self, level: float) -> float:
        return _WIDTH / 2 if self.width == 0 else _WIDTH * (log10(level) - self.low) / self.width


def _scale(levels: Sequence[float]) -> _Scale:
    low, high = log10(min(levels)), log10(max(levels))
    return _Scale(low, high - low)


def _text(x: float, y: float, text: str, *, anchor: str = "start", size: int = 12, **style: str) -> str:
    more = "".join(f' {"font-weight" if name == "weight" else name}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}"{more}>{escape(text)}</text>'
