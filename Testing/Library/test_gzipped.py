"""Streams of gzip, read as Python's own reader reads them."""

from __future__ import annotations

import gzip
import io
import zlib
from itertools import pairwise

import numpy as np
import pytest

from SegmentPropagateLib.formats.gzipped import open_gzip, read_to_end, skip

RAW = np.random.default_rng(0).integers(0, 9, 3_000_000).astype(np.uint8).tobytes()
BEHIND = {"nothing": b"", "zeros": bytes(20_000), "one byte": b"\x1f", "text": b"tail", "zeros and text": b"\0\0tail"}


def streams(*ends: int) -> bytes:
    """RAW as several streams, cut at those places."""
    places = (0, *ends, len(RAW))
    return b"".join(gzip.compress(RAW[begin:end], 1) for begin, end in pairwise(places))


@pytest.mark.parametrize("ends", [(), (0,), (1, 1, 1), (100, 8192, 1 << 20), tuple(range(0, 5000, 10))])
@pytest.mark.parametrize("behind", BEHIND)
def test_one_or_several_streams_are_read_whole_whatever_follows_them(ends: tuple[int, ...], behind: str) -> None:
    assert open_gzip(io.BytesIO(streams(*ends) + BEHIND[behind])).read() == RAW


def test_zeros_between_streams_are_passed_over() -> None:
    packed = gzip.compress(RAW[:1000]) + bytes(3) + gzip.compress(RAW[1000:]) + bytes(1)
    assert open_gzip(io.BytesIO(packed)).read() == RAW


@pytest.mark.parametrize("count", [0, 1, 351, 1 << 20, len(RAW) - 1, len(RAW), len(RAW) + 9])
def test_what_is_skipped_is_not_read_again(count: int) -> None:
    file = open_gzip(io.BytesIO(streams(100, 2 << 20)))
    skip(file, count)
    assert read_to_end(file) == max(len(RAW) - count, 0)


@pytest.mark.parametrize("seed", range(60))
def test_a_stream_is_refused_wherever_pythons_own_reader_refuses_it(seed: int) -> None:
    rng = np.random.default_rng(seed)
    packed = bytearray(b"".join(gzip.compress(RAW[begin : begin + 300]) for begin in range(0, 900, 300)))
    if seed % 2:
        del packed[rng.integers(2, len(packed)) :]
    else:
        packed[rng.integers(2, len(packed))] ^= 1 << rng.integers(8)
    try:
        expected = gzip.decompress(bytes(packed))
    except (EOFError, OSError, zlib.error) as error:
        if "Not a gzipped file" in str(error):  # what follows the last stream is passed over
            return
        with pytest.raises((EOFError, zlib.error)):
            open_gzip(io.BytesIO(packed)).read()
    else:
        assert open_gzip(io.BytesIO(packed)).read() == expected


def test_an_endless_end_is_not_read() -> None:
    with pytest.raises(ValueError, match="it goes on"):
        read_to_end(open_gzip(io.BytesIO(gzip.compress(bytes(65 << 20), 1))))
