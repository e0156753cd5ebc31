"""The local stack as a newcomer has it: the story of a share from the first tap to the funnel, and how it ends.

One process of its own serves the story; everything here goes over HTTP, as from a phone, a browser and a mall.
"""

import base64
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import urllib3
from standardwebhooks.webhooks import Webhook

import app
from chalicelib.core import deliveries, due, facts
from infra.local import stack
from infra.local.clients import Store
from tests.e2e.stack import ROOT, Running, started
from tests.uploads import PNG

STARTS_WITHIN_S = 60.0  # it takes three; other tests may be running
SEEN_WITHIN_S = 15.0
TEA = {"target": {"kind": "product", "id": "tea"}, "channel": "wechat"}


@dataclass(frozen=True)
class Phone:
    """Somebody in front of the stack, signed in or not."""

    http: urllib3.PoolManager
    url: str
    token: str = ""

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> urllib3.BaseHTTPResponse:
        """One request."""
        shown = {"authorization": f"Bearer {self.token}"} if self.token else {}
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        given = {"content-type": "application/json", **shown, **headers}
        return self.http.request(method, self.url + path, body=content, headers=given)

    def get(self, path: str) -> Any:
        """What a GET answers, which succeeds."""
        answer = self.ask("GET", path)
        assert answer.status == 200, answer.data
        return answer.json()

    def post(self, path: str, body: Any, *, status: int = 200) -> Any:
        """What a POST answers, which has this status."""
        answer = self.ask("POST", path, body)
        assert answer.status == status, answer.data
        return answer.json()

    def refused(self, method: str, path: str, body: Any = None) -> tuple[int, str]:
        """Status and code of a refusal."""
        answer = self.ask(method, path, body)
        return answer.status, answer.json()["error"]["code"]

    def signed_in(self, name: str, *, status: int = 201, **came_by: Any) -> tuple["Phone", Any]:
        """The same phone with a session of this person, and what signing in said."""
        said = self.post("/v1/sessions", {"program_id": "demo", "code": name, **came_by}, status=status)
        return Phone(self.http, self.url, said["token"]), said


@pytest.fixture(scope="module")
def served() -> Iterator[Running]:
    """A stack for all the stories."""
    with started() as running:
        yield running


@pytest.fixture(scope="module")
def anybody(served: Running) -> Iterator[Phone]:
    """A phone of nobody in particular."""
    with urllib3.PoolManager(retries=False, timeout=10) as pool:
        yield Phone(pool, served.url)


def eventually(look: Callable[[], Any], wanted: Any) -> None:
    """It is so soon: reactions follow the stream."""
    give_up_at = time.monotonic() + SEEN_WITHIN_S
    while (seen := look()) != wanted:
        assert time.monotonic() < give_up_at, f"{seen} is not {wanted}"
        time.sleep(0.05)


def steps(sharer: Phone, code: str) -> tuple[int, int, int]:
    """How many opened a link, became members by it, and were bound."""
    total = sharer.get(f"/v1/links/{code}/funnel")["total"]
    return total["opened"], total["new_members"], total["bound"]


def test_alice_shares_bob_comes_and_alice_sees_what_came_of_it(anybody: Phone) -> None:
    assert [one["program_id"] for one in anybody.get("/v1/programs")["items"]] == ["carnival", "demo"]
    alice, said = anybody.signed_in("alice")
    assert said["member"]["new"] and not said["bound"]
    alice.ask("PUT", "/v1/me", {"nickname": "Alice"})
    link = alice.post("/v1/links", TEA, status=201)
    code = link["code"]
    assert link["card"]["title"] == "Alice found this for you: Spring jasmine tea, ¥89.00"

    opened = anybody.post(f"/v1/links/{code}/visits", {"wx_scene": 1007, "visitor": "bobs-phone"})
    again = anybody.post(f"/v1/links/{code}/visits", {"wx_scene": 1007, "visitor": "bobs-phone"})
    assert (opened["sharer"]["nickname"], opened["target"]) == ("A**", TEA["target"])
    assert opened["counted"] and again["counted"]

    bob, said = anybody.signed_in("bob", visit_token=opened["visit_token"])
    assert said["member"]["new"] and said["bound"] and said["visit_refused"] is None
    assert said["visit"]["sharer"]["nickname"] == "Alice"
    assert bob.get("/v1/me/binding")["promoter"]["nickname"] == "Alice"

    eventually(lambda: steps(alice, code), (1, 1, 1))
    (today,) = alice.get(f"/v1/links/{code}/funnel?days=1")["items"]
    assert today["opened_by"] == {"chat": 1}


def test_the_same_share_button_always_has_the_same_link(anybody: Phone) -> None:
    carol, _ = anybody.signed_in("carol")

    first = carol.post("/v1/links", TEA, status=201)
    batch = carol.post("/v1/links/batch", {"links": [TEA, {**TEA, "channel": "moments"}]})

    assert carol.post("/v1/links", TEA)["code"] == first["code"] == batch["items"][0]["code"]
    assert batch["items"][1]["code"] != first["code"]


def test_a_link_has_a_page_for_people_outside_wechat(anybody: Phone) -> None:
    dora, _ = anybody.signed_in("dora")
    link = dora.post("/v1/links", TEA, status=201)
    assert link["url"] == f"{anybody.url}/s/{link['code']}"

    page = anybody.ask("GET", urlsplit(link["url"]).path, **{"accept-language": "zh-CN"})

    html = page.data.decode()
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert '<html lang="zh-CN">' in html and "¥89.00" in html and "<svg" in html
    assert re.search(rf'<meta property="og:url" content="{re.escape(link["url"])}">', html)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert steps(dora, link["code"]) == (0, 0, 0)


def test_a_link_has_a_code_to_scan(anybody: Phone) -> None:
    erin, _ = anybody.signed_in("erin")
    path = f"/v1/links/{erin.post('/v1/links', TEA, status=201)['code']}/qr"

    svg, png = anybody.ask("GET", path), anybody.ask("GET", f"{path}?format=png", accept="image/png")
    inside = anybody.get(f"{path}?format=base64")

    assert svg.data.startswith(b"<svg") and svg.headers["content-type"].startswith("image/svg+xml")
    assert png.data.startswith(b"\x89PNG") and png.headers["content-type"] == "image/png"
    assert inside["content_type"] == "image/png" and inside["base64"].startswith("iVBOR")


def test_the_mall_signs_a_member_in_on_its_word(anybody: Phone) -> None:
    body = json.dumps({"external_id": "mall-7", "program_id": "demo"})
    now = datetime.now(UTC)
    signature = Webhook(b"demo-mall-secret").sign("msg_7", now, body)
    headers = {
        "webhook-id": "msg_7",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": signature,
    }

    first = anybody.ask("POST", "/v1/mall/sessions", body.encode(), **headers)
    again = anybody.ask("POST", "/v1/mall/sessions", body.encode(), **headers)
    changed = anybody.ask("POST", "/v1/mall/sessions", body.replace("7", "8").encode(), **headers)

    assert (first.status, again.status, changed.status) == (201, 200, 401)
    member = Phone(anybody.http, anybody.url, first.json()["token"]).get("/v1/me")
    assert member["member_id"] == again.json()["member"]["member_id"]


def test_what_operators_do_leaves_a_trail(anybody: Phone) -> None:
    frank, _ = anybody.signed_in("frank")
    owner = Phone(anybody.http, anybody.url, "demo-owner-key")
    code = frank.post("/v1/links", TEA, status=201)["code"]

    owner.post(f"/v1/admin/links/{code}/off", {"reason": "spam"})

    newest = owner.get("/v1/admin/audit?limit=1")["items"][0]
    assert (newest["action"], newest["subject"], newest["by_name"]) == ("link.off", code, "Demo owner")


def test_nothing_comes_of_what_may_not_be(anybody: Phone) -> None:
    grace, _ = anybody.signed_in("grace")
    heidi, _ = anybody.signed_in("heidi")
    code = grace.post("/v1/links", {**TEA, "placement": "top"}, status=201)["code"]

    _, herself = anybody.signed_in("grace", status=200, link=code)
    assert (herself["bound"], herself["visit_refused"]) == (False, "self_referral")
    assert heidi.refused("GET", f"/v1/links/{code}/funnel") == (404, "not_found")
    assert heidi.refused("DELETE", f"/v1/links/{code}") == (404, "not_found")
    assert anybody.refused("GET", "/v1/me") == (401, "unauthorized")
    assert anybody.refused("POST", "/v1/sessions", {"program_id": "demo", "code": "no such code"}) == (
        401,
        "login_code_invalid",
    )
    assert grace.ask("DELETE", f"/v1/links/{code}").status == 200
    assert grace.refused("POST", "/v1/links", {**TEA, "placement": "top"}) == (410, "link_off")
    assert anybody.refused("POST", f"/v1/links/{code}/visits", {}) == (410, "link_off")
    assert anybody.ask("GET", f"/s/{code}").status == 410
    # Somebody whose link is over is let in all the same.
    _, said = anybody.signed_in("ivan", link=code)
    assert (said["member"]["new"], said["bound"], said["visit_refused"]) == (True, False, "link_off")
    assert anybody.refused("GET", "/v1/nowhere") == (404, "not_found")


# --- beginning and end --------------------------------------------------------------------------------------


@contextlib.contextmanager
def launched(said: Path, *arguments: str) -> Iterator["subprocess.Popen[bytes]"]:
    """The command as a newcomer types it, whose words go to a file; what is still there at the end is killed."""
    command = [sys.executable, "-u", "-m", "infra.local", *arguments]
    with said.open("wb") as out, subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out) as process:
        try:
            yield process
        finally:
            process.kill()


def address(said: Path) -> str:
    """Where it says that it serves, once it does."""
    give_up_at = time.monotonic() + STARTS_WITHIN_S
    while (found := re.search(r"serving on (http://\S+)", said.read_text())) is None:
        assert time.monotonic() < give_up_at, said.read_text()
        time.sleep(0.02)
    return found[1]


def test_it_stops_when_it_is_told_to_even_while_somebody_waits(tmp_path: Path) -> None:
    said = tmp_path / "said"
    with launched(said, "--port", "0") as process:
        url = urlsplit(address(said))
        assert url.hostname and url.port
        with socket.create_connection((url.hostname, url.port)) as waiting:
            waiting.sendall(b"GET /v1/programs HTTP/1.1\r\nHost: x\r\n\r\n")
            assert waiting.recv(100).startswith(b"HTTP/1.1 200 ")
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=10) == 0

    assert said.read_text().endswith("Stopped.\n") and "Traceback" not in said.read_text()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((url.hostname, url.port))


def test_a_port_that_is_taken_is_said_in_one_line(served: Running, tmp_path: Path) -> None:
    said = tmp_path / "said"
    port = str(urlsplit(served.url).port)

    with launched(said, "--port", port) as process:
        assert process.wait(timeout=STARTS_WITHIN_S) == 1

    (line,) = said.read_text().splitlines()
    assert line.startswith(f"Cannot serve on 127.0.0.1:{port}: ") and "Address already in use" in line


def test_what_it_does_not_understand_is_said_at_once(tmp_path: Path) -> None:
    said = tmp_path / "said"

    with launched(said, "--store", "paper") as process:
        assert process.wait(timeout=STARTS_WITHIN_S) == 2
    assert "embedded" in said.read_text() and "dynamodb-local" in said.read_text()


def test_the_jobs_run_again_and_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    stop = threading.Event()

    def run(*, job: str, **_: Any) -> None:
        ran.append(job)
        if min(ran.count(facts.JOB), ran.count(deliveries.JOB)) == 3:
            stop.set()

    monkeypatch.setattr(due, "run", run)
    monkeypatch.setattr(stack, "JOBS_EVERY_S", 0.001)
    give_up = threading.Timer(STARTS_WITHIN_S, stop.set)
    give_up.start()

    stack._schedule(app, stop)

    give_up.cancel()
    assert min(ran.count(facts.JOB), ran.count(deliveries.JOB)) == 3


def test_a_picture_is_posted_as_a_phone_does_and_stands_in_the_poster(anybody: Phone) -> None:
    carol, _ = anybody.signed_in("carol-with-a-picture")
    asked = {"kind": "avatar", "size": len(PNG), "content_type": "image/png"}
    begun = carol.post("/v1/uploads", asked, status=201)
    form = {**begun["form"], begun["file_field"]: ("a.png", PNG)}
    assert carol.http.request("POST", begun["url"], fields=form, encode_multipart=True).status == 204
    carol.post(f"/v1/uploads/{begun['upload_id']}/done", {})
    me = carol.ask("PUT", "/v1/me", {"nickname": "Carol", "avatar": begun["upload_id"]}).json()

    # WeChat's check comes first: until then there is no such picture for anybody.
    eventually(lambda: carol.http.request("GET", me["avatar_url"], redirect=True, retries=2).status, 200)
    seen = carol.http.request("GET", me["avatar_url"], redirect=True, retries=2)
    assert (seen.status, seen.data, seen.headers["content-type"]) == (200, PNG, "image/png")
    code = carol.post("/v1/links", TEA, status=201)["code"]
    poster = carol.ask("GET", f"/v1/links/{code}/poster.svg?program_id=demo").data
    assert b"data:image/png;base64," + base64.b64encode(PNG) in poster and b">89</text>" in poster
    opening = carol.post(f"/v1/links/{code}/openings", {"kind": "url_link", "program_id": "demo"})
    assert opening["url"].encode() in anybody.ask("GET", f"/s/{code}").data
