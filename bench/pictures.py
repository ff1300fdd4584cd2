"""Bars and lines as SVG, for docs/: a few dozen lines of our own against a plotting library of 60 MB."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

COLOURS = ("#2457c5", "#d1495b", "#2a9d8f", "#8d6a9f", "#e9a03b", "#6c757d")
STYLE = (
    "<style>text{font:13px system-ui,sans-serif;fill:#333}"
    "@media(prefers-color-scheme:dark){text{fill:#ddd}}.a{stroke:#8886;fill:none}</style>"
)


def bars(path: Path, title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> None:
    """One bar for each name in each group, longest at full width; the figure stands after it."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    most = max(value for group in groups.values() for value in group.values())
    parts, y = [f'<text x="0" y="16" font-weight="600">{escape(title)}</text>'], 36
    for label, group in groups.items():
        y += 6
        parts.append(f'<text x="0" y="{y + 8}">{escape(label)}</text>')
        y += 16
        for name in names:
            if name not in group:
                continue
            width = max(2.0, 430 * group[name] / most)
            colour = COLOURS[names.index(name) % len(COLOURS)]
            parts.append(f'<rect x="96" y="{y}" width="{width:.0f}" height="13" rx="2" fill="{colour}"/>')
            parts.append(f'<text x="90" y="{y + 11}" text-anchor="end">{escape(name)}</text>')
            parts.append(f'<text x="{102 + width:.0f}" y="{y + 11}">{group[name]:,.2f} {escape(unit)}</text>')
            y += 17
    _write(path, parts, 660, y + 6)


def lines(
    path: Path, title: str, series: Mapping[str, Sequence[tuple[float, float]]], x_unit: str, y_unit: str
) -> None:
    """Points joined by lines, both axes from zero."""
    right = max(x for points in series.values() for x, _ in points)
    top = max(y for points in series.values() for _, y in points)
    parts = [
        f'<text x="0" y="16" font-weight="600">{escape(title)}</text>',
        '<path class="a" d="M60 40V300H620"/>',
        f'<text x="620" y="318" text-anchor="end">{right:,.0f} {escape(x_unit)}</text>',
        f'<text x="54" y="46" text-anchor="end">{top:,.0f}</text><text x="66" y="36">{escape(y_unit)}</text>',
    ]
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        places = [(60 + 560 * x / right, 300 - 250 * y / top) for x, y in points]
        drawn = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{drawn}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<rect x="70" y="{52 + 18 * number}" width="12" height="12" fill="{colour}"/>')
        parts.append(f'<text x="88" y="{63 + 18 * number}">{escape(name)}</text>')
    _write(path, parts, 660, 330)


def _write(path: Path, parts: list[str], width: int, height: int) -> None:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}">'
    path.write_text(f"{head}{STYLE}{''.join(parts)}</svg>\n", encoding="utf-8")
