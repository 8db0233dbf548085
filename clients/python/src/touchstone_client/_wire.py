"""What both clients share: requests as values, errors, when to try again, batches in parts."""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx

from ._photos import Listing, Part, Photo, form, line

#: Listings and bytes of one part of a batch at most. The service takes 1,000 lines unless it is set otherwise.
BATCH_LINES = 500
BATCH_BYTES = 32 << 20

#: What may work a moment later. 429 and 503 were refused before anything was done.
AGAIN = frozenset({429, 502, 503, 504})


class TouchstoneError(Exception):
    """Whatever goes wrong between here and the service."""


class Unreachable(TouchstoneError):
    """The service did not answer, however often it was asked."""


class Problem(TouchstoneError):
    """The service refused a request, and said why."""

    def __init__(self, body: dict[str, Any]) -> None:
        """Holds a problem+json object."""
        super().__init__(f"{body.get('code')}: {body.get('detail')}")
        #: Stable kebab-case code.
        self.code: str = str(body.get("code", "unknown"))
        #: What was wrong and what to do.
        self.detail: str = str(body.get("detail", ""))
        #: The HTTP status.
        self.status: int = int(body.get("status", 0))
        #: Which photo is at fault, from 0, where one is.
        self.photo: int | None = body.get("photo")
        #: Seconds after which to try again, where the service said so.
        self.retry_after: float | None = body.get("retry_after")


@dataclass(frozen=True)
class Retries:
    """How often a request is sent, and how long is waited in between."""

    #: Times in all; 1 means never again.
    tries: int = 5
    #: Seconds before the second try; they double each time.
    first_wait: float = 0.5
    #: Seconds between two tries at most.
    longest_wait: float = 30.0

    def wait(self, tried: int, asked: float | None) -> float:
        """Seconds to wait after so many tries; somewhat drawn, so that clients do not come back together."""
        wait = min(self.first_wait * 2.0 ** (tried - 1), self.longest_wait) * random.uniform(0.5, 1.0)
        return max(wait, asked or 0.0)


RETRIES = Retries()


@dataclass(frozen=True)
class Call:
    """A request that was not sent yet."""

    method: str
    path: str
    headers: dict[str, str] = field(default_factory=dict)
    files: list[Part] | None = None
    json: Any = None
    params: dict[str, str] | None = None
    content: bytes | None = None
    #: Whether it may be sent again after it may have been done: it changes nothing, or no more the second time.
    repeatable: bool = True

    def arguments(self) -> dict[str, Any]:
        """For httpx."""
        return {
            "headers": self.headers,
            "files": self.files,
            "json": self.json,
            "params": self.params,
            "content": self.content,
        }


def problem(response: httpx.Response) -> Problem:
    """Why a response is no answer."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        # A proxy in between, which knows nothing of problems.
        body = {"code": "no-problem-json", "status": response.status_code, "detail": response.text[:200]}
    asked = response.headers.get("retry-after", "")
    if "retry_after" not in body and asked.isdigit():
        body["retry_after"] = float(asked)
    return Problem(body)


def may_go_again(call: Call, response: httpx.Response) -> bool:
    """Whether a refused request is sent again."""
    return response.status_code in AGAIN and (call.repeatable or response.status_code in {429, 503})


def check(photos: Sequence[Photo], key: str | None, fields: dict[str, str | int | None]) -> Call:
    """A check; with a key of its own, so that it can be sent again."""
    headers = {"idempotency-key": key or f"py-{uuid.uuid4()}"}
    return Call("POST", "/v1/checks", headers=headers, files=form(photos, fields))


def lookup(photo: Photo, fields: dict[str, str | int | None]) -> Call:
    """A look-up by photo."""
    return Call("POST", "/v1/lookups", files=form([photo], fields))


def add_reference(brand: str, photo: Photo, fields: dict[str, str | int | None]) -> Call:
    """A new reference. The service answers the one that is there when it is sent again."""
    return Call("POST", f"/v1/brands/{part(brand)}/references", files=form([photo], fields))


def part(text: str) -> str:
    """A text inside a path."""
    return quote(text, safe="")


def given(**values: Any) -> dict[str, str]:
    """Query parameters that were given."""
    return {name: str(value) for name, value in values.items() if value is not None}


@dataclass
class Piece:
    """A part of a batch: its lines, and which of them are answered."""

    key: str
    lines: list[bytes] = field(default_factory=list)
    size: int = 0
    done: set[int] = field(default_factory=set)

    def call(self) -> Call:
        """The request for all of it: what was answered before costs the service nothing."""
        headers = {"idempotency-key": self.key, "content-type": "application/x-ndjson"}
        return Call("POST", "/v1/checks:batch", headers=headers, content=b"".join(self.lines))

    def is_news(self, answer: dict[str, Any], last: bool) -> bool:
        """Whether a line's answer is one to hand on: not handed on yet, and final."""
        number = answer.get("line")
        if not isinstance(number, int) or number in self.done:
            return False
        if answer.get("status") in AGAIN and not last:
            return False
        self.done.add(number)
        return True

    def is_whole(self) -> bool:
        """Whether every line was handed on."""
        return len(self.done) == len(self.lines)


def pieces(listings: Iterable[Listing], key: str | None, most_lines: int) -> Iterator[Piece]:
    """Cuts listings into parts; the same listings and key give the same parts."""
    key = key or f"py-{uuid.uuid4()}"
    piece = Piece(f"{key}/0")
    number = 0
    for listing in listings:
        text = line(listing)
        if piece.lines and (len(piece.lines) == most_lines or piece.size + len(text) > BATCH_BYTES):
            yield piece
            number += 1
            piece = Piece(f"{key}/{number}")
        piece.lines.append(text)
        piece.size += len(text)
    if piece.lines:
        yield piece
