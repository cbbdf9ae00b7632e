"""What answers before the service does."""

import socket
import threading

from loadtest.readiness_probe import wait_for_service


def echo_bytes(listener: socket.socket) -> None:
    """Answer each connection with its own words, as a port does that is connected to itself."""
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:  # closed: the test is over
            return
        with connection:
            connection.sendall(connection.recv(4096))


def test_wait_for_service_without_http_is_not_ready():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        echo = threading.Thread(target=echo_bytes, args=(listener,), daemon=True)
        echo.start()
        port = listener.getsockname()[1]

        why = wait_for_service(f"http://127.0.0.1:{port}", 0.3)

        listener.shutdown(socket.SHUT_RDWR)
        echo.join(5.0)

    assert why is not None
    assert "GET /health/ready" in why  # what came instead of an answer
    assert "waited 0.3 s" in why
