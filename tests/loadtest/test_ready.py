"""What answers before the service does."""

import socket
import threading

from loadtest.ready import wait_until_ready


def repeat_what_is_said(listener: socket.socket) -> None:
    """Answer each connection with its own words, as a port does that is connected to itself."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: the test is over
            return
        with connection:
            connection.sendall(connection.recv(4096))


def test_whoever_answers_without_http_is_not_ready_yet():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        echo = threading.Thread(target=repeat_what_is_said, args=(listener,), daemon=True)
        echo.start()
        port = listener.getsockname()[1]

        why = wait_until_ready(f"http://127.0.0.1:{port}", 0.3)

        listener.shutdown(socket.SHUT_RDWR)
        echo.join(5.0)

    assert why is not None
    assert "GET /health/ready" in why  # what came instead of an answer
    assert "waited 0.3 s" in why
