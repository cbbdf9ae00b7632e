"""The playground as a person uses it: a real service, a real Chromium."""

import json
import shutil
import socket
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from service.api.example_requests import read_logged_requests
from tests.service.serving import Serving

pytestmark = [pytest.mark.browser, pytest.mark.slow]
TOKEN = "a-token-of-20-letters"
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WAIT_MS = 15_000


@pytest.fixture(scope="module")
def handover(artifact_folder):
    return artifact_folder.parent / "handover"


@pytest.fixture(scope="module")
def settings(handover):
    return {
        "playground": True,
        "requests_file": handover / "requests.jsonl",
        "users_file": handover / "users.bin",
        # The machine of a test run is busy: a short budget would show in the answers.
        "request_budget_ms": 5000,
        "max_budget_ms": 5000,
        "feature_budget_ms": 500,
    }


@pytest.fixture(scope="module")
def server(artifact_folder, settings):
    with Serving(artifact_folder, **settings) as serving:
        yield serving.ready()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    binary = shutil.which("chromium")
    assert binary, "the marker `browser` needs chromium on PATH"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary, args=FLAGS)
        yield browser
        browser.close()


class Seen:
    """What the page did besides showing itself."""

    def __init__(self, page: Page) -> None:
        self.wrong: list[str] = []
        self.hosts: set[str] = set()
        page.on("console", lambda m: self.wrong.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: self.wrong.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.partition("/playground")[0]))


@pytest.fixture
def page(chromium):
    """A page of a profile of its own."""
    context = chromium.new_context(viewport={"width": 1440, "height": 900})
    made = context.new_page()
    made.set_default_timeout(WAIT_MS)
    yield made
    context.close()


@pytest.fixture
def seen(page):
    return Seen(page)


@pytest.fixture
def opened(page, seen, server):
    """The page with its first list."""
    page.goto(f"{server.url}/playground")
    expect(page.locator("#after li").first).to_be_visible(timeout=WAIT_MS)
    return page


def ids(page: Page, which: str = "after") -> list[str]:
    return [
        str(i) for i in page.locator(f"#{which} li").evaluate_all("r => r.map(e => e.dataset.id)")
    ]


def shown_number(text: str) -> float:
    """The first number of a text of the page."""
    return float(text.split()[0].replace("\N{MINUS SIGN}", "-"))


def asking(page: Page):
    """Wait for the answer to what the block changes."""
    return page.expect_response(
        lambda r: r.url.endswith("/rerank") and '"explain":true' in (r.request.post_data or ""),
        timeout=WAIT_MS,
    )


def test_the_page_shows_the_answer_beside_the_input_and_asks_nobody_else(
    opened, seen, server, artifact, handover
):
    first = read_logged_requests(handover / "requests.jsonl", 1)[0]["request"]
    titles = dict(zip(artifact.items.ids, artifact.items.display["title"], strict=True))
    with server.client() as client:
        answer = client.post("/rerank", json=first | {"num_lists": 8}).json()

    size = len(answer["items"])
    assert ids(opened, "before") == first["candidates"]["item_id"][:size]
    assert ids(opened) == [item["item_id"] for item in answer["items"]]
    shown = opened.locator("#after li .title").all_inner_texts()
    assert shown == [titles[item["item_id"]] for item in answer["items"]]
    chances = opened.locator("#after li .chance .value").all_inner_texts()
    assert [text.split()[0] for text in chances] == [f"{i['p_click']:.2f}" for i in answer["items"]]
    assert opened.locator("#score").inner_text().count(f"{answer['reward']:.3f}") == 1
    assert opened.locator("#lines path").count() == size
    assert opened.locator("#compared li").count() == answer["lists_evaluated"]
    assert seen.wrong == []
    assert {host for host in seen.hosts if not host.startswith(("data:", server.url))} == set()


def test_playground_numbers_agree_with_each_other(opened, seen):
    with asking(opened) as answered:
        opened.get_by_label("Seed").fill("5")
    answer = answered.value.json()
    expect(opened.locator("#columns")).not_to_have_attribute("aria-busy", "true")

    scores = [shown_number(t) for t in opened.locator("#compared .value").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == round(max(one["score"] for one in answer["explanation"]["lists"]), 3)

    stages = [shown_number(t) for t in opened.locator("#times dd").all_inner_texts()]
    headline = shown_number(opened.locator("#score .facts dd").last.inner_text())
    assert headline == pytest.approx(sum(stages), abs=0.1)  # each is rounded
    assert f"{headline:.1f} ms for the list" in opened.locator("#times").inner_text()

    conversions = opened.locator("#after .conversion").all_inner_texts()
    expected = [f"{item['p_conversion']:.2f}" for item in answer["items"]]
    assert [text.split()[0] for text in conversions] == expected
    assert "prediction, not a measurement" in opened.locator("#score").inner_text()
    assert seen.wrong == []


def test_another_seed_and_more_lists_change_the_list(opened, seen):
    lists = set()
    for seed in range(8):
        with asking(opened):
            opened.get_by_label("Seed").fill(str(seed))
        expect(opened.locator("#columns")).not_to_have_attribute("aria-busy", "true")
        lists.add(tuple(ids(opened)))
    assert len(lists) > 1

    with asking(opened) as answered:
        opened.locator("#num-lists").fill("20")
    assert answered.value.request.post_data_json["num_lists"] == 20
    expect(opened.locator("#compared li")).to_have_count(answered.value.json()["lists_evaluated"])
    assert seen.wrong == []


def test_pins_and_exclusions_are_obeyed_and_can_be_taken_back(opened, seen):
    before = ids(opened)
    third = opened.locator("#after li").nth(2)
    third.hover()
    with asking(opened):
        third.get_by_role("button", name="Exclude").click()
    expect(opened.locator(f'#after li[data-id="{before[2]}"]')).to_have_count(0)

    last = opened.locator("#after li").last
    kept = last.get_attribute("data-id")
    last.hover()
    with asking(opened):
        last.get_by_role("button", name="Pin").click()
    with asking(opened):
        opened.get_by_label("Seed").fill("77")
    expect(opened.locator("#chips li")).to_have_count(2)
    assert ids(opened)[-1] == kept

    opened.locator("#rest-title").click()
    offered = opened.locator("#rest li").last
    with asking(opened) as answered:
        offered.get_by_role("combobox").select_option("0")
    pinned = answered.value.request.post_data_json["constraints"]["pinned"]
    wanted = next(pin["item_id"] for pin in pinned if pin["slot"] == 0)
    expect(opened.locator("#after li").first).to_have_attribute("data-id", wanted)

    while opened.locator("#chips button").count():
        with asking(opened):
            opened.locator("#chips button").first.click()
    with asking(opened) as answered:
        opened.get_by_label("Seed").fill("")
    assert "constraints" not in answered.value.request.post_data_json
    expect(opened.locator("#after li").nth(2)).to_have_attribute("data-id", before[2])
    assert ids(opened) == before
    assert seen.wrong == []


def test_a_cap_is_obeyed(opened, seen):
    opened.get_by_label("Field").select_option("brand")
    opened.get_by_label("Items").fill("1")
    with asking(opened) as answered:
        opened.get_by_role("button", name="Add").click()

    assert answered.value.request.post_data_json["constraints"]["caps"] == [
        {"field": "brand", "max": 1}
    ]
    expect(opened.locator("#chips")).to_contain_text("each brand")
    expect(opened.locator("#columns")).not_to_have_attribute("aria-busy", "true")
    brands = [t.split()[-1] for t in opened.locator("#after li .title").all_inner_texts()]
    assert len(set(brands)) == len(brands)
    assert seen.wrong == []


def test_a_slot_explains_itself_by_keyboard(opened, seen):
    opened.locator("#after li button.body").nth(1).focus()
    opened.keyboard.press("Enter")

    expect(opened.locator("#why h2")).to_have_text("Why slot 2")
    title = opened.locator("#after li .title").nth(1).inner_text()
    expect(opened.locator("#why .subject")).to_have_text(title)
    assert 1 <= opened.locator("#why .tried li").count() <= 5
    assert opened.locator("#after li button.body").nth(1).get_attribute("aria-pressed") == "true"
    assert seen.wrong == []


def test_rules_that_no_list_can_obey_are_told_and_the_old_list_stays(opened):
    before = ids(opened)
    opened.get_by_label("Rule", exact=True).select_option("minimum")
    opened.get_by_label("Field").select_option("brand")
    opened.get_by_label("Items").fill("9")
    with asking(opened) as answered:
        opened.get_by_role("button", name="Add").click()

    assert answered.value.status == 422
    expect(opened.get_by_role("alert")).to_contain_text("cannot be met")
    expect(opened.get_by_role("alert")).to_contain_text("constraints.minimums")
    assert ids(opened) == before
    with asking(opened):
        opened.locator("#chips button").click()
    expect(opened.get_by_role("alert")).to_be_empty()


def test_a_token_is_asked_for_and_forgotten_with_the_page(page, artifact_folder, settings):
    with Serving(artifact_folder, **settings, api_tokens=json.dumps([TOKEN])) as serving:
        page.goto(f"{serving.ready().url}/playground")
        expect(page.get_by_role("alert")).to_contain_text("wants a token", timeout=WAIT_MS)
        page.get_by_label("Bearer token").fill(TOKEN)
        page.get_by_role("button", name="Use it").click()
        expect(page.locator("#after li").first).to_be_visible(timeout=WAIT_MS)

        kept = "JSON.stringify([document.cookie, {...localStorage}, {...sessionStorage}, location])"
        assert TOKEN not in page.evaluate(kept)
        page.reload()
        expect(page.get_by_role("alert")).to_contain_text("wants a token", timeout=WAIT_MS)


def test_a_busy_and_a_dead_service_are_told_apart(page, artifact_folder, settings):
    busy = {"max_inflight": 1, "max_waiting": 0, "body_timeout_ms": 60_000}
    with Serving(artifact_folder, **settings, **busy) as serving:
        page.goto(f"{serving.ready().url}/playground")
        expect(page.locator("#after li").first).to_be_visible(timeout=WAIT_MS)
        with socket.create_connection(("127.0.0.1", serving.port)) as hog:
            hog.sendall(b"POST /rerank HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{")
            with asking(page) as answered:
                page.get_by_label("Seed").fill("3")
            assert answered.value.status == 429
            expect(page.get_by_role("alert")).to_contain_text("The service is busy")
            expect(page.get_by_role("alert")).to_contain_text("Try again in 1 s")
        with asking(page):
            page.get_by_role("button", name="Try again").click()
        expect(page.get_by_role("alert")).to_be_empty()
        serving.process.kill()
        serving.process.wait()
        page.get_by_label("Seed").fill("4")
        expect(page.get_by_role("alert")).to_contain_text("No answer", timeout=WAIT_MS)
