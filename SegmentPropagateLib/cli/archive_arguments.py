"""What can be typed behind `fetch` and `send`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

_URL = "address of the archive's DICOMweb service, such as https://HOST:8042/dicom-web"
_WHO = (
    "Who asks is told by the environment (DICOMWEB_USER and DICOMWEB_PASSWORD, or DICOMWEB_TOKEN) or by ~/.netrc, "
    "never on the command line, which others can read."
)


def add_archive_commands(add_command: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    """Add both; `add_command` takes a name, what it does, and an example."""
    fetch = add_command(
        "fetch",
        "fetch a series from an archive (PACS) that speaks DICOMweb",
        "fetch https://pacs.example/dicom-web 1.2.840.113619.2.1 1.2.840.113619.2.1.7 -o series",
    )
    fetch.add_argument("url", metavar="URL", help=_URL)
    fetch.add_argument("study", metavar="STUDY", help="StudyInstanceUID of the series")
    fetch.add_argument("series", metavar="SERIES", help="SeriesInstanceUID, of images or of segmentations")
    fetch.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="new folder; it appears when all files are there"
    )
    send = add_command(
        "send",
        "send DICOM files, such as segmentations, to an archive (PACS) that speaks DICOMweb",
        "send https://pacs.example/dicom-web kidney.dcm",
    )
    send.add_argument("url", metavar="URL", help=_URL)
    send.add_argument("files", nargs="+", metavar="FILE", help="DICOM files, or folders of them")
    for parser in (fetch, send):
        parser.description = f"{parser.description} {_WHO}"
        parser.add_argument("--quiet", action="store_true", help="print nothing but errors")
