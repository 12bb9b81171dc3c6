"""`segment-propagate serve`: tokens are secrets, and nothing is served in the clear or to nobody."""

import json
import os
import socket
import stat
import subprocess
import sys

import pytest

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.server.tokens import Tokens


@pytest.fixture
def tokens(tmp_path):
    return tmp_path / "settings" / "tokens.json"


def serve(tokens, *words):
    return main(["serve", "--tokens", str(tokens), *words])


def test_a_token_is_printed_once_and_only_its_digest_is_kept(tokens, capsys):
    assert serve(tokens, "token", "add", "anna") == 0
    token = capsys.readouterr().out.strip()
    assert len(token) >= 40
    assert token not in tokens.read_text()
    assert Tokens(tokens).user_of(f"Bearer {token}") == "anna"
    assert Tokens(tokens).user_of(f"Bearer {token[:-1]}") is None
    if os.name == "posix":
        assert stat.S_IMODE(tokens.stat().st_mode) == 0o600


@pytest.mark.parametrize(("place", "words"), [("file/below/tokens.json", "cannot be made"), (".", "cannot be read")])
def test_a_place_where_no_tokens_can_be_is_told_in_a_sentence(place, words, tmp_path, capsys):
    (tmp_path / "file").touch()
    assert serve(tmp_path / place, "token", "add", "anna") == 2
    assert words in capsys.readouterr().err


def test_a_new_token_takes_the_old_one_s_place_and_a_removed_one_lets_nobody_in(tokens, capsys):
    for name in ("anna", "anna", "ben"):
        assert serve(tokens, "token", "add", name) == 0
    first, second, third = capsys.readouterr().out.split()
    assert [Tokens(tokens).user_of(f"Bearer {token}") for token in (first, second, third)] == [None, "anna", "ben"]
    assert main(["serve", "token", "list", "--tokens", str(tokens)]) == 0
    assert capsys.readouterr().out == "anna\nben\n"
    assert serve(tokens, "token", "remove", "anna") == 0
    assert Tokens(tokens).user_of(f"Bearer {second}") is None
    assert list(json.loads(tokens.read_text())) == ["ben"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "so nobody could come in: segment-propagate serve token add NAME"),
        (["token", "add"], "Whose token?"),
        (["token", "add", "a\nb"], "is no name for a user"),
        (["token", "remove", "anna"], "there is nobody"),
        (["--port", "99999"], "not a port"),
        (["--models", "sam9"], "There is no model or model file 'sam9'"),
        (["--models", "medsam2-ct-lesion"], "accept it once on this computer"),
    ],
)
def test_a_mistake_before_there_is_a_token(tokens, words, sentence, capsys):
    assert serve(tokens, *words) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--host", "0.0.0.0"], "others could read the images: give --cert and --key"),
        (["--host", "::"], "others could read the images"),
        (["--cert", "cert.pem"], "TLS needs both"),
        (["--cert", "no.pem", "--key", "no.pem"], "are no certificate and its key in PEM form"),
        (["--port", "TAKEN"], "choose another --port"),
        (["--host", "no.such.host.invalid", "--cert", "no.pem", "--key", "no.pem"], "no certificate"),
    ],
)
def test_a_server_that_should_not_be_is_not_started(tokens, words, sentence, capsys):
    pytest.importorskip("starlette", reason="needs the extra [server]")
    pytest.importorskip("uvicorn", reason="needs the extra [server]")
    Tokens(tokens).add("anna")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert serve(tokens, *(port if word == "TAKEN" else word for word in words)) == 2
    assert sentence in capsys.readouterr().err


def test_a_file_that_holds_no_tokens_is_not_overwritten(tokens, capsys):
    tokens.parent.mkdir()
    for content in ("[]", "{", '{"anna": 3}', '{"anna": "plain"}'):
        tokens.write_text(content)
        assert serve(tokens, "token", "add", "ben") == 2
        assert tokens.read_text() == content
        assert "is no file of tokens" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["starlette", "uvicorn"])
def test_a_missing_package_is_named(tokens, missing, monkeypatch, capsys):
    for name in [name for name in sys.modules if name.startswith(("SegmentPropagateLib.server.", missing))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    assert serve(tokens) == 2
    assert "pip install starlette uvicorn websockets zstandard" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "status"), [(["--help"], 0), (["-h"], 0), (["--chek"], 2), ([], 2)])
def test_the_stand_in_tells_help_from_an_address(words, status):
    command = [sys.executable, "-m", "SegmentPropagateLib.worker.client", *words]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == status
    if status:
        assert done.stderr.startswith("Give the address of one server, such as wss://")
    else:
        assert "SEGMENTPROPAGATE_TOKEN" in done.stdout
        assert done.stderr == ""
