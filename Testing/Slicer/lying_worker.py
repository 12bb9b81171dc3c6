"""A worker that answers the n-th request with the bytes of FOLDER/n; run it as a script. It imports nothing slow.

lying_worker.py FOLDER
"""

import os
import struct
import sys
from itertools import count

PREFIX = struct.Struct("<4sHIQ")


def main(folder):
    with open(os.path.join(folder, "pid"), "w") as file:  # noqa: PTH118, PTH123 - pathlib takes as long as all the rest
        file.write(str(os.getpid()))
    for number in count(1):
        prefix = sys.stdin.buffer.read(PREFIX.size)
        if len(prefix) < PREFIX.size:
            return
        _magic, _version, header, payload = PREFIX.unpack(prefix)
        sys.stdin.buffer.read(header + payload)
        path = os.path.join(folder, str(number))  # noqa: PTH118
        if os.path.exists(path):  # noqa: PTH110
            with open(path, "rb") as file:  # noqa: PTH123
                sys.stdout.buffer.write(file.read())
            sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1])
