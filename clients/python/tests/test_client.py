from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from conftest import Service

from touchstone_client import AsyncClient, Client, Listing, Photo, Problem, Retries, Unreachable

FAST = Retries(tries=4, first_wait=0.01, longest_wait=0.02)


@pytest.fixture
def client(service: Service) -> Client:
    return Client(service.url, service.key)


def test_a_brands_fake_is_found_and_everything_about_it_can_be_asked(client: Client, photos: Path) -> None:
    fake = client.add_reference("acme", photos / "coins.png", polarity="fake", product="coins")
    again = client.add_reference("acme", (photos / "coins.png").read_bytes(), polarity="fake")
    assert again["id"] == fake["id"]
    check = client.check([photos / "coffee.png", photos / "coins.png"], seller_id="S1", listing_id="L1")
    assert (check["verdict"], check["action"]) == ("known_fake_match", "review")
    assert check["photos"][1]["name"] == "coins.png"
    assert client.get_check(check["id"]) == check
    assert client.case(check["id"])["check_id"] == check["id"]
    assert client.lookup(photos / "coins.png", k=1)[0]["reference_id"] == fake["id"]
    assert [reference["id"] for reference in client.references("acme")] == [fake["id"]]
    assert client.update_reference("acme", fake["id"], {"notes": "seen in May"})["notes"] == "seen in May"
    assert client.put_policy("acme", {"block": False})["version"] == 1
    assert client.certificate("acme")["certified"] is False
    assert client.index()["references"] == 1
    assert client.is_ready()
    client.delete_reference("acme", fake["id"])
    assert list(client.references("acme")) == []


def test_problems_are_errors_with_their_code(client: Client, photos: Path) -> None:
    with pytest.raises(Problem) as refused:
        client.check([photos / "coffee.png", b"%PDF-1.7"])
    assert (refused.value.code, refused.value.status, refused.value.photo) == ("photo-type-unsupported", 415, 1)
    with pytest.raises(Problem) as refused:
        client.check(["https://img.example.com/1.jpg"])
    assert refused.value.code == "photo-url-off"
    with pytest.raises(ValueError, match="is no URL"):
        client.check(["coffee.png"])
    with pytest.raises(Problem) as refused:
        Client(client._url, "tsk_wrong").index()
    assert refused.value.code == "key-unknown"


def test_the_same_key_gets_the_same_answer(client: Client, photos: Path) -> None:
    first = client.check([photos / "coffee.png"], idempotency_key="once")
    assert client.check([photos / "coffee.png"], idempotency_key="once") == first


def listings(photos: Path) -> list[Listing]:
    names = ["coffee.png", "chelsea.png", "rocket.jpg"]
    good: list[Listing] = [{"id": name, "photos": [photos / name], "seller_id": "S1"} for name in names]
    return [*good, {"id": "wrong", "photos": [b"%PDF-1.7"]}]


def test_a_batch_in_parts_is_answered_line_by_line_and_the_same_again(client: Client, photos: Path) -> None:
    first = {answer["id"]: answer for answer in client.check_batch(listings(photos), key="monday", lines=2)}
    assert {name: answer["status"] for name, answer in first.items()} == {
        "coffee.png": 200,
        "chelsea.png": 200,
        "rocket.jpg": 200,
        "wrong": 415,
    }
    problem = first["wrong"]["problem"]
    assert problem is not None and problem["code"] == "photo-type-unsupported"
    again = {answer["id"]: answer for answer in client.check_batch(listings(photos), key="monday", lines=2)}
    assert again["coffee.png"]["replayed"] and again["coffee.png"]["check"] == first["coffee.png"]["check"]


def test_the_async_client_does_the_same(service: Service, photos: Path) -> None:
    async def run() -> tuple[str, list[str | None]]:
        async with AsyncClient(service.url, service.key) as client:
            checks = await asyncio.gather(*(client.check([photos / "coffee.png"]) for _ in range(4)))
            answers = [answer["id"] async for answer in client.check_batch(listings(photos))]
            assert await client.is_ready()
            return checks[0]["verdict"], answers

    verdict, answers = asyncio.run(run())
    assert verdict == "no_match"
    assert sorted(str(answer) for answer in answers) == ["chelsea.png", "coffee.png", "rocket.jpg", "wrong"]


class Flaky(httpx.BaseTransport):
    """Answers each request by the next of `answers`."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.read()
        self.asked.append(request)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, httpx.Response)
        return answer


def flaky(*answers: Any) -> tuple[Client, Flaky]:
    transport = Flaky(*answers)
    return Client("http://service", "k", retries=FAST, http=httpx.Client(transport=transport)), transport


def busy() -> httpx.Response:
    return httpx.Response(429, json={"code": "busy", "status": 429, "detail": "", "retry_after": 0})


def test_what_may_work_later_is_sent_again_with_the_same_key_and_what_may_not_is_not() -> None:
    done = httpx.Response(200, json={"id": "chk_1"})
    client, sent = flaky(busy(), httpx.ReadError("broken"), httpx.Response(503, text="proxy"), done)
    assert client.check([b"photo"])["id"] == "chk_1"
    assert len({request.headers["idempotency-key"] for request in sent.asked}) == 1
    client, sent = flaky(*(busy() for _ in range(4)))
    with pytest.raises(Problem):
        client.check([b"photo"])
    assert len(sent.asked) == 4
    client, sent = flaky(httpx.Response(422, json={"code": "photo-empty", "status": 422, "detail": ""}))
    with pytest.raises(Problem):
        client.check([b""])
    # An appeal may have been heard.
    client, sent = flaky(httpx.ReadError("broken"))
    with pytest.raises(Unreachable):
        client.appeal("chk_1", "I am innocent")
    assert len(sent.asked) == 1


def test_a_part_that_broke_off_is_sent_again_and_no_answer_comes_twice() -> None:
    def lines(*all: dict[str, Any]) -> httpx.Response:
        return httpx.Response(200, content="".join(json.dumps(line) + "\n" for line in all))

    one = {"line": 1, "status": 200, "check": {"id": "chk_1"}}
    two = {"line": 2, "status": 200, "check": {"id": "chk_2"}}
    full = {"line": 2, "status": 503, "problem": {"code": "storage-unavailable"}}
    end = {"end": {"lines": 2, "answered": 2, "failed": 0}}
    photos: list[Photo] = [b"photo"]
    client, sent = flaky(busy(), lines(one), lines(one, full, end), lines(one, two, end))
    answers = list(client.check_batch([{"photos": photos}, {"photos": photos}], key="k"))
    assert [answer["line"] for answer in answers] == [1, 2]
    assert {request.headers["idempotency-key"] for request in sent.asked} == {"k/0"}
    client, _ = flaky(*(lines(one) for _ in range(4)))
    with pytest.raises(Unreachable, match="after 1 of 2"):
        list(client.check_batch([{"photos": photos}, {"photos": photos}]))
