import pytest
from starlette.datastructures import Headers

from service.api.auth import BearerAuth
from service.errors import Unauthorized


def test_bearer_auth_accepts_known_tokens_only():
    auth = BearerAuth(["first-token-0000", "second-token-000"])

    auth.verify(Headers({"authorization": "Bearer second-token-000"}))
    for shown in ("", "Bearer ", "Bearer second-token-00", "Basic second-token-000", "Bearer ünï"):
        with pytest.raises(Unauthorized):
            auth.verify(Headers(raw=[(b"authorization", shown.encode())]))


def test_bearer_auth_compares_bytes_of_the_header():
    auth = BearerAuth(["schlüssel-für-alles"])

    auth.verify(Headers(raw=[(b"authorization", "Bearer schlüssel-für-alles".encode())]))
    for shown in ("Bearer schlüssel-für-allen".encode(), "Bearer schlüssel".encode("latin-1")):
        with pytest.raises(Unauthorized):
            auth.verify(Headers(raw=[(b"authorization", shown)]))


def test_bearer_auth_without_tokens_rejects_everything():
    with pytest.raises(Unauthorized):
        BearerAuth([]).verify(Headers({"authorization": "Bearer "}))
