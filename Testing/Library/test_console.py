"""What a file says of itself does not reach the terminal as a command."""

import pytest
import torch
from small_models import random_weights

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.cli.console import printable, speaker


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
