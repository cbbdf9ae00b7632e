"""The OpenAPI document, compared with its snapshot: a change of the API shows in a diff.

`python -m tests.service.api.test_openapi` writes the snapshot anew.
"""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.api.errors import STATUS, code_of
from service.composition import build_service
from service.settings import Settings

SNAPSHOT = Path(__file__).with_name("openapi.json")
SETTINGS = {
    "RERANK_ARTIFACT_DIR": "/no/artifact",
    "RERANK_API_TOKENS": '["a-token-of-20-letters"]',
    "RERANK_ADMIN_TOKEN": "a-token-of-20-letters",
    "RERANK_PLAYGROUND": "true",
    "RERANK_REQUESTS_FILE": "/no/requests.jsonl",
}


def current_document() -> dict[str, Any]:
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SETTINGS.items():
            patch.setenv(name, value)
        service = build_service(Settings.from_environment(os.environ), 0)
    service.worker.close()
    return service.app.openapi()


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return current_document()


def test_openapi_document_equals_its_snapshot(document):
    assert document == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_openapi_rerank_documents_body_and_every_status(document):
    rerank = document["paths"]["/rerank"]["post"]
    body = rerank["requestBody"]["content"]["application/json"]["schema"]
    statuses = {str(int(s)) for kind, s in STATUS.items() if code_of(kind) != "manifest_error"}

    assert body == {"$ref": "#/components/schemas/RerankRequestBody"}
    assert "RerankRequestBody" in document["components"]["schemas"]
    assert set(rerank["responses"]) >= (statuses - {"404", "405", "409"}) | {"200"}
    assert rerank["security"] == [{"token": []}]


def test_openapi_references_are_all_defined(document):
    text = json.dumps(document)
    used = {part.split('"')[0] for part in text.split('"#/components/schemas/')[1:]}

    assert used <= set(document["components"]["schemas"])


async def test_docs_pages_load_nothing_from_elsewhere(monkeypatch):
    for name, value in SETTINGS.items():
        monkeypatch.setenv(name, value)
    service = build_service(Settings(), 0)
    transport = httpx.ASGITransport(app=service.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        for page in ("/docs", "/redoc"):
            text = (await client.get(page)).text
            addresses = [
                part.split('"')[0] for word in ('src="', 'href="') for part in text.split(word)[1:]
            ]
            assert len(addresses) >= 2
            for address in addresses:
                assert address.startswith("/"), address
                assert (await client.get(address)).status_code == 200
        home = (await client.get("/")).text
        for path in ("docs", "redoc", "playground"):
            assert f'href="{path}"' in home
            assert (await client.get(f"/{path}")).status_code == 200
    service.worker.close()


def main() -> None:
    text = json.dumps(current_document(), indent=1, sort_keys=True, ensure_ascii=False)
    SNAPSHOT.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
