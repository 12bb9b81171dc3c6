"""What a server costs: a volume handed over and a run of 200 slices, against the same worker on a pipe of its own.

python Testing/Benchmarks/bench_server.py [--slices 200] [--side 512] [--repeats 3] [--json OUT.json]

The worker's model only thresholds, so that all that is measured is the way. Server, client and worker share this
computer: a real network adds its own time, and leaves the client the processor that the server takes here. The clock
needs a quiet computer; processor time (of all three) tells what the way costs on a busy one as well.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import psutil

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Library")]
os.environ["PYTHONPATH"] = str(ROOT)

from worker_client import DRAWN_WORKER, Client, setup  # noqa: E402

from SegmentPropagateLib.worker.replies import Done, VolumeTaken  # noqa: E402
from SegmentPropagateLib.worker.requests import Propagate, TakeVolume  # noqa: E402

OBJECT = slice(None), slice(60, -60), slice(80, -80)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slices", type=int, default=200)
    parser.add_argument("--side", type=int, default=512, help="rows and columns")
    parser.add_argument("--repeats", type=int, default=3, help="the best of so many counts")
    parser.add_argument("--json", metavar="OUT", help="write the figures")
    arguments = parser.parse_args()
    voxels = draw(arguments.slices, arguments.side)
    print(f"{voxels.nbytes / 1e6:.0f} MB of voxels, {arguments.slices - 1} slices; best of {arguments.repeats}")
    figures = {"pipe": measure(voxels, arguments.repeats, DRAWN_WORKER)}
    with tempfile.TemporaryDirectory() as folder:
        for scheme, certificate in (("ws", None), ("wss", make_certificate(folder))):
            figures[scheme] = over_server(voxels, arguments.repeats, folder, certificate)
    report(figures)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(figures, indent=1))


def draw(slices, side):
    """Something like a CT: air around, noise within, a bright object; int16 `(k, j, i)`."""
    random = np.random.default_rng(3)
    voxels = np.full((slices, side, side), -1024, np.int16)
    inside = voxels[:, side // 10 : -side // 10, side // 10 : -side // 10]
    inside[:] = random.normal(-60, 12, inside.shape)
    voxels[OBJECT][:, ::2] += 200
    return voxels


def measure(voxels, repeats, *command):
    """Seconds on the clock and of processors, for the voxels, for the same voxels again, and for a run."""
    client = Client(*command)
    best = {}
    mask = voxels > 50
    for repeat in range(repeats):
        voxels[0, 0, 0] = repeat  # other voxels than before
        for name, request in (("volume", None), ("again", None), ("run", mask)):
            began = time.perf_counter(), processor_s()
            if request is None:
                client.send(TakeVolume(f"v{repeat}", voxels))
                assert isinstance(client.last(), VolumeTaken)
            else:
                session = setup(voxels.shape, volume=f"v{repeat}")
                client.send(Propagate(session, ((1, 5),), mask[[5]], 0, len(voxels) - 1, False))
                assert isinstance(client.last(), Done)
            passed = time.perf_counter() - began[0], processor_s() - began[1]
            best[name] = tuple(map(min, passed, best.get(name, passed)))
    client.close()
    return best


def processor_s():
    """Of this process and all that it has started."""
    times = [process.cpu_times() for process in (psutil.Process(), *psutil.Process().children(recursive=True))]
    return sum(one.user + one.system for one in times)


def over_server(voxels, repeats, folder, certificate):
    """The same through a server in a process of its own and the stand-in."""
    script = str(ROOT / "Testing" / "Library" / "server_process.py")
    settings = json.dumps({"certificate": certificate or [None, None]})
    pipe = subprocess.PIPE
    server = subprocess.Popen([sys.executable, script, folder, settings], stdin=pipe, stdout=pipe, text=True)
    try:
        _port, url, tokens = json.loads(server.stdout.readline())
        os.environ["SEGMENTPROPAGATE_TOKEN"] = tokens["anna"]
        if certificate:
            os.environ["SEGMENTPROPAGATE_CA"] = certificate[0]
        return measure(voxels, repeats, "-m", "SegmentPropagateLib.worker.client", url)
    finally:
        server.stdin.close()
        server.wait(30)


def make_certificate(folder):
    """Files of a certificate for this computer and its key."""
    cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-out", cert, "-keyout", key]
    subprocess.run([*words.split(), *more], check=True, capture_output=True)
    return [cert, key]


def report(figures):
    """A row for each way and clock, in seconds and as a multiple of the pipe."""
    names = ("volume", "again", "run")
    print(f"{'':16}{'volume':>20}{'the same again':>20}{'run':>20}")
    for number, clock in enumerate(("clock", "processors")):
        for way, found in figures.items():
            pairs = [(found[name][number], figures["pipe"][name][number]) for name in names]
            cells = "".join(f"{f'{seconds:.2f} s ({seconds / max(pipe, 0.01):.1f} x)':>20}" for seconds, pipe in pairs)
            print(f"{way:6}{clock:10}{cells}")


if __name__ == "__main__":
    main()
