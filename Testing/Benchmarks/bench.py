"""Speed and memory of the engine beside `SAM2VideoPredictor` of the installed `sam2`: `make bench`.

Both take the same modules with the same random weights and run in turns in one process, so that what else the computer
does hits both. Upstream computes as its own examples do: in float32 on a CPU, in bf16 autocast on a GPU. A *first pass*
starts without features; a *re-propagation* follows a correction of the key slice, as a user makes it. Upstream keeps
the features of one slice, so that its re-propagation takes as long as its first pass.
The last line is one JSON object; the table goes before it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # threads that spin for work slow each other down
os.environ.setdefault("GOMP_SPINCOUNT", "0")
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
sys.path.append(str(Path(__file__).resolve().parents[1] / "Library"))

import numpy as np
import torch
from numpy.typing import NDArray
from upstream import frames_of, predictor_of, without_progress_bars

from SegmentPropagateLib.models.devices import choose_device, choose_precision
from SegmentPropagateLib.networks.build import build_network
from SegmentPropagateLib.networks.card import Card
from SegmentPropagateLib.networks.families import NetworkConfig
from SegmentPropagateLib.propagation.propagator import Lane, PropagationSettings
from SegmentPropagateLib.propagators.tracking.engine import DTYPES, NetworkPropagator
from SegmentPropagateLib.volumes.stack import ImageStack

SIDE = 192  # of a slice, in pixels; networks resize it
Masks = dict[int, NDArray[np.bool_]]


@dataclass
class Job:
    """A stack, a key slice in its middle and four objects on it."""

    gray: NDArray[np.uint8]
    key: int
    objects: Masks

    @classmethod
    def of(cls, slices: int) -> Job:
        """Deterministic blobs in noise."""
        rng = np.random.default_rng(3)
        rows, columns = np.indices((SIDE, SIDE))
        gray = rng.normal(60, 10, (slices, SIDE, SIDE))
        objects = {}
        for number, (row, column) in enumerate([(60, 60), (60, 130), (130, 60), (130, 130)], start=1):
            disk = (rows - row) ** 2 + (columns - column) ** 2 <= (14 + 3 * number) ** 2
            gray += 25 * number * disk
            objects[number] = disk
        return cls(np.clip(gray, 0, 255).astype(np.uint8), slices // 2, objects)

    def lanes(self, count: int) -> list[Lane]:
        """Both directions of the first so many objects."""
        legs = (range(self.key + 1, len(self.gray)), range(self.key - 1, -1, -1))
        return [Lane(number, (self.key,), (leg,)) for number in list(self.objects)[:count] for leg in legs]


class Upstream:
    """The predictor of `sam2`, both directions from the key slice, starting afresh in between."""

    def __init__(self, network: torch.nn.Module, job: Job, folder: str) -> None:
        self._predictor = predictor_of(network)
        self._device = next(network.parameters()).device
        self._job = job
        self._folder = folder

    def run(self, count: int) -> None:
        is_gpu = self._device.type == "cuda"
        with without_progress_bars(), torch.autocast(self._device.type, torch.bfloat16, enabled=is_gpu):
            state = self._predictor.init_state(self._folder)
            for reverse in (False, True):
                self._predictor.reset_state(state)
                for number, mask in list(self._job.objects.items())[:count]:
                    self._predictor.add_new_mask(state, self._job.key, number, mask)
                for _ in self._predictor.propagate_in_video(state, self._job.key, reverse=reverse):
                    pass


class Ours:
    """The engine, whole slices."""

    def __init__(self, network: torch.nn.Module, job: Job, size: int, precision: str, device: torch.device) -> None:
        self._propagator = NetworkPropagator(network, Card("sam2.1", "t", size), device, precision)
        self._job = job
        self._turn = 0

    def first_pass(self, count: int) -> None:
        """Also loads the stack, as upstream does."""
        stack = ImageStack(self._job.gray, self._job.gray, (1.0, 1.0, 1.0))
        self._propagator.open(stack, PropagationSettings(roi="off"))
        self.run(self._job.lanes(count))

    def correct(self, count: int) -> None:
        """Again, from features kept, with other masks on the key slice."""
        self._turn += 1
        self.run(self._job.lanes(count))

    def run(self, lanes: list[Lane]) -> None:
        keys = {number: {self._job.key: np.roll(mask, self._turn, 1)} for number, mask in self._job.objects.items()}
        for _ in self._propagator.run(lanes, keys):
            pass


@dataclass
class Timing:
    """Medians in seconds."""

    wall: float
    cpu: float


def measure(tasks: dict[str, Callable[[], None]], repeats: int, device: torch.device) -> dict[str, Timing]:
    """Run the tasks in turns, so many times, and take medians; the first turn warms up and does not count."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in tasks}
    for turn in range(repeats + 1):
        for name, task in tasks.items():
            wall, cpu = time.perf_counter(), time.process_time()
            task()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            if turn > 0:
                taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Timing(*(statistics.median(column) for column in zip(*rows, strict=True))) for name, rows in taken.items()
    }


def peak_of_subprocess(who: str, arguments: argparse.Namespace) -> float:
    """Peak resident memory in GiB of one engine doing the long job in a process of its own."""
    command = [sys.executable, __file__, "--peak-of", who, "--size", str(arguments.size)]
    command += ["--peak-slices", str(arguments.peak_slices), "--device", arguments.device]
    command += ["--precision", arguments.precision, "--threads", str(arguments.threads)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr)
    return float(result.stdout.splitlines()[-1])


def run_for_peak(arguments: argparse.Namespace, device: torch.device, precision: str) -> None:
    """The long job: propagate one object, then correct it."""
    job = Job.of(arguments.peak_slices)
    network = build_network(NetworkConfig("sam2.1", "t", arguments.size))
    if arguments.peak_of == "upstream":
        with tempfile.TemporaryDirectory() as folder:
            Upstream(network.to(device), job, frames_of(job.gray, Path(folder))).run(1)
    else:
        ours = Ours(network, job, arguments.size, precision, device)
        ours.first_pass(1)
        ours.correct(1)
    print(peak_gib())


def peak_gib() -> float:
    """Peak resident memory of this process; where Linux tells it, without what its parent held before the start."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    return (
        next(
            int(line.split()[1]) for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM")
        )
        / 2**20
    )


def product_rates(device: torch.device, precision: str) -> dict[str, float]:
    """GFLOP/s of the commonest product in the encoder, 1024 tokens from 384 to 1536 channels: no engine can do better.

    In float32, as upstream computes, and in the precision that `auto` is.
    """
    rates = {}
    for name, dtype in {"exact": torch.float32, precision: DTYPES[precision]}.items():
        x, weight = (torch.randn(rows, 384, device=device, dtype=dtype) for rows in (1024, 1536))
        taken = []
        for _ in range(200):  # a processor takes a while to be at its quickest
            began = time.perf_counter()
            torch.mm(x, weight.T)
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            taken.append(time.perf_counter() - began)
        rates[name] = round(2 * 1024 * 384 * 1536 / min(taken) / 1e9, 1)
    return rates


def describe(arguments: argparse.Namespace, device: torch.device, precision: str) -> dict[str, object]:
    """Print device, CPU flags that matter, how fast it multiplies, threads; give them for the JSON line."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    facts = dict(line.split("\t: ", 1) for line in lines if "\t: " in line)
    facts.update(line.split("\t\t: ", 1) for line in lines if "\t\t: " in line)
    flags = {"avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_tile"} & set(facts.get("flags", "").split())
    name = (
        torch.cuda.get_device_name(device) if device.type == "cuda" else facts.get("model name", platform.processor())
    )
    threads = f"{torch.get_num_threads()} threads of {os.cpu_count()} cores"
    print(f"device {device} ({name}), flags {' '.join(sorted(flags)) or 'none of interest'}, {threads}")
    print(f"cache {facts.get('cache size', '?')}, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}", end=", ")
    print(f"OMP_WAIT_POLICY={os.environ['OMP_WAIT_POLICY']} GOMP_SPINCOUNT={os.environ['GOMP_SPINCOUNT']}")
    print(f"sam2.1-tiny shapes, {arguments.size} px, {arguments.slices} slices, {arguments.repeats} turns, ", end="")
    rates = product_rates(device, precision)
    print(f"precision auto = {precision}, GFLOP/s of products: {rates}")
    return {
        "device": f"{name} ({device}, {threads}, auto = {precision})",
        "units": sorted(flags),
        "product_gflops": rates,
    }


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=512, help="side of the network's input in pixels")
    parser.add_argument("--slices", type=int, default=13)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--peak-slices", type=int, default=200, help="length of the job whose memory is measured; 0: no"
    )
    parser.add_argument("--threads", type=int, default=0, help="0: torch decides")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="auto", choices=("auto", "exact", "bf16"))
    parser.add_argument("--peak-of", choices=("ours", "upstream"), help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    device = choose_device(arguments.device)
    precision = choose_precision(arguments.precision, device)
    if arguments.peak_of:
        run_for_peak(arguments, device, precision)
        return
    machine = describe(arguments, device, precision)
    job = Job.of(arguments.slices)
    with tempfile.TemporaryDirectory() as folder:
        upstream = Upstream(
            build_network(NetworkConfig("sam2.1", "t", arguments.size)).to(device),
            job,
            frames_of(job.gray, Path(folder)),
        )
        times = time_all(upstream, job, arguments, device, precision)
    report(times, arguments, machine)


def time_all(
    upstream: Upstream, job: Job, arguments: argparse.Namespace, device: torch.device, precision: str
) -> dict[str, Timing]:
    """Time every task; tasks in `exact` are the same ones where that is what `auto` chooses."""

    def ours(chosen: str) -> Ours:
        return Ours(build_network(NetworkConfig("sam2.1", "t", arguments.size)), job, arguments.size, chosen, device)

    one, four = ours(precision), ours(precision)
    tasks = {
        "upstream, one object": lambda: upstream.run(1),
        "one object, first pass": lambda: one.first_pass(1),
        "one object, re-propagation": lambda: one.correct(1),
        "upstream, four objects": lambda: upstream.run(4),
        "four objects, first pass": lambda: four.first_pass(4),
        "four objects, re-propagation": lambda: four.correct(4),
        "one of four corrected": lambda: four.correct(1),
    }
    if precision != "exact":
        exact = ours("exact")
        tasks["exact, first pass"] = lambda: exact.first_pass(1)
        tasks["exact, re-propagation"] = lambda: exact.correct(1)
    times = measure(tasks, arguments.repeats, device)
    times.setdefault("exact, first pass", times["one object, first pass"])
    times.setdefault("exact, re-propagation", times["one object, re-propagation"])
    return times


def report(times: dict[str, Timing], arguments: argparse.Namespace, machine: dict[str, object]) -> None:
    """Print the table and the JSON line."""
    base = {"four": times["upstream, four objects"], "one ": times["upstream, one object"]}
    print(f"\n{'':32}{'s/slice':>9}{'ratio':>8}{'cpu s/slice':>13}{'cpu ratio':>11}")
    for task, timing in times.items():
        of = base["four" if "four" in task else "one "]
        print(f"{task:32}{timing.wall / arguments.slices:9.3f}{of.wall / timing.wall:8.2f}", end="")
        print(f"{timing.cpu / arguments.slices:13.3f}{of.cpu / timing.cpu:11.2f}")
    peak = {"ours": float("nan"), "upstream": float("nan")}
    if arguments.peak_slices:
        peak = {who: round(peak_of_subprocess(who, arguments), 3) for who in peak}
        print(
            f"\npeak memory, {arguments.peak_slices} slices, one object: {peak['ours']} GiB (first pass and a ", end=""
        )
        print(f"re-propagation), upstream {peak['upstream']} GiB (one pass)")

    def ratios(task: str, against: Timing) -> dict[str, float]:
        return {
            "first_pass": round(against.wall / times[f"{task}, first pass"].wall, 2),
            "repropagate": round(against.wall / times[f"{task}, re-propagation"].wall, 2),
            "upstream_s_per_slice": round(against.wall / arguments.slices, 3),
        }

    summary = {
        "one_object": ratios("one object", base["one "]),
        "four_objects": ratios("four objects", base["four"]),
        "exact": ratios("exact", base["one "]),
        "one_of_four": round(base["four"].wall / times["one of four corrected"].wall, 2),
        "peak_gib": peak if arguments.peak_slices else {"ours": None, "upstream": None},
        **machine,
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
