"""Downloads against a local server that misbehaves in the ways servers do."""

import re
import socket
from dataclasses import replace
from itertools import pairwise

import pytest
from local_server import CONTENT, SHA256, cache, left_over, model, server  # noqa: F401 - fixtures

from SegmentPropagateLib.errors import CancelledError, CheckpointError, InputError
from SegmentPropagateLib.models import download, registry, transfer
from SegmentPropagateLib.worker import service
from SegmentPropagateLib.worker.replies import Downloading

pytestmark = pytest.mark.usefixtures("cache")


def test_a_model_is_downloaded_once_and_then_taken_from_the_cache(server, model, cache):
    assert download.fetch(model).read_bytes() == CONTENT
    assert download.fetch(model) == cache / "model.pt"
    assert server.ranges == [None]
    assert left_over(cache) == ["model.pt", "model.pt.sha256"]


def test_licence_and_address_are_told_before_the_first_byte(server, model):
    told = []
    server.status = 404
    with pytest.raises(CheckpointError):
        download.fetch(model, notify=told.append)
    assert len(told) == 1
    assert "CC0-1.0" in told[0]
    assert server.url in told[0]


def test_progress_ends_at_the_size_of_the_file(model):
    seen = []
    download.fetch(model, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (len(CONTENT), len(CONTENT))


def test_a_dropped_connection_is_continued_where_it_broke(server, model):
    server.drop_after = [300_000, 300_000, 1000]
    assert download.fetch(model).read_bytes() == CONTENT
    starts = [int(r.removeprefix("bytes=").removesuffix("-")) for r in server.ranges[1:]]
    assert server.ranges[0] is None
    assert len(starts) == 3
    assert all(0 < a <= b for a, b in pairwise(starts))


def test_a_later_run_continues_what_an_earlier_one_left(server, model, cache):
    server.drop_after = [500_000, 0, 0, 0, 0]
    with pytest.raises(CheckpointError, match="what has arrived is kept"):
        download.fetch(model)
    assert not (cache / "model.pt").exists()
    kept = (cache / "model.pt.part").stat().st_size
    assert kept > 0
    server.ranges.clear()
    server.drop_after = []
    assert download.fetch(model).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={kept}-"]


def test_a_server_that_ignores_ranges_is_read_from_the_start(server, model):
    server.honours_range = False
    server.drop_after = [400_000]
    assert download.fetch(model).read_bytes() == CONTENT


def test_a_file_that_changed_between_two_attempts_is_not_joined(server, model, cache):
    cache.mkdir()
    (cache / "model.pt.part").write_bytes(b"x" * 1000)
    (cache / "model.pt.part.etag").write_text('"older"')
    assert download.fetch(model).read_bytes() == CONTENT
    assert server.ranges == ["bytes=1000-"]


def test_a_complete_part_file_needs_only_its_check(server, model, cache):
    cache.mkdir()
    (cache / "model.pt.part").write_bytes(CONTENT)
    assert download.fetch(model).read_bytes() == CONTENT


def test_a_part_file_longer_than_the_file_is_thrown_away(server, model, cache):
    cache.mkdir()
    (cache / "model.pt.part").write_bytes(CONTENT + b"more")
    assert download.fetch(model).read_bytes() == CONTENT


def test_wrong_content_is_refused_and_removed(server, model, cache):
    server.content = b"not the model" * 1000
    with pytest.raises(CheckpointError, match="not the published file") as error:
        download.fetch(model)
    assert str(cache / "model.pt") in str(error.value)
    assert left_over(cache) == []


def test_a_missing_page_is_reported_at_once(server, model, cache):
    server.status = 404
    with pytest.raises(CheckpointError, match="404"):
        download.fetch(model)
    assert len(server.ranges) == 1
    assert left_over(cache) == []


def test_a_busy_server_is_asked_again_and_then_given_up(server, model):
    server.status = 503
    with pytest.raises(CheckpointError, match="503"):
        download.fetch(model)
    assert len(server.ranges) == transfer.PATIENCE


def test_without_network_the_message_says_which_file_to_put_where(model, cache):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    offline = replace(model, url=f"http://127.0.0.1:{port}/model.pt")
    with pytest.raises(CheckpointError) as error:
        download.fetch(offline)
    assert offline.url in str(error.value)
    assert str(cache / "model.pt") in str(error.value)
    assert "\n" not in str(error.value)


def test_a_file_put_there_by_hand_is_taken_without_a_request(server, model, cache):
    cache.mkdir()
    (cache / "model.pt").write_bytes(CONTENT)
    assert download.fetch(model) == cache / "model.pt"
    assert server.ranges == []


def test_a_wrong_file_put_there_by_hand_is_refused_and_left(model, cache):
    cache.mkdir()
    (cache / "model.pt").write_bytes(b"another file")
    with pytest.raises(CheckpointError, match="remove it"):
        download.fetch(model)
    assert left_over(cache) == ["model.pt"]


def test_without_digest_and_version_a_download_starts_over(server, model):
    server.etag = None
    server.drop_after = [400_000]
    with pytest.raises(CheckpointError, match="is no use"):  # drawn content is no model
        download.fetch(replace(model, sha256=None))
    assert server.ranges == [None, None]


@pytest.mark.parametrize("url", ["http://example.org/model.pt", "ftp://127.0.0.1/model.pt", "file:///etc/passwd"])
def test_nothing_is_fetched_over_an_insecure_connection(model, url):
    with pytest.raises(CheckpointError, match="https only"):
        download.fetch(replace(model, url=url))


def test_a_cache_folder_that_cannot_be_made_is_named(model, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path / "file" / "cache"))
    with pytest.raises(CheckpointError, match="SEGMENTPROPAGATE_HOME"):
        download.fetch(model)


def test_a_full_disk_is_noticed_before_the_download(server, model):
    with pytest.raises(CheckpointError, match="make room"):
        download.fetch(replace(model, size_bytes=1 << 60))
    assert server.ranges == []


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(InputError, match=r"sam2\.1-tiny"):
        registry.find("sam3")


def test_every_named_model_states_its_licence_and_a_secure_source():
    for name, known in registry.REGISTRY.items():
        assert known.name == name
        assert known.licence
        assert known.about
        assert known.url is None or known.url.startswith("https://")
        assert known.sha256 is None or re.fullmatch("[0-9a-f]{64}", known.sha256)
        assert known.url is None or known.url.endswith(known.file_name)
        assert not known.forbids or known.licence_url.startswith("https://")


def test_the_worker_tells_how_far_a_download_is(model, monkeypatch):
    monkeypatch.setattr(registry, "REGISTRY", {model.name: model})
    sent = []
    service.fetch_named(model.name, sent.append, lambda: False)
    assert model.is_ready
    assert sent[-1].bytes_done == sent[-1].bytes_total == model.path.stat().st_size
    assert {type(reply) for reply in sent} == {Downloading}
    service.fetch_named(model.name, pytest.fail, lambda: True)  # at hand: nothing is asked, told or cancelled


def test_a_cancelled_download_ends_at_once_and_goes_on_the_next_time(server, model, monkeypatch, cache):
    monkeypatch.setattr(registry, "REGISTRY", {model.name: model})
    with pytest.raises(CancelledError):
        service.fetch_named(model.name, lambda message: None, lambda: True)
    assert not model.is_ready
    service.fetch_named(model.name, lambda message: None, lambda: False)
    assert model.is_ready
