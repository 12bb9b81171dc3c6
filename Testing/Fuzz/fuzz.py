"""Coverage-guided fuzzing of what reads files and frames: `make fuzz`.

    python Testing/Fuzz/fuzz.py [--seconds 60] [KIND ...]

KIND is one of `Testing/Library/damaged_kinds.py`; without any, one of every group of readers is fuzzed. Each runs in a
process of its own, from the file that the tests draw, and ends at the first input that ends in neither a result nor an
error of one sentence, takes 2 GiB or 20 s. Atheris keeps that input in build/fuzz/inputs/KIND.
"""

import argparse
import importlib.util
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
HEADERS = ("whole.nii", "raw.nrrd", "detached.mhd", "one.seg.nrrd", "image.npz", "alone/0.dcm", "enhanced.dcm")
CHECKPOINTS = ("model.pt", "old.pt", "model.safetensors", "run.state.pt")
FRAMES = ("requests.frames", "replies.frames")
LISTS = ("list.csv", "list.json", "case.json", "masks/case/00001.png")
LIMITS = ("-timeout=20", "-rss_limit_mb=2048", "-len_control=0", "-print_final_stats=1", "-verbosity=0")
MORE_BYTES = 4096  # than the file that is drawn


def main() -> int:
    """Fuzz one kind after the other; 1 where something was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=[*HEADERS, *CHECKPOINTS, *FRAMES, *LISTS])
    parser.add_argument("--seconds", type=int, default=60, help="for each kind (default %(default)s)")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "fuzz", help="for inputs that are kept")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)  # in this process
    arguments = parser.parse_args()
    if importlib.util.find_spec("atheris") is None:
        print("There is no atheris for this Python: fuzz with one of 3.11 to 3.13 on Linux or macOS.")
        return 2
    if arguments.here:
        fuzz(*arguments.kinds, arguments.seconds, arguments.out)
    failed = []
    for kind in arguments.kinds:
        words = ["--here", "--seconds", str(arguments.seconds), "--out", str(arguments.out), kind]
        if subprocess.run([sys.executable, __file__, *words]).returncode:
            failed.append(kind)
    print(f"Something was found in: {', '.join(failed)}." if failed else f"Nothing was found in {arguments.out}.")
    return bool(failed)


def fuzz(kind: str, seconds: int, out: Path) -> None:
    """Fuzz one kind; ends the process."""
    import atheris

    sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Library")]
    with atheris.instrument_imports(include=["SegmentPropagateLib", "zipfile", "pickle", "json"]):
        from damaged_kinds import KINDS
        from mutated_files import draw, outcome_of

        path, read = draw(kind, out / "files" / kind.replace("/", "-")), KINDS[kind][0]
        read(path)  # what is imported only now is instrumented too
    corpus = out / "inputs" / kind.replace("/", "-")
    corpus.mkdir(parents=True, exist_ok=True)
    (corpus / "whole").write_bytes(path.read_bytes())

    def try_one(data: bytes) -> None:
        path.write_bytes(data)
        wrong = outcome_of(read, path)
        if wrong:
            raise AssertionError(wrong)

    largest = len(path.read_bytes()) + MORE_BYTES
    limits = [*LIMITS, f"-max_len={largest}", f"-max_total_time={seconds}", f"-artifact_prefix={corpus}/found-"]
    atheris.Setup([sys.argv[0], *limits, str(corpus)], try_one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
