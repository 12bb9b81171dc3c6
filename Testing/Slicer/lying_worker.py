"""The worker with drawn models, which spoils one kind of reply until a file says that it has; run it as a script.

lying_worker.py LIE FILE
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "Library"))

from drawn_worker import load_model

from SegmentPropagateLib.worker import worker
from SegmentPropagateLib.worker.messages import Message, write_message

# name -> (type of the reply, fields that are other ones; None for one that is missing, words in the sentence)
LIES = {
    "another protocol": ("welcome", {"protocol": 99, "news": 1}, "worker protocol 99: the panel is older"),
    "a process that is none": ("welcome", {"pid": -1}, "'welcome.pid' must be from 1"),
    "another volume": ("volume_taken", {"volume": "w"}, "'volume_taken.volume' must be 'vtkMRML"),
    "a word of its own": ("preparing", {"type": "dance"}, "'dance' is no answer"),
    "another request": ("slice_done", {"id": 999}, "no open request 999"),
    "a missing field": ("slice_done", {"shape": None}, "'slice_done.shape' is missing"),
    "a slice beside the volume": ("slice_done", {"slice_index": 12}, "'slice_done.slice_index' must be from 0 to 11"),
    "an end in negative time": ("done", {"seconds": -1}, "'done.seconds' must be at least 0"),
}  # fmt: skip


def main(lie, file):
    kind, changes, _words = LIES[lie]

    def write(stream, message):
        if message.type == kind and not os.path.exists(file):  # noqa: PTH110
            Path(file).touch()
            header = {**message.header, **changes}
            message = Message({name: value for name, value in header.items() if value is not None}, message.array)
        write_message(stream, message)

    worker.write_message = write
    return worker.main(load_model)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
