"""Figures of memory on every system, with `psutil` and without; what is imported for good."""

import gc
import platform
import sys
import warnings
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest

from SegmentPropagateLib.process import (
    available_memory_bytes,
    give_memory_back,
    importing_for_good,
    peak_memory_mib,
    prepare_process,
)


def psutil_that_says(available=0, peak=0):
    module = ModuleType("psutil")
    module.virtual_memory = lambda: SimpleNamespace(available=available)
    module.Process = lambda: SimpleNamespace(memory_info=lambda: SimpleNamespace(peak_wset=peak))
    return module


@pytest.mark.skipif(sys.platform == "win32", reason="the module is not on Windows")
@pytest.mark.parametrize(("platform", "unit"), [("linux", 2**10), ("darwin", 1)])
def test_the_peak_is_told_in_mib_whatever_the_unit_of_the_system(platform, unit, monkeypatch):
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr("resource.getrusage", lambda _who: SimpleNamespace(ru_maxrss=300 * 2**20 // unit))
    assert peak_memory_mib() == 300.0


def test_the_peak_holds_what_was_taken_and_given_back():
    before = peak_memory_mib()
    taken = np.ones(2**28 // 8)  # 256 MiB
    del taken
    assert before > 10
    assert peak_memory_mib() >= max(before, 256)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked")
def test_what_was_freed_between_what_stays_is_given_back():
    import resource  # not on Windows

    def resident():
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    taken = [np.ones(2**16, np.uint8) for _ in range(1024)]
    stays, before = taken[::2], resident()
    taken.clear()
    give_memory_back()
    assert resident() < before - 2**24, "of 32 MiB"
    assert len(stays) == 512


def test_on_windows_psutil_tells_the_peak(monkeypatch):
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "psutil", psutil_that_says(peak=300 * 2**20))
    assert peak_memory_mib() == 300.0


def test_available_memory_is_what_psutil_says(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", psutil_that_says(available=5 * 2**30))
    assert available_memory_bytes() == 5 * 2**30


def test_this_machine_has_some_memory_left():
    assert 2**20 < available_memory_bytes() < 2**50


def test_without_psutil_what_only_it_knows_is_unknown(monkeypatch):
    monkeypatch.setitem(sys.modules, "psutil", None)
    assert available_memory_bytes() is None
    monkeypatch.setattr(sys, "platform", "win32")
    assert peak_memory_mib() is None


def test_what_is_imported_for_good_is_left_alone_by_the_garbage_collector():
    before = gc.get_freeze_count()
    try:
        with importing_for_good():
            assert not gc.isenabled()
            kept = [[]]
            kept[0].append(kept)
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        assert not any(found is kept for found in gc.get_objects())
    finally:
        gc.unfreeze()


def test_what_an_older_scipy_says_of_its_history_is_kept_from_users(monkeypatch):
    for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.setenv(name, "")  # given back afterwards
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        prepare_process()
        for words in (
            "The behavior of affine_transform with a 1-D array supplied for the matrix parameter has changed in SciPy "
            "0.18.0.",
            "something else",
        ):
            warnings.warn(words, UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in told] == ["something else"]
