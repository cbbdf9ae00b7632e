"""What the playground's page reads, and the page's own files."""

import json
import re
from importlib import resources
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from model.contract.wire.request import parse_request
from service.api.app import build_app
from service.api.auth import BearerAuth
from service.api.example_requests import read_logged_requests
from service.api.playground.request_catalog import RequestCatalog
from service.api.routes.playground import playground_routes
from service.composition import build_service
from service.rerank.artifact_slot import ArtifactSlot
from service.settings import Settings
from tests.service.asking import model_of

TOKEN = "a-token-of-20-letters"
ASKED = {"authorization": f"Bearer {TOKEN}"}
FILES = {
    file.name: file.read_text(encoding="utf-8")
    for file in resources.files("service.api.playground").iterdir()
    if file.name.endswith((".html", ".css", ".js"))
}


@pytest.fixture(scope="module")
def logged(artifact_folder):
    return read_logged_requests(artifact_folder.parent / "handover" / "requests.jsonl", 1000)


@pytest.fixture(scope="module")
def app(artifact, logged):
    catalog, models = RequestCatalog(), ArtifactSlot()
    catalog.fill(logged)
    models.swap(model_of(artifact))
    return build_app([playground_routes(catalog, models, BearerAuth([TOKEN]))])


def client_of(app: FastAPI, headers: dict[str, str]) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://service", headers=headers)


async def got(app: FastAPI, path: str) -> dict[str, Any]:
    async with client_of(app, ASKED) as client:
        answer = await client.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_users_come_page_by_page_in_the_order_of_the_file(app, logged):
    users = list(dict.fromkeys(line["request"]["user_id"] for line in logged))
    of_first = [line for line in logged if line["request"]["user_id"] == users[0]]

    first = await got(app, "/playground/users?limit=3")
    second = await got(app, "/playground/users?limit=3&offset=3")

    assert first["total"] == second["total"] == len(users)
    assert [u["user_id"] for u in first["users"] + second["users"]] == users[:6]
    assert first["users"][0]["requests"] == len(of_first)


async def test_users_are_found_by_the_beginning_of_their_id(app, logged):
    users = {line["request"]["user_id"] for line in logged}
    wanted = sorted(users)[0][:2]

    found = await got(app, f"/playground/users?prefix={wanted}&limit=100")

    assert {u["user_id"] for u in found["users"]} == {u for u in users if u.startswith(wanted)}
    assert (await got(app, "/playground/users?prefix=nobody"))["total"] == 0


async def test_a_request_comes_as_rerank_takes_it_with_titles_and_values(app, artifact, logged):
    user = logged[0]["request"]["user_id"]
    listed = (await got(app, f"/playground/requests?user_id={user}"))["requests"]
    shown = await got(app, f"/playground/requests/{listed[0]['at']}")

    assert shown["request"] == logged[0]["request"]
    ids = parse_request(json.dumps(shown["request"]).encode()).item_ids
    assert listed[0]["candidates"] == len(ids)
    titles = artifact.items.display["title"]
    assert [i["title"] for i in shown["items"]] == [
        titles[artifact.items.index_by_id[i]] for i in ids
    ]
    for item in shown["items"]:  # the toy log's titles end with the brand
        assert item["values"]["brand"] == [item["title"].split()[-1]]
    assert "brand" in shown["ruled_fields"]


async def test_clicked_items_are_those_of_the_log(app, logged):
    for at in range(5):
        labels, ids = logged[at]["labels"], logged[at]["request"]["candidates"]["item_id"]
        known = (
            {i for i, click in zip(ids, labels["clicks"], strict=True) if click == 1}
            if labels["clicks"] is not None
            else {
                i
                for i, click in zip(labels["shown"], labels["shown_clicks"], strict=True)
                if click == 1
            }
        )
        assert set((await got(app, f"/playground/requests/{at}"))["clicked"]) == known


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/playground/users?limit=101", 422, "invalid_request"),
        ("/playground/users?offset=-1", 422, "invalid_request"),
        ("/playground/requests", 422, "invalid_request"),
        ("/playground/requests/100000", 404, "not_found"),
        ("/playground/requests/-1", 404, "not_found"),
        ("/playground/requests/x", 422, "invalid_request"),
        ("/playground/routes.py", 404, "not_found"),
    ],
)
async def test_what_is_not_there_or_too_much_gets_the_one_error_shape(app, path, status, code):
    async with client_of(app, ASKED) as client:
        answer = await client.get(path)

    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


async def test_only_the_page_itself_is_open_where_tokens_are_asked_for(app):
    async with client_of(app, {}) as client:
        for path in ("users", "requests?user_id=u1", "requests/0"):
            assert (await client.get(f"/playground/{path}")).status_code == 401
        assert (await client.get("/playground")).status_code == 200


async def test_every_file_forbids_whatever_does_not_come_from_the_service(app):
    async with client_of(app, {}) as client:
        for name in FILES:
            answer = await client.get("/playground" + ("" if name == "index.html" else f"/{name}"))
            assert answer.text == FILES[name]
            policy = answer.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "script-src 'self';" in policy
            assert "unsafe" not in policy
            assert answer.headers["x-content-type-options"] == "nosniff"


def test_the_page_asks_no_other_host_and_has_nothing_inline():
    for name, text in FILES.items():
        away = set(re.findall(r"(?:https?:)?//[\w.]+", re.sub(r"(?m)^\s*//.*$", "", text)))
        assert away <= {"http://www.w3.org"}, name  # the name of SVG, never fetched
    page = FILES["index.html"]
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)", page)
    named = re.findall(r'(?:href|src)="playground/([^"]+)"', page)
    assert set(named) <= set(FILES)
    for name in FILES:
        for other in re.findall(r'from "\./([^"]+)"', FILES[name]):
            assert other in FILES


def test_every_control_of_the_page_has_a_label():
    page = FILES["index.html"]
    ids = re.findall(r'<(?:input|select)[^>]*\sid="([^"]+)"', page)
    assert len(ids) >= 11
    assert set(ids) <= set(re.findall(r'<label for="([^"]+)"', page))


def luminance(color: str) -> float:
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_text_can_be_read_in_light_and_in_dark():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    blocks = re.findall(r":root \{(.*?)\}", FILES["style.css"], flags=re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        color = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))
        pairs = [(text, on) for text in ("ink", "soft", "accent") for on in ("ground", "card")]
        pairs += [("loss", "loss-wash"), ("fresh", "fresh-wash"), ("ink", "accent-wash")]
        for text, on in pairs:
            assert contrast(color[text], color[on]) >= 4.5, (text, on)


@pytest.mark.parametrize("on", [True, False])
async def test_the_page_is_there_only_where_it_is_asked_for(monkeypatch, artifact_folder, on):
    monkeypatch.setenv("RERANK_ARTIFACT_DIR", str(artifact_folder))
    requests_file = artifact_folder.parent / "handover" / "requests.jsonl"
    monkeypatch.setenv("RERANK_REQUESTS_FILE", str(requests_file))
    monkeypatch.setenv("RERANK_PLAYGROUND", str(on))
    service = build_service(Settings(), 0)
    try:
        async with client_of(service.app, {}) as client:
            assert (await client.get("/playground")).status_code == (200 if on else 404)
            assert (await client.get("/playground/users")).status_code == (200 if on else 404)
            paths = (await client.get("/openapi.json")).json()["paths"]
        assert ("/playground/requests/{at}" in paths) == on
    finally:
        await service.close()
