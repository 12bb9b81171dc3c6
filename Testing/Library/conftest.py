"""What holds for all tests of the library: no network, and nobody's model folder; and a case that many tests share."""

import socket

import pytest

LOCAL = ("127.0.0.1", "localhost", "::1")


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path_factory):
    """Connections reach this machine only, and downloads go to a folder of the test's own."""
    connect = socket.socket.connect

    def connect_locally(self, address):
        if isinstance(address, tuple) and address[0] not in LOCAL:
            raise OSError(f"A test tried to reach {address[0]}.")
        return connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", connect_locally)
    monkeypatch.setenv("SEGMENTPROPAGATE_HOME", str(tmp_path_factory.getbasetemp() / "models"))


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A folder with one finished case of a drawn body, and its values and labels."""
    from drawn_bodies import body, placed, save_case

    folder = tmp_path_factory.mktemp("template")
    values, labels = body(0)
    save_case(folder, "anna", values, labels, placed(values))
    return folder, values, labels


@pytest.fixture
def dataset(tmp_path):
    """A folder of three cases to learn from, a ball in each."""
    from tiny_training import ball, write_pair

    for index, name in enumerate(("ann", "bob", "cleo")):
        write_pair(tmp_path / "data", name, *ball(center=4 + index, radius=4 + index))
    return tmp_path / "data"


@pytest.fixture
def tiny(tmp_path):
    """The file of a network that is small enough to be trained in a test."""
    from tiny_training import save_tiny

    return save_tiny(tmp_path / "tiny.pt")
