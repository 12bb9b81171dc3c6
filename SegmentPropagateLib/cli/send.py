"""`segment-propagate send`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.archive.client import Archive
from SegmentPropagateLib.archive.files import dataset_of, files_to_send
from SegmentPropagateLib.cli.console import progress_bar, speaker
from SegmentPropagateLib.wording import counted


def run(arguments: argparse.Namespace) -> None:
    """Send files one by one, each confirmed by the archive."""
    say = speaker(arguments.quiet)
    archive = Archive(arguments.url, say)
    paths = files_to_send(arguments.files)
    with progress_bar(arguments.quiet, total=len(paths), unit="file") as bar:
        for path in paths:
            archive.keep(dataset_of(path))
            bar.update()
    say(f"{archive.host} keeps {counted(len(paths), 'file')}.")
