"""`table.csv` and `index.html` of a batch, from its records alone, so that they are right after any interruption."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from SegmentPropagateLib.batch.records import read_records
from SegmentPropagateLib.files import Outputs
from SegmentPropagateLib.reports import html
from SegmentPropagateLib.reports.cohort import Doubt, label_of, write_table
from SegmentPropagateLib.wording import counted

TABLE, PAGE = "table.csv", "index.html"
COLUMNS = (
    *("case", "status", "label", "name", "key_slices", "first", "last"),
    *("volume_ml", "predicted_iou", "worth_a_look", "seconds", "sentence"),
)
_FIRST = 24  # cases to look at first whose pictures head the page


def write_tables(out: Path) -> None:
    """Write both anew; where nothing has been done yet there is nothing to tell.

    Raises:
        InputError: one cannot be written; then the old ones stay.
    """
    records = read_records(out)
    if not records:
        return
    with Outputs() as outputs:
        write_table(out / TABLE, COLUMNS, _rows(records), outputs)
        html.write_page(out / PAGE, f"{out.resolve().name}: {counted(len(records), 'case')}", _parts(records), outputs)


def _rows(records: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A row per object, and one for a case that has none."""
    shared = ("case", "status", "seconds", "sentence")
    return [
        {**thing, **{name: record.get(name) for name in shared}}
        for record in records
        for thing in record["figures"] or [{}]
    ]


def _parts(records: Sequence[Mapping[str, Any]]) -> list[str]:
    done = sorted((record for record in records if record["outputs"]), key=Doubt.of, reverse=True)
    others = [record for record in records if not record["outputs"]]
    parts = [html.note(f"{len(done)} done, {len(others)} without a result. A press on a column sorts by it.")]
    if others:
        parts.append(html.heading("Without a result"))
        parts.append(html.table(("case", "status", "why"), [_failure(record) for record in others]))
    doubtful = [record for record in done if Doubt.of(record).worth_a_look][:_FIRST]
    if doubtful:
        parts.append(html.heading("Look at these first"))
        parts.append(html.sheets(_sheet(record) for record in doubtful))
    if done:
        parts.append(html.heading("All results"))
        columns = ("", "case", "objects", "volume ml", "predicted IoU", "worth a look", "seconds")
        parts.append(html.table(columns, [_result(record) for record in done]))
        parts.append(
            html.note(
                "predicted IoU: of the worst object, the mean over the slices that were filled, as the model itself "
                "expects it. worth a look: slices that may be wrong."
            )
        )
    return parts


def _failure(record: Mapping[str, Any]) -> list[html.Cell]:
    status = "nothing found" if record["status"] == "done" else record["status"]
    return [record["case"], status, record["sentence"]]


def _sheet(record: Mapping[str, Any]) -> tuple[str, str, str, str]:
    count = Doubt.of(record).worth_a_look
    said = f"{counted(count, 'slice')} worth a look"
    return record["case"], said, address_of(record, "thumbnail"), address_of(record, "overlay")


def _result(record: Mapping[str, Any]) -> list[html.Cell]:
    scores = [thing["predicted_iou"] for thing in record["figures"] if thing["predicted_iou"] is not None]
    picture = f'<img loading="lazy" alt="" width="120" src="{address_of(record, "thumbnail")}">'
    return [
        html.Markup(f'<a href="{address_of(record, "overlay")}">{picture}</a>'),
        html.link(record["case"], f"{quote(record['case'])}/"),
        ", ".join(map(label_of, record["figures"])),
        float(sum(thing["volume_ml"] for thing in record["figures"])),
        min(scores, default=None),
        Doubt.of(record).worth_a_look,
        record.get("seconds"),
    ]


def address_of(record: Mapping[str, Any], output: str) -> str:
    """Of an output of a case, as it stands in a page; quoting leaves no character that HTML knows."""
    return quote(f"{record['case']}/{record['outputs'][output]['file']}")
