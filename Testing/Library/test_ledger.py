"""A ledger loses at most the entry that was being written, and what was changed in it is found."""

import errno
import os

import pytest

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.project.ledger import Ledger

ENTRIES = [
    {"event": "begun", "model": "m"},
    {"event": "opened", "case": "ä\n"},
    {"event": "opened", "case": '", "sum": "'},
]


@pytest.fixture
def ledger(tmp_path):
    found = Ledger.begin(tmp_path / "ledger.jsonl", ENTRIES[0])
    for entry in ENTRIES[1:]:
        found.append(entry)
    return found


def test_entries_are_read_as_they_were_written(ledger):
    assert list(ledger.read()) == ENTRIES


def test_power_that_fails_at_any_byte_of_an_append_loses_that_entry_at_most(ledger):
    before = ledger.path.read_bytes()
    ledger.append({"event": "opened", "case": "last"})
    whole = ledger.path.read_bytes()
    for length in range(len(before), len(whole) + 1):
        ledger.path.write_bytes(whole[:length])
        notes = []
        found = Ledger(ledger.path, notes.append)
        assert list(found.read()[:3]) == ENTRIES
        assert len(found.read()) == 3 + (length == len(whole))
        assert bool(notes) == (len(before) < length < len(whole))
        found.append({"event": "opened", "case": "next"})  # cuts off what was left
        assert found.read()[-1] == {"event": "opened", "case": "next"}
        assert list(found.read()[:3]) == ENTRIES


def test_zeros_that_a_file_system_leaves_at_the_end_are_cut_off(ledger):
    with ledger.path.open("ab") as file:
        file.write(b"\0" * 100)
    assert list(ledger.read()) == ENTRIES


def _without_line(content):
    lines = content.splitlines(keepends=True)
    return lines[0] + lines[2]


DAMAGES = {
    "a letter of the first line": (lambda content: b'{"Event' + content[7:], 1),
    "a letter of the second line": (lambda content: content.replace(b'"case": "', b'"cose": "', 1), 2),
    "a line that was taken out": (_without_line, 2),
    "lines that were exchanged": (lambda content: b"".join(content.splitlines(keepends=True)[n] for n in (0, 2, 1)), 2),
    "an empty line": (lambda content: content + b"\n", 4),
    "a line of another program": (lambda content: content + b'{"event": "opened", "case": "x"}\n', 4),
    "a line of zeros": (lambda content: content + b"\0\0\n", 4),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_other_damage_is_an_error_that_names_the_line(ledger, damage):
    change, line = DAMAGES[damage]
    content = change(ledger.path.read_bytes())
    ledger.path.write_bytes(content)
    for attempt in (ledger.read, lambda: ledger.append({"event": "opened", "case": "x"})):
        with pytest.raises(InputError, match=f"Line {line} of"):
            attempt()
    assert ledger.path.read_bytes() == content


def test_a_disk_that_is_full_leaves_the_ledger_as_it_was(ledger, monkeypatch):
    before, write = ledger.path.read_bytes(), os.write

    def fill(number, content):
        monkeypatch.setattr(os, "write", full)
        return write(number, content[:10])

    def full(number, content):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", fill)
    with pytest.raises(InputError, match="No space left"):
        ledger.append({"event": "opened", "case": "x"})
    assert ledger.path.read_bytes() == before


def test_a_ledger_is_never_begun_twice(ledger):
    with pytest.raises(InputError, match="Cannot write"):
        Ledger.begin(ledger.path, ENTRIES[0])
    assert list(ledger.read()) == ENTRIES


def test_a_missing_ledger_is_told(tmp_path):
    with pytest.raises(InputError, match="missing or no ledger"):
        Ledger(tmp_path / "ledger.jsonl").read()
