"""The worker with drawn models, of which one, `distant`, is downloaded first, a MB at a time; run it as a script."""

import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Library"))

from doubles import ThresholdPropagator

from SegmentPropagateLib.errors import CancelledError
from SegmentPropagateLib.worker import service, worker
from SegmentPropagateLib.worker.replies import Downloading

SIZE_MB = 40


def download(name, send, cancelled):
    for megabyte in range(1, SIZE_MB + 1 if name == "distant" else 1):
        if cancelled():
            raise CancelledError("The download was cancelled.")
        send(Downloading(megabyte << 20, SIZE_MB << 20))
        time.sleep(0.02)


if __name__ == "__main__":
    service.fetch_named = download
    sys.exit(worker.main(lambda _name, **_options: ThresholdPropagator()))
