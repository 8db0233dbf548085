"""Photos and listings, as callers give them and as the service wants them."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Required, TypedDict

#: A path to read, the bytes themselves, or a URL that the service may fetch.
Photo = Path | bytes | str


class Listing(TypedDict, total=False):
    """A listing in a batch."""

    photos: Required[Sequence[Photo]]
    id: str
    idempotency_key: str
    listing_id: str
    seller_id: str
    brand: str
    category: str


Part = tuple[str, tuple[str | None, bytes | str]]


def form(photos: Sequence[Photo], fields: dict[str, str | int | None]) -> list[Part]:
    """The parts of a form, in the order given."""
    parts: list[Part] = [(name, (None, str(value))) for name, value in fields.items() if value is not None]
    for number, photo in enumerate(photos):
        if isinstance(photo, Path):
            parts.append(("photo", (photo.name, photo.read_bytes())))
        elif isinstance(photo, bytes):
            parts.append(("photo", (f"photo-{number}", photo)))
        else:
            parts.append(("photo_url", (None, _url(photo))))
    return parts


def line(listing: Listing) -> bytes:
    """A line of a batch."""
    known = {"id", "idempotency_key", "listing_id", "seller_id", "brand", "category"}
    unknown = set(listing) - known - {"photos"}
    if unknown:
        raise ValueError(f"a listing has {', '.join(sorted(unknown))}; expected photos and {', '.join(sorted(known))}")
    body: dict[str, Any] = {name: value for name, value in listing.items() if name in known and value is not None}
    body["photos"] = [_in_line(photo) for photo in listing["photos"]]
    return json.dumps(body, ensure_ascii=False).encode() + b"\n"


def _in_line(photo: Photo) -> dict[str, str]:
    if isinstance(photo, Path):
        return {"photo": base64.b64encode(photo.read_bytes()).decode(), "name": photo.name}
    if isinstance(photo, bytes):
        return {"photo": base64.b64encode(photo).decode()}
    return {"photo_url": _url(photo)}


def _url(text: str) -> str:
    if "://" not in text:
        raise ValueError(f"{text!r} is no URL; give a file as pathlib.Path")
    return text
