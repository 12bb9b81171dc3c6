"""Pages that open from the disk: one file without anything from elsewhere, in which every text is only a text."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path

from SegmentPropagateLib.files import Outputs, writing

_STYLE = """
:root { color-scheme: light dark; --line: #8884; --faint: #777; --mark: #c60 }
body { font: 15px/1.45 system-ui, sans-serif; margin: 1.5rem auto; max-width: 80rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2rem }
p.note { color: var(--faint) }
table { border-collapse: collapse; margin: .8rem 0 }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  overflow-wrap: anywhere }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
th button { all: unset; cursor: pointer; font-weight: 600 } th button:focus-visible { outline: 2px solid }
th[aria-sort=ascending] button::after { content: " \\2191" }
th[aria-sort=descending] button::after { content: " \\2193" }
ul.sheets { list-style: none; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)) }
ul.sheets li { overflow-wrap: anywhere } ul.sheets img { display: block; width: 100%; height: 14rem;
  object-fit: contain; object-position: top; background: #121418 }
.doubt { color: var(--mark); font-weight: 600 }
svg { max-width: 100% } svg text { font: 12px system-ui, sans-serif; fill: currentColor }
"""
_SCRIPT = """
for (const button of document.querySelectorAll("th button")) button.addEventListener("click", () => {
  const head = button.closest("th"), table = head.closest("table"), body = table.tBodies[0];
  const column = head.cellIndex, up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const order = (a, b) => {
    const x = value(a), y = value(b);
    if (x === "" || y === "") return (x === "") - (y === "");
    const numbers = !isNaN(x) && !isNaN(y);
    return (up ? 1 : -1) * (numbers ? x - y : x.localeCompare(y, undefined, { numeric: true }));
  };
  body.append(...[...body.rows].sort(order));
});
"""


def write_page(path: Path, title: str, parts: Iterable[str], outputs: Outputs | None = None) -> None:
    """Write a page of parts that the functions below have made.

    Raises:
        InputError: the file cannot be written.
    """
    allowed = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()
    text = (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f"<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'sha256-{allowed}'; object-src 'none'; "
        "base-uri 'none'; form-action 'none'\">\n"
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f"{''.join(f'{part}{chr(10)}' for part in parts)}<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
    with writing(path, outputs) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def heading(text: str) -> str:
    """A heading of a part of the page."""
    return f"<h2>{escape(text)}</h2>"


def note(text: str) -> str:
    """A line for the reader."""
    return f'<p class="note">{escape(text)}</p>'


def link(text: str, address: str) -> Markup:
    """A text that leads to a file below the page's folder; the address has been quoted."""
    return Markup(f'<a href="{escape(address)}">{escape(text)}</a>')


class Markup(str):
    """A piece of a page, which is not escaped again."""

    __slots__ = ()


Cell = str | float | None


def table(columns: Sequence[str], rows: Iterable[Sequence[Cell]]) -> str:
    """A table that sorts by a press on a column; numbers stand to the right, with up to three decimals."""
    lines = [list(row) for row in rows]
    numeric = [
        any(isinstance(line[n], int | float) for line in lines) and not any(isinstance(line[n], str) for line in lines)
        for n in range(len(columns))
    ]
    sides = [' class="number"' if is_number else "" for is_number in numeric]
    head = "".join(
        f'<th{side} scope="col"><button type="button">{escape(column)}</button></th>'
        for column, side in zip(columns, sides, strict=True)
    )
    body = "\n".join(
        f"<tr>{''.join(_cell(value, side) for value, side in zip(line, sides, strict=True))}</tr>" for line in lines
    )
    return f"<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def _cell(value: Cell, side: str) -> str:
    if value is None:
        return f"<td{side}></td>"
    if isinstance(value, str):
        return f"<td{side}>{value if isinstance(value, Markup) else escape(value)}</td>"
    shown = str(value) if isinstance(value, int) else f"{value:.3f}"
    return f'<td{side} data-value="{value!r}">{shown}</td>'


def sheets(items: Iterable[tuple[str, str, str, str]]) -> str:
    """Pictures with a name, what to say below it, the address of the picture and that of its large one."""
    lines = [
        f'<li><a href="{escape(large)}"><img loading="lazy" alt="" src="{escape(small)}"></a>'
        f'{escape(name)}<br><span class="doubt">{escape(said)}</span></li>'
        for name, said, small, large in items
    ]
    return f'<ul class="sheets">\n{chr(10).join(lines)}\n</ul>'


def strip_plot(title: str, groups: Sequence[tuple[str, Sequence[float], tuple[float, float, float]]]) -> str:
    """A dot per case in a row per group, with the mean and its interval.

    Args:
        title: of the axis.
        groups: name, values, and mean with the ends of its interval, which may be NaN.
    """
    values = [value for _name, numbers, _spread in groups for value in numbers]
    if not values:
        return ""
    low, high = min(0.0, *values), max(values) if max(values) > 1 else 1.0
    left, width, row = 210, 560, 26
    rows = []

    def x(value: float) -> str:
        return f"{left + (value - low) / (high - low) * width:.1f}"

    for number, (name, numbers, (mean, start, end)) in enumerate(groups):
        y = 14 + number * row
        short = name if len(name) <= 28 else f"{name[:27]}…"
        rows.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{escape(short)}</text>')
        rows.append(f'<path d="M{left} {y}H{left + width}" stroke="currentColor" stroke-opacity=".15"/>')
        rows += [f'<circle cx="{x(value)}" cy="{y}" r="3.5" fill="#38c" fill-opacity=".5"/>' for value in numbers]
        if start == start:  # no NaN
            rows.append(f'<path d="M{x(start)} {y}H{x(end)}" stroke="#c60" stroke-width="3"/>')
        rows.append(f'<path d="M{x(mean)} {y - 7}v14" stroke="#c60" stroke-width="3"/>')
    height = 14 + len(groups) * row
    rows += [
        f'<text x="{x(value)}" y="{height + 8}" text-anchor="middle">{value:.3g}</text>'
        for value in (low, (low + high) / 2, high)
    ]
    label = f'<text x="{left + width / 2}" y="{height + 26}" text-anchor="middle">{escape(title)}</text>'
    size = f'width="{left + width + 40}" height="{height + 34}"'
    return f'<svg {size} role="img" aria-label="{escape(title)}">{"".join(rows)}{label}</svg>'
