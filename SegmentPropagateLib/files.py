"""Files: outputs that are complete or absent, alone or several together, and digests."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import platform
import re
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, BinaryIO

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.process import is_running, signals_waiting

PathLike = str | os.PathLike[str]

CHUNK_BYTES = 1 << 18


def is_there(path: PathLike) -> bool:
    """Whether a file or a folder has that name; none has one that the system does not take."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):  # longer than the system allows, or with a null character
        return False


def check_writable(path: PathLike) -> None:
    """Raise InputError unless a file of that name can be made; asked before anything is computed."""
    with _telling(path):
        target = _target_of(path)
        workshop = _Workshop(target.parent)
        try:
            workshop.make()
            (workshop.folder / target.name).touch()  # file systems differ in the names they take
        finally:
            workshop.remove()


def identity_of(path: PathLike) -> object:
    """What is equal for two names of one file: through links, and where names differ in case only."""
    try:
        found = Path(path).stat()
        return found.st_dev, found.st_ino
    except OSError:
        return os.path.realpath(path)
    except ValueError:  # no name for a file
        return os.fspath(path)


class Outputs:
    """Files that appear together: made under temporary names, given their own when all of them are whole.

    Whatever fails or interrupts leaves what was there before, and nothing else. A symbolic link is written through.
    What writes a file (`write_segmentation`, `write_report`, `writing`, ...) takes the set as its last argument.
    """

    def __init__(self) -> None:
        self._workshops: dict[Path, _Workshop] = {}
        self._parts: dict[Path, PathLike] = {}

    def __enter__(self) -> Outputs:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        with signals_waiting():
            try:
                if kind is None:
                    self._put_in_place()
            finally:
                for workshop in self._workshops.values():
                    workshop.remove()

    def part(self, path: PathLike, ending: str = "") -> Path:
        """A temporary name for a file of the set, in a folder that is ours alone and lies beside it.

        Args:
            path: what the file will be called.
            ending: of the temporary name, for libraries that go by it.

        Raises:
            InputError: `path` cannot be written.
        """
        with _telling(path):
            parent = _target_of(path).parent
            workshop = self._workshops.setdefault(parent, _Workshop(parent))
            workshop.make()
        part = workshop.folder / f"{len(self._parts)}{ending}"
        self._parts[part] = path
        return part

    def _put_in_place(self) -> None:
        """Rename all files; where one cannot be, those before it are taken back."""
        for part, path in self._parts.items():
            with _telling(path):
                _flush(part)
        last = next(reversed(self._parts), None)
        done: list[tuple[Path, Path | None]] = []
        try:
            for part, path in self._parts.items():
                with _telling(path):
                    target = _target_of(path)
                    with suppress(OSError):  # a new file, or a file system without modes
                        shutil.copymode(target, part)
                    old = None if part is last else _second_name(target, part)
                    part.replace(target)
                    done.append((target, old))
        except InputError:
            for target, old in reversed(done):
                if old is None:
                    target.unlink()
                else:
                    old.replace(target)
            raise
        for parent in self._workshops:
            _flush_folder(parent)


@contextmanager
def replacing(path: PathLike, outputs: Outputs | None = None, ending: str = "") -> Iterator[Path]:
    """Give a temporary name, which becomes `path` when the block succeeds: for libraries that open files themselves.

    Args:
        path: what the file will be called.
        outputs: the set that it belongs to; it is renamed when that is complete.
        ending: of the temporary name.

    Raises:
        InputError: the file cannot be written; the sentence tells why. Errors that name other files stay as they are.
    """
    with Outputs() if outputs is None else nullcontext(outputs) as files:
        part = files.part(path, ending)
        try:
            yield part
        except OSError as error:
            named = [name for name in (error.filename, error.filename2) if name is not None]
            if named and os.fspath(part) not in named:
                raise
            raise _unwritable(path, error) from error


@contextmanager
def writing(path: PathLike, outputs: Outputs | None = None) -> Iterator[BinaryIO]:
    """Give a binary stream whose bytes become the file `path` when the block succeeds.

    Args:
        path: what the file will be called.
        outputs: the set that it belongs to; it is renamed when that is complete.

    Raises:
        InputError: the file cannot be written; the sentence tells why. Other errors of the block stay as they are.
    """
    with Outputs() if outputs is None else nullcontext(outputs) as files:
        part = files.part(path)
        with _telling(path):
            file = _File(part, "x")
        stream = _Stream(file)
        try:
            yield stream
        finally:
            with _telling(path):
                stream.close()
                if file.error is not None:
                    raise file.error


def drop_link(path: Path) -> None:
    """Remove a link in the place of a file that only this program writes: it would lead us to somebody's file."""
    if path.is_symlink():
        path.unlink()


def file_sha256(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(CHUNK_BYTES):
            digest.update(block)
    return digest.hexdigest()


class _File(io.FileIO):
    """A file that remembers why a write failed: torch tells only that one did."""

    error: OSError | None = None

    def write(self, data: Any) -> int:  # whatever has a buffer
        try:
            return super().write(data)
        except OSError as error:
            self.error = error
            raise


class _Stream(io.BufferedWriter):
    def fileno(self) -> int:
        """None: given one, PIL writes past the file, which knows no reason when that fails."""
        raise io.UnsupportedOperation("fileno")


class _Workshop:
    """A folder of ours for files that are being made. Its name cannot be guessed, and nobody else may enter it."""

    def __init__(self, parent: Path) -> None:
        self._parent = parent
        self.folder = parent / f".{os.getpid()}.{_machine()}.{secrets.token_hex(8)}.partial"

    def make(self) -> None:
        """Make the folder, and remove those of processes that were killed."""
        if not self.folder.is_dir():
            self._sweep()
            self.folder.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        with signals_waiting():
            shutil.rmtree(self.folder, ignore_errors=True)

    def _sweep(self) -> None:
        ours = re.compile(rf"\.([1-9]\d{{0,8}})\.{_machine()}\.[0-9a-f]{{16}}\.partial")
        with suppress(PermissionError), os.scandir(self._parent) as entries:  # it may be one to put things into only
            for entry in entries:
                name = ours.fullmatch(entry.name)
                if name and entry.is_dir(follow_symlinks=False) and not is_running(int(name[1])):
                    shutil.rmtree(entry.path, ignore_errors=True)


def _machine() -> str:
    """A word for where process numbers have a meaning: folders may be shared with other computers and containers."""
    name = platform.node()
    with suppress(OSError):
        name += str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _target_of(path: PathLike) -> Path:
    """The file that would be written, which is another one where `path` is a link.

    Raises:
        InputError: that can be no output.
        OSError: the system does not even take the name.
    """
    name = os.fspath(path)
    try:
        is_name = b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # letters that the system has no bytes for
        is_name = False
    if not is_name:
        raise InputError(f"Cannot write {name!a}: this is no name for a file, choose another.")
    if name.endswith(("/", os.sep)):  # which `Path` would pass over
        raise InputError(f"Cannot write '{path}': this is the name of a folder, give that of a file.")
    target = Path(os.path.realpath(path)) if Path(path).is_symlink() else Path(path)
    if target.parent.exists() and not target.parent.is_dir():
        raise InputError(f"Cannot write '{path}': '{target.parent}' is a file, choose a folder.")
    if not target.parent.is_dir():
        raise InputError(f"Cannot write '{path}': the folder '{target.parent}' does not exist, create it first.")
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return target
    if stat.S_ISDIR(mode):
        raise InputError(f"Cannot write '{path}': it is a folder, give the name of a file.")
    if not stat.S_ISREG(mode):
        raise InputError(f"Cannot write '{path}': it is a pipe or a device, give the name of a file.")
    if not (mode & 0o222 and os.access(path, os.W_OK)):  # root may write all files, and should not
        raise InputError(f"Cannot write '{path}': the file is read-only, make it writable or choose another name.")
    return target


@contextmanager
def _telling(path: PathLike) -> Iterator[None]:
    """Turn what the system says about a file that is written into a sentence."""
    try:
        yield
    except OSError as error:
        raise _unwritable(path, error) from error


def _unwritable(path: PathLike, error: OSError) -> InputError:
    advice = {
        errno.ENOSPC: "the disk is full, free some space or choose another folder",
        errno.EDQUOT: "free some space or choose another folder",
        errno.ENAMETOOLONG: "choose a shorter one",
    }.get(error.errno or 0, "choose another name or folder")
    return InputError(f"Cannot write '{path}': {error.strerror or error} ({advice}).")


def _flush(path: Path) -> None:
    """Have a file on the disk: only then a full one, or one that is broken, is noticed by all file systems."""
    with path.open("r+b") as file:
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    """Have the names in a folder on the disk, where the system can do that."""
    with suppress(OSError):
        number = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


def _second_name(target: Path, part: Path) -> Path | None:
    """Give a file a second name beside the one that will take its place; None where there is no file."""
    old = part.with_name(f"{part.name}.old")
    try:
        os.link(target, old)
    except FileNotFoundError:
        return None
    except OSError:  # a file system without links
        shutil.copyfile(target, old)
    return old
