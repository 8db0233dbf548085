"""The plain client."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from types import TracebackType
from typing import Any, cast

import httpx

from . import _wire as wire
from ._photos import Listing, Photo
from ._wire import Call, Problem, Retries, Unreachable, given, part
from .models import (
    ApiKey,
    BatchAnswer,
    Case,
    CertificateBody,
    CheckAnswer,
    IndexBody,
    LookupAnswer,
    Match,
    OutcomeAnswer,
    PolicyBody,
    ReferenceBody,
    ReferencePage,
)


class Client:
    """Calls a service. Use it as a context manager, or close it."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 60.0,
        retries: Retries = wire.RETRIES,
        http: httpx.Client | None = None,
    ) -> None:
        """Does not connect yet. `http` is for your own certificates and proxies."""
        self._retries = retries
        self._owns = http is None
        self._http = http or httpx.Client(timeout=timeout)
        self._url = url.rstrip("/")
        self._key = {"authorization": f"Bearer {key}"}

    def __enter__(self) -> Client:
        """The client itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def close(self) -> None:
        """Closes connections, unless they are the caller's own."""
        if self._owns:
            self._http.close()

    def check(
        self,
        photos: Sequence[Photo],
        *,
        listing_id: str | None = None,
        seller_id: str | None = None,
        brand: str | None = None,
        category: str | None = None,
        idempotency_key: str | None = None,
    ) -> CheckAnswer:
        """Checks a listing's photos."""
        fields: dict[str, str | int | None] = {
            "listing_id": listing_id,
            "seller_id": seller_id,
            "brand": brand,
            "category": category,
        }
        return cast(CheckAnswer, self._send(wire.check(photos, idempotency_key, fields)))

    def check_batch(
        self, listings: Iterable[Listing], *, key: str | None = None, lines: int = wire.BATCH_LINES
    ) -> Iterator[BatchAnswer]:
        """Checks many listings, each answered as it is done; parts that break off are sent again."""
        for piece in wire.pieces(listings, key, lines):
            for tried in range(1, self._retries.tries + 1):
                last = tried == self._retries.tries
                asked: float | None = None
                try:
                    with self._http.stream(
                        "POST", self._url + piece.call().path, **self._arguments(piece.call())
                    ) as got:
                        if got.is_error:
                            got.read()
                            refused = wire.problem(got)
                            if last or not wire.may_go_again(piece.call(), got):
                                raise refused
                            asked = refused.retry_after
                        else:
                            for line in got.iter_lines():
                                answer = json.loads(line)
                                if piece.is_news(answer, last):
                                    yield cast(BatchAnswer, answer)
                except httpx.TransportError as error:
                    if last:
                        raise Unreachable(str(error)) from error
                if piece.is_whole():
                    break
                if last:
                    raise Unreachable(f"the batch broke off after {len(piece.done)} of {len(piece.lines)} listings")
                time.sleep(self._retries.wait(tried, asked))

    def get_check(self, check_id: str) -> CheckAnswer:
        """The stored answer to a check."""
        return cast(CheckAnswer, self._send(Call("GET", f"/v1/checks/{part(check_id)}")))

    def case(self, check_id: str) -> Case:
        """What moderators decided about a check."""
        return cast(Case, self._send(Call("GET", f"/v1/checks/{part(check_id)}/case")))

    def appeal(self, check_id: str, text: str) -> Case:
        """A seller's appeal."""
        call = Call("POST", f"/v1/checks/{part(check_id)}/appeals", json={"text": text}, repeatable=False)
        return cast(Case, self._send(call))

    def put_outcome(self, check_id: str, brand: str, outcome: dict[str, Any]) -> OutcomeAnswer:
        """What people found out about a check's match."""
        call = Call("PUT", f"/v1/checks/{part(check_id)}/outcomes/{part(brand)}", json=outcome)
        return cast(OutcomeAnswer, self._send(call))

    def lookup(
        self,
        photo: Photo,
        *,
        k: int | None = None,
        brand: str | None = None,
        polarity: str | None = None,
        product: str | None = None,
    ) -> list[Match]:
        """The references most similar to a photo, nearest first."""
        call = wire.lookup(photo, {"k": k, "brand": brand, "polarity": polarity, "product": product})
        return cast(LookupAnswer, self._send(call))["matches"]

    def add_reference(
        self,
        brand: str,
        photo: Photo,
        *,
        polarity: str,
        product: str | None = None,
        source: str | None = None,
        notes: str | None = None,
        rights_basis: str | None = None,
    ) -> ReferenceBody:
        """Adds a reference; returns the stored one if the brand already has this photo."""
        fields: dict[str, str | int | None] = {
            "polarity": polarity,
            "product": product,
            "source": source,
            "notes": notes,
            "rights_basis": rights_basis,
        }
        return cast(ReferenceBody, self._send(wire.add_reference(brand, photo, fields)))

    def references(
        self, brand: str, *, polarity: str | None = None, product: str | None = None, state: str | None = None
    ) -> Iterator[ReferenceBody]:
        """All of a brand's references, page by page."""
        after: int | None = None
        while True:
            params = given(polarity=polarity, product=product, state=state, after=after)
            call = Call("GET", f"/v1/brands/{part(brand)}/references", params=params)
            page = cast(ReferencePage, self._send(call))
            yield from page["references"]
            after = page.get("next")
            if after is None:
                return

    def update_reference(self, brand: str, reference_id: str, changes: dict[str, str | None]) -> ReferenceBody:
        """Changes a reference: absent fields stay, None clears."""
        call = Call("PATCH", f"/v1/brands/{part(brand)}/references/{part(reference_id)}", json=changes)
        return cast(ReferenceBody, self._send(call))

    def delete_reference(self, brand: str, reference_id: str) -> None:
        """Deletes a reference."""
        self._send(Call("DELETE", f"/v1/brands/{part(brand)}/references/{part(reference_id)}"))

    def policy(self, brand: str) -> PolicyBody:
        """A brand's policy."""
        return cast(PolicyBody, self._send(Call("GET", f"/v1/brands/{part(brand)}/policy")))

    def put_policy(self, brand: str, policy: dict[str, Any]) -> PolicyBody:
        """Replaces a brand's policy."""
        return cast(PolicyBody, self._send(Call("PUT", f"/v1/brands/{part(brand)}/policy", json=policy)))

    def certificate(self, brand: str) -> CertificateBody:
        """What a brand's outcomes prove."""
        return cast(CertificateBody, self._send(Call("GET", f"/v1/brands/{part(brand)}/certificate")))

    def keys(self) -> list[ApiKey]:
        """All API keys, without their secrets."""
        return cast("list[ApiKey]", (self._send(Call("GET", "/v1/keys")))["keys"])

    def index(self) -> IndexBody:
        """State and size of the index."""
        return cast(IndexBody, self._send(Call("GET", "/v1/index")))

    def is_ready(self) -> bool:
        """Whether checks can be trusted now. Asks once."""
        try:
            return (self._http.get(self._url + "/readyz")).is_success
        except httpx.TransportError:
            return False

    def _arguments(self, call: Call) -> dict[str, Any]:
        arguments = call.arguments()
        arguments["headers"] = {**self._key, **call.headers}
        return arguments

    def _send(self, call: Call) -> Any:
        tried = 0
        while True:
            tried += 1
            again: Problem | Unreachable
            asked: float | None = None
            try:
                response = self._http.request(call.method, self._url + call.path, **self._arguments(call))
            except httpx.ConnectError as error:
                # Nothing was sent.
                again = Unreachable(f"{self._url} cannot be reached: {error}")
            except httpx.TransportError as error:
                again = Unreachable(f"{self._url} broke off: {error!r}")
                if not call.repeatable:
                    raise again from error
            else:
                if response.is_success:
                    return response.json() if response.content else None
                again = wire.problem(response)
                if not wire.may_go_again(call, response):
                    raise again
                asked = again.retry_after
            if tried >= self._retries.tries:
                raise again
            time.sleep(self._retries.wait(tried, asked))
