"""What a proxy, a full disk, a second process or a stranger does to a download: one sentence, no wrong file kept."""

import re
import subprocess
import sys
import threading
from dataclasses import replace

import numpy as np
import pytest
import torch
from cli_bench import BALL, save
from local_server import CONTENT, SHA256, cache, left_over, model, server  # noqa: F401 - fixtures
from small_models import random_weights

from SegmentPropagateLib.cli import main
from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.files import file_sha256
from SegmentPropagateLib.models import download, registry, transfer

PAGE = b"<!DOCTYPE html><html>Please log in</html>"

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """The bytes of a real, small model file."""
    path = tmp_path_factory.mktemp("weights") / "model.pt"
    torch.save(random_weights(), path)
    return path.read_bytes()


@pytest.fixture
def unknown(model, server, weights):
    """A model of which neither size nor digest is known to us, as those of MedSAM2."""
    server.content = weights
    return replace(model, sha256=None, size_bytes=None)


# The digest of the first download


@pytest.mark.parametrize("content", [PAGE, b"", b"no model", CONTENT, b"PK\x03\x04 broken"], ids=lambda c: str(c[:20]))
def test_what_is_no_model_is_not_kept_and_the_real_file_is_taken_later(server, unknown, cache, weights, content):
    server.content = content
    with pytest.raises(CheckpointError, match="What came for 'test' is no use"):
        download.fetch(unknown)
    assert left_over(cache) == []
    server.content = weights
    assert download.fetch(unknown).read_bytes() == weights


def test_the_digest_of_the_first_download_is_told_kept_and_held_against_the_next(server, unknown, cache):
    told = []
    path = download.fetch(unknown, notify=told.append)
    assert file_sha256(path) in told[-1]
    assert str(cache / "model.pt.sha256") in told[-1]
    path.unlink()
    server.content = CONTENT
    with pytest.raises(CheckpointError, match=r"not the published file.*by .*model\.pt\.sha256, which may be removed"):
        download.fetch(unknown)
    assert left_over(cache) == ["model.pt.sha256"]


@pytest.mark.parametrize("record", ["", "\n", "abc", "\0\0", "z" * 64])
def test_a_record_that_was_cut_is_written_anew(unknown, cache, record):
    path = download.fetch(unknown)
    (cache / "model.pt.sha256").write_text(record)
    told = []
    assert download.fetch(unknown, notify=told.append) == path
    assert len(told) == 1
    assert (cache / "model.pt.sha256").read_text().split() == [file_sha256(path), "model.pt"]


@pytest.mark.parametrize("is_known", [True, False])
def test_a_kept_file_that_was_changed_is_told(model, unknown, server, is_known):
    if is_known:
        server.content = CONTENT
    wanted = model if is_known else unknown
    path = download.fetch(wanted)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match=r"not the published file of 'test'.*remove it"):
        download.fetch(wanted)
    assert path.is_file()


# Servers and proxies


@pytest.mark.parametrize("location", ["http://example.org/x", "ftp://example.org/x", "file:///etc/passwd"])
def test_a_redirection_off_https_is_not_followed(server, model, location):
    server.location = location
    with pytest.raises(CheckpointError, match="by https only, not from " + re.escape(location)):
        download.fetch(model)


@pytest.mark.parametrize("location", ["/again", "http://[", "https://" + "a" * 300])
def test_a_redirection_to_nowhere_is_one_sentence(server, model, location):
    server.location = location
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        download.fetch(model)


def test_a_redirection_within_reach_is_followed(server, model):
    answer = server.answer

    def redirect_once(request):
        server.location, server.answer = "/elsewhere", answer
        answer(request)
        server.location = None

    server.answer = redirect_once
    assert download.fetch(model).read_bytes() == CONTENT


@pytest.mark.parametrize("length", ["abc", "-5", "1e9", "9" * 5000, "5, 6"])
def test_a_length_that_is_none_is_one_sentence(server, model, length):
    server.headers = {"Content-Length": length}
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        download.fetch(model)


def test_more_than_the_published_file_is_refused_before_and_while_it_comes(server, model, cache):
    server.content = CONTENT + b"more"
    with pytest.raises(CheckpointError, match="1048580 bytes or more where 1048576 are the limit"):
        download.fetch(model)
    server.headers = {"Content-Length": "1000000", "Connection": "close"}  # a lie, and then none at all
    del server.headers["Content-Length"]
    small = replace(model, size_bytes=300_000)
    with pytest.raises(CheckpointError, match="bytes or more where 300000 are the limit"):
        download.fetch(small)
    assert not (cache / "model.pt").exists()


def test_a_file_of_unknown_size_has_a_limit(server, unknown, monkeypatch):
    monkeypatch.setattr(transfer, "LARGEST_BYTES", 1000)
    with pytest.raises(CheckpointError, match="bytes or more where 1000 are the limit"):
        download.fetch(unknown)


# The disk


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files as Unix does")
def test_a_disk_that_gets_full_is_one_sentence_and_the_download_goes_on_later(server, model, cache):
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (600_000, before[1]))
    try:
        with pytest.raises(CheckpointError, match=r"cannot be used .*make room"):
            download.fetch(model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert 0 < (cache / "model.pt.part").stat().st_size <= 600_000
    assert download.fetch(model).read_bytes() == CONTENT
    assert server.ranges[-1] is not None


@pytest.mark.skipif(sys.platform == "win32", reason="needs a privilege on Windows")
@pytest.mark.parametrize("name", ["model.pt.part", "model.pt.part.etag", "model.pt.sha256"])
def test_a_link_in_the_place_of_our_files_does_not_lead_us_elsewhere(model, cache, tmp_path, name):
    cache.mkdir()
    (tmp_path / "precious").write_bytes(b"precious")
    (cache / name).symlink_to(tmp_path / "precious")
    assert download.fetch(model).read_bytes() == CONTENT
    assert (tmp_path / "precious").read_bytes() == b"precious"
    assert not (cache / "model.pt").is_symlink()


@pytest.mark.parametrize("name", ["model.pt.part", "model.pt", "model.pt.part.etag"])
def test_a_folder_in_the_place_of_our_files_is_one_sentence(model, cache, name):
    (cache / name / "x").mkdir(parents=True)
    with pytest.raises(CheckpointError, match="cannot be used"):
        download.fetch(model)


def test_without_a_home_folder_one_sentence_says_what_to_set(monkeypatch, capsys):
    def none():
        raise RuntimeError("Could not determine home directory.")

    for name in ("SEGMENTPROPAGATE_HOME", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(registry.Path, "home", none)
    with pytest.raises(InputError, match=r"no home folder.*set SEGMENTPROPAGATE_HOME"):
        registry.cache_folder()
    assert main(["models"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


# Two at once

FETCH = """
import sys
from SegmentPropagateLib.models import download, registry
model = registry.NamedModel("test", "", "sam2.1", "CC0-1.0", "model.pt", sys.argv[1], int(sys.argv[2]), sys.argv[3])
print(download.fetch(model, notify=print))
"""


def test_of_two_processes_one_downloads_and_the_other_waits(server, model, cache):
    words = [sys.executable, "-c", FETCH, server.url, str(len(CONTENT)), SHA256]
    held, answer = threading.Event(), server.answer

    def answer_when_both_are_there(request):
        held.wait(30)
        answer(request)

    server.answer = answer_when_both_are_there
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    threading.Timer(2.0, held.set).start()
    said = [process.communicate(timeout=120)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("Downloading" in lines for lines in said) == 1
    assert len(server.ranges) == 1
    assert (cache / "model.pt").read_bytes() == CONTENT


# Licences


@pytest.fixture
def restricted(model, monkeypatch):
    """A model whose licence the user has to confirm."""
    known = replace(model, licence="research only", forbids="commercial use", licence_url="https://example.org/licence")
    monkeypatch.setattr(registry, "REGISTRY", {known.name: known})
    return known


def test_weights_with_a_narrow_licence_wait_until_it_is_confirmed_once(server, restricted, cache):
    with pytest.raises(CheckpointError, match=r"not for commercial use.*https://example\.org.*--accept-licence"):
        download.fetch(restricted)
    assert server.ranges == []
    assert restricted.awaits_consent
    restricted.accept_licence()
    assert not restricted.awaits_consent
    download.fetch(restricted)
    (cache / "model.pt").unlink()
    download.fetch(restricted)
    assert "research only" in (cache / "model.pt.licence").read_text(encoding="utf-8")


def test_a_file_that_is_at_hand_asks_for_nothing(restricted, cache):
    cache.mkdir()
    (cache / "model.pt").write_bytes(CONTENT)
    assert not restricted.awaits_consent
    assert download.fetch(restricted) == cache / "model.pt"


def test_a_wide_licence_asks_for_nothing(model, cache):
    assert not model.awaits_consent
    model.accept_licence()
    assert not cache.exists()


def test_the_licences_that_are_confirmed_are_those_of_medsam2():
    narrow = {name for name, known in registry.REGISTRY.items() if known.forbids}
    assert narrow == {name for name in registry.REGISTRY if name.startswith("medsam2-")}


def test_the_command_line_confirms_a_licence(restricted, tmp_path, capsys):
    save(tmp_path / "image.nii.gz", BALL.astype(np.int16))
    words = ["propagate", str(tmp_path / "image.nii.gz"), "--box", "3,4,9,9", "--key-slice", "5", "--model", "test"]
    words += ["-o", str(tmp_path / "out.nii.gz")]
    assert main(words) == 2
    assert "--accept-licence" in capsys.readouterr().err
    assert main([*words, "--accept-licence"]) == 2
    assert "no model file" in capsys.readouterr().err  # the drawn content
    assert not restricted.awaits_consent
