"""`segment-propagate fetch`."""

from __future__ import annotations

import argparse

from SegmentPropagateLib.archive.client import Archive
from SegmentPropagateLib.archive.folder import SeriesFolder
from SegmentPropagateLib.cli.console import progress_bar, speaker
from SegmentPropagateLib.wording import are, counted


def run(arguments: argparse.Namespace) -> None:
    """Fetch a series into a folder, or say that it is there."""
    say = speaker(arguments.quiet)
    folder = SeriesFolder(arguments.output, arguments.study, arguments.series)
    archive = Archive(arguments.url, say)
    uids = archive.files_of(folder.study, folder.series)
    if folder.has(uids):
        say(f"{folder.path} holds the series already, {counted(len(uids), 'file')}.")
        return
    left = folder.missing(uids)
    if there := len(uids) - len(left):
        say(f"{there} of {counted(len(uids), 'file')} {are(there)} there from an earlier attempt.")
    fetched = 0
    try:
        with progress_bar(arguments.quiet, total=len(uids), initial=there, unit="file") as bar:
            for size in folder.fill(archive, left):
                fetched += size
                bar.set_postfix_str(f"{fetched / 1e6:.1f} MB", refresh=False)
                bar.update()
    except KeyboardInterrupt:
        say(f"What has arrived is kept in {folder.part}: the same command goes on from there.")
        raise
    say(f"Wrote {counted(len(uids), 'file')} to {folder.path} ({fetched / 1e6:.1f} MB fetched).")
