"""A disk that fails: files that cannot grow beyond a number of bytes, for writers in Python and in C++ alike."""

from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def files_end_at(size):
    """Within the block a write beyond that many bytes fails (EFBIG; Python ignores the signal that comes with it)."""
    resource = pytest.importorskip("resource", reason="Windows limits no sizes of files")
    former = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, former[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, former)


def contents(folder: Path):
    """Everything below a folder, hidden or not: name -> bytes."""
    return {str(path.relative_to(folder)): path.is_file() and path.read_bytes() for path in sorted(folder.rglob("*"))}
