"""The local MLflow server's port and its probe, and who the client says it is."""

import base64
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from raymoco.errors import DataError
from raymoco.passwords import mask
from raymoco.tracking.server import LocalServer, free_port
from raymoco.tracking.store import open_store


class Answers(BaseHTTPRequestHandler):
    """Says that all is well, and remembers who asked."""

    seen: list[str]

    def do_GET(self):
        self.server.seen.append(self.headers.get("Authorization", ""))
        body = b'{"experiment": {"experiment_id": "7", "lifecycle_stage": "active"}}'
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    found = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    found.seen = []
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


def test_a_port_that_is_taken_is_followed_by_the_next_free_one():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = free_port(port)
        assert port < found < port + 100
        assert free_port(found) == found


def test_where_no_port_is_free_that_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 65535))
        taken.listen()
        with pytest.raises(DataError, match="port 65535 is taken"):
            free_port(65535)


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_the_probe_of_loopback_asks_no_proxy(server, monkeypatch, name):
    monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert LocalServer("sqlite:////nowhere", server.server_port)._answers()


@pytest.mark.parametrize("user", ["", "me:s3cret@"])
def test_the_client_says_who_it_is_by_the_environment_or_the_uri(server, monkeypatch, user):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    if not user:
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "s3cret")
    uri = mask(f"http://{user}127.0.0.1:{server.server_port}")
    assert "s3cret" not in uri
    open_store(uri, "raymoco", None)
    expected = "Basic " + base64.b64encode(b"me:s3cret").decode()
    assert set(server.seen) == {expected}


def test_a_masked_uri_of_an_earlier_process_takes_the_password_of_the_environment(
    server, monkeypatch
):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "other")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "word")
    open_store(f"http://other:***@127.0.0.1:{server.server_port}", "raymoco", None)
    assert set(server.seen) == {"Basic " + base64.b64encode(b"other:word").decode()}
