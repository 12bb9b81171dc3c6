"""Reads damaged copies of a file in a process of its own that has 2 GiB, and 20 s for each: run as a program.

    python mutated_files.py FOLDER FIRST COUNT KIND...

Kinds are those of `damaged_kinds`. It prints, for each as JSON, the outcomes that are neither a result nor an error of
one sentence.
"""

import json
import os
import random
import re
import resource
import signal
import sys
from pathlib import Path

from damaged_kinds import KINDS

from SegmentPropagateLib.errors import InputError
from SegmentPropagateLib.worker.messages import MessageError

HEADER_BYTES = 1000
MEMORY_BYTES, SECONDS = 2 << 30, 20
ENDED = b"\x1eended\x1e"
WORDS = (
    *(b"nan", b"inf", b"-1", b"0", b"1e308", b"2147483647", b"4294967296", b"99999999999999999999", b"16", b"5"),
    *(b"%d", b"LIST", b"/etc/passwd", b"../../x", b"\n", b"\0", b"\xff", b" ", b"(", b"none", b": ", b":=", b" = "),
    *(b"gzip", b"raw", b"hex", b"text", b"double", b"True", b"1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18"),
    *(b"\xff" * 4, b"\xff\xff\xff\x7f", b"[" * 2000, b"null", b'"', b"{}", b",", b";", b"}q\x00", b"\xfe\xff\xdd\xe0"),
)


def mutate(content, seed):
    """Change a few bytes, words or lines, mostly of the header."""
    rng = random.Random(seed)
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 3, 6))):
        end = min(len(changed), HEADER_BYTES) if rng.random() < 0.75 else len(changed)
        place = rng.randrange(end) if end else 0
        words = list(re.finditer(rb"[^\s:=(),]+", bytes(changed[:HEADER_BYTES])))
        lines = bytes(changed[:HEADER_BYTES]).split(b"\n")
        kind = rng.randrange(6)
        if kind == 0:
            changed[place : place + 1] = rng.randbytes(1)
        elif kind == 1:
            changed[place:place] = rng.choice(WORDS)
        elif kind == 2:
            del changed[place : place + rng.choice((1, 3, 20, 20, len(changed)))]
        elif kind == 3:
            changed[place : place + 40] *= 2
        elif kind == 4 and words:
            word = rng.choice(words)
            changed[word.start() : word.end()] = rng.choice(WORDS)
        elif kind == 5:
            rng.shuffle(lines)
            changed[:HEADER_BYTES] = b"\n".join(lines)
    return bytes(changed)


def outcome_of(read, path):
    """The empty string for a result or one sentence, else what went wrong."""
    try:
        read(path)
    except (InputError, MessageError) as error:
        sentence = str(error)
        return "" if sentence.endswith(".") and "\n" not in sentence else f"no sentence: {sentence}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, the test shows it
        return repr(error)
    return ""


def read_apart(read, path, whole, seeds):
    """The outcome of each mutation in turn, up to the one that the child process dies of; also what is on stderr."""
    out, into = os.pipe()
    child = os.fork()  # one for all: a fork beside torch takes 20 ms, most files are read in one
    if child == 0:
        resource.setrlimit(resource.RLIMIT_DATA, (MEMORY_BYTES, MEMORY_BYTES))  # torch's libraries have 10 GB of code
        os.dup2(into, 2)
        for seed in seeds:
            path.write_bytes(mutate(whole, seed))
            signal.alarm(SECONDS)
            os.write(into, outcome_of(read, path).encode()[:4000] + ENDED)
        os.kill(os.getpid(), signal.SIGTERM)  # Python would tidy up torch first, half a second each time
    os.close(into)
    with os.fdopen(out, "rb") as pipe:
        *said, last = (piece.decode(errors="replace") for piece in pipe.read().split(ENDED))
    _, status = os.waitpid(child, 0)
    return said if status == signal.SIGTERM else [*said, f"died with {status}: {last}"]


def draw(name, folder):
    """The file of a kind, in a folder, with all that belongs to it."""
    path = Path(folder) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS[name][1](path)
    return path


def outcomes_of(name, folder, seeds):
    """What went wrong with a kind of file: seed and outcome."""
    path, read = draw(name, folder), KINDS[name][0]
    whole = path.read_bytes()
    read(path)  # as it is; and what is imported now is not by every child
    found = []
    while len(found) < len(seeds):
        found += read_apart(read, path, whole, seeds[len(found) :])
    return [(seed, outcome) for seed, outcome in zip(seeds, found, strict=True) if outcome]


def main(folder, first, count, *names):
    seeds = range(int(first), int(first) + int(count))
    wrong = {name: outcomes_of(name, Path(folder) / str(number), seeds) for number, name in enumerate(names)}
    print(json.dumps(wrong))  # noqa: T201 - its result


if __name__ == "__main__":
    main(*sys.argv[1:])
