"""The async client."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Sequence
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


class AsyncClient:
    """Calls a service. Use it as an async context manager, or close it."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        timeout: float = 60.0,
        retries: Retries = wire.RETRIES,
        http: httpx.AsyncClient | None = None,
    ) -> None:
        """Does not connect yet. `http` is for your own certificates and proxies."""
        self._retries = retries
        self._owns = http is None
        self._http = http or httpx.AsyncClient(timeout=timeout)
        self._url = url.rstrip("/")
        self._key = {"authorization": f"Bearer {key}"}

    async def __aenter__(self) -> AsyncClient:
        """The client itself."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        await self.aclose()

    async def aclose(self) -> None:
        """Closes connections, unless they are the caller's own."""
        if self._owns:
            await self._http.aclose()

    async def check(
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
        return cast(CheckAnswer, await self._send(wire.check(photos, idempotency_key, fields)))

    async def check_batch(
        self, listings: Iterable[Listing], *, key: str | None = None, lines: int = wire.BATCH_LINES
    ) -> AsyncIterator[BatchAnswer]:
        """Checks many listings, each answered as it is done; parts that break off are sent again."""
        for piece in wire.pieces(listings, key, lines):
            for tried in range(1, self._retries.tries + 1):
                last = tried == self._retries.tries
                asked: float | None = None
                try:
                    async with self._http.stream(
                        "POST", self._url + piece.call().path, **self._arguments(piece.call())
                    ) as got:
                        if got.is_error:
                            await got.aread()
                            refused = wire.problem(got)
                            if last or not wire.may_go_again(piece.call(), got):
                                raise refused
                            asked = refused.retry_after
                        else:
                            async for line in got.aiter_lines():
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
                await asyncio.sleep(self._retries.wait(tried, asked))

    async def get_check(self, check_id: str) -> CheckAnswer:
        """The stored answer to a check."""
        return cast(CheckAnswer, await self._send(Call("GET", f"/v1/checks/{part(check_id)}")))

    async def case(self, check_id: str) -> Case:
        """What moderators decided about a check."""
        return cast(Case, await self._send(Call("GET", f"/v1/checks/{part(check_id)}/case")))

    async def appeal(self, check_id: str, text: str) -> Case:
        """A seller's appeal."""
        call = Call("POST", f"/v1/checks/{part(check_id)}/appeals", json={"text": text}, repeatable=False)
        return cast(Case, await self._send(call))

    async def put_outcome(self, check_id: str, brand: str, outcome: dict[str, Any]) -> OutcomeAnswer:
        """What people found out about a check's match."""
        call = Call("PUT", f"/v1/checks/{part(check_id)}/outcomes/{part(brand)}", json=outcome)
        return cast(OutcomeAnswer, await self._send(call))

    async def lookup(
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
        return cast(LookupAnswer, await self._send(call))["matches"]

    async def add_reference(
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
        return cast(ReferenceBody, await self._send(wire.add_reference(brand, photo, fields)))

    async def references(
        self, brand: str, *, polarity: str | None = None, product: str | None = None, state: str | None = None
    ) -> AsyncIterator[ReferenceBody]:
        """All of a brand's references, page by page."""
        after: int | None = None
        while True:
            params = given(polarity=polarity, product=product, state=state, after=after)
            call = Call("GET", f"/v1/brands/{part(brand)}/references", params=params)
            page = cast(ReferencePage, await self._send(call))
            for reference in page["references"]:
                yield reference
            after = page.get("next")
            if after is None:
                return

    async def update_reference(self, brand: str, reference_id: str, changes: dict[str, str | None]) -> ReferenceBody:
        """Changes a reference: absent fields stay, None clears."""
        call = Call("PATCH", f"/v1/brands/{part(brand)}/references/{part(reference_id)}", json=changes)
        return cast(ReferenceBody, await self._send(call))

    async def delete_reference(self, brand: str, reference_id: str) -> None:
        """Deletes a reference."""
        await self._send(Call("DELETE", f"/v1/brands/{part(brand)}/references/{part(reference_id)}"))

    async def policy(self, brand: str) -> PolicyBody:
        """A brand's policy."""
        return cast(PolicyBody, await self._send(Call("GET", f"/v1/brands/{part(brand)}/policy")))

    async def put_policy(self, brand: str, policy: dict[str, Any]) -> PolicyBody:
        """Replaces a brand's policy."""
        return cast(PolicyBody, await self._send(Call("PUT", f"/v1/brands/{part(brand)}/policy", json=policy)))

    async def certificate(self, brand: str) -> CertificateBody:
        """What a brand's outcomes prove."""
        return cast(CertificateBody, await self._send(Call("GET", f"/v1/brands/{part(brand)}/certificate")))

    async def keys(self) -> list[ApiKey]:
        """All API keys, without their secrets."""
        return cast("list[ApiKey]", (await self._send(Call("GET", "/v1/keys")))["keys"])

    async def index(self) -> IndexBody:
        """State and size of the index."""
        return cast(IndexBody, await self._send(Call("GET", "/v1/index")))

    async def is_ready(self) -> bool:
        """Whether checks can be trusted now. Asks once."""
        try:
            return (await self._http.get(self._url + "/readyz")).is_success
        except httpx.TransportError:
            return False

    def _arguments(self, call: Call) -> dict[str, Any]:
        arguments = call.arguments()
        arguments["headers"] = {**self._key, **call.headers}
        return arguments

    async def _send(self, call: Call) -> Any:
        tried = 0
        while True:
            tried += 1
            again: Problem | Unreachable
            asked: float | None = None
            try:
                response = await self._http.request(call.method, self._url + call.path, **self._arguments(call))
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
            await asyncio.sleep(self._retries.wait(tried, asked))
