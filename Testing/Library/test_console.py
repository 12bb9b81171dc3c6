"""What a file says of itself does not reach the terminal as a command."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import random_weights

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli.console import ProgressLines, duration, printable, speaker


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Niere links, 3 mm²", "Niere links, 3 mm²"),
        ("肝臓", "肝臓"),
        ("\x1b[2Jgone", "\\x1b[2Jgone"),
        ("\x9b2J", "\\x9b2J"),
        ("a\rb\nc\x07", "a\\rb\\nc\\x07"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("\udcff", "\\udcff"),
        ('it\'s "so" \\n', 'it\'s "so" \\n'),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_its_escape(text, shown):
    assert printable(text) == shown


def test_a_name_in_a_model_file_does_not_reach_the_terminal_as_a_command(tmp_path, capsys):
    weights = {**random_weights(), "\x1b[2Jevil": torch.ones(1)}
    torch.save({"model": weights}, tmp_path / "x.pt")
    assert main(["inspect", str(tmp_path / "x.pt")]) == 0
    torch.save({"\x1b[2Jevil": torch.ones(1)}, tmp_path / "x.pt")
    assert main(["inspect", str(tmp_path / "x.pt")]) == 2
    speaker(quiet=False)("\x1b[2Jevil")
    out, err = capsys.readouterr()
    assert "\\x1b[2Jevil" in out
    assert err.count("\\x1b[2Jevil") == 2
    assert "\x1b" not in out + err


def test_a_long_run_tells_in_lines_how_far_it_is_and_how_long_it_takes():
    told, now = [], iter([0.0, 10.0, 31.0, 40.0, 100.0])
    lines = ProgressLines(told.append, every_s=30, clock=lambda: next(now))
    for step in (1, 2, 3, 4):
        lines.tell(step, 5, ["loss 0.5"], at_once=step == 4)
    lines.tell(5, 5, ["loss 0.4"])
    assert told == [
        "Step 1 of 5, loss 0.5",
        "Step 3 of 5, loss 0.5, 31 s left",
        "Step 4 of 5, loss 0.5, 13 s left",
        "Step 5 of 5, loss 0.4",
    ]


@pytest.mark.parametrize(("seconds", "words"), [(12.4, "12 s"), (600, "10 min"), (9000, "2.5 h")])
def test_a_time_is_told_to_two_digits(seconds, words):
    assert duration(seconds) == words


def test_an_interrupt_ends_the_program_at_once_whatever_its_threads_do(tmp_path):
    """As of one that imports PyTorch, and within code made from text, where Python would end by the signal itself."""
    (tmp_path / "sitecustomize.py").write_text(
        "import threading, time\n"
        "from SegmentPropagateLib.cli import models\n"
        "def run(arguments):\n"
        "    threading.Thread(target=time.sleep, args=(60,)).start()\n"
        "    print('told', end='')\n"
        "    exec('raise KeyboardInterrupt')\n"
        "models.run = run\n"
    )
    root = Path(__file__).resolve().parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(root)])}
    words = [sys.executable, "-m", "SegmentPropagateLib", "models"]
    ended = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (130, "told")
    assert ended.stderr == "segment-propagate: Interrupted; no file was left half written.\n"


def test_nothing_slow_is_imported_before_an_interrupt_ends_in_a_sentence():
    code = "import sys; import SegmentPropagateLib.cli; print('argparse' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "False\n"
