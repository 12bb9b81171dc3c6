"""The file lists of the CMakeLists.txt of both packages: write them, or tell how they differ from the files on disk.

python cmake_lists.py            # writes
python cmake_lists.py --check    # exit status 1 if a list differs
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PACKAGES = ("SegmentPropagate", "SegmentPropagateLib")
LISTS = {"MODULE_PYTHON_SCRIPTS": True, "MODULE_PYTHON_RESOURCES": False}  # list -> whether it holds the scripts
NOT_PACKAGED = {"CMakeLists.txt"}


def files_on_disk(package, scripts):
    """Sorted paths of the package's scripts, or of its other files, relative to its folder."""
    folder = ROOT / package
    paths = [path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(
        path.relative_to(folder).as_posix()
        for path in paths
        if (path.suffix == ".py") == scripts and path.name not in NOT_PACKAGED and not path.name.startswith(".")
    )


def pattern_of(name):
    """Matches `set(NAME ...)`."""
    return re.compile(rf"set\({name}\n(.*?)  \)\n", re.DOTALL)


def listed(package, name):
    """What the CMakeLists.txt lists."""
    return pattern_of(name).search((ROOT / package / "CMakeLists.txt").read_text(encoding="utf-8")).group(1).split()


def write(package):
    """Bring the lists in line with the files on disk."""
    path = ROOT / package / "CMakeLists.txt"
    text = path.read_text(encoding="utf-8")
    for name, scripts in LISTS.items():
        lines = "".join(f"  {file}\n" for file in files_on_disk(package, scripts))
        text = pattern_of(name).sub(f"set({name}\n{lines}  )\n", text)
    path.write_text(text)


def main():
    """Write or check."""
    wrong = [
        (package, name)
        for package in PACKAGES
        for name, scripts in LISTS.items()
        if listed(package, name) != files_on_disk(package, scripts)
    ]
    if "--check" in sys.argv:
        for package, name in wrong:
            print(f"{package}/CMakeLists.txt: {name} differs from the files on disk")
        return bool(wrong)
    for package in {package for package, _name in wrong}:
        write(package)
    return 0


if __name__ == "__main__":
    sys.exit(main())
