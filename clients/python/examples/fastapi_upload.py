"""An upload hook: a listing goes live only when touchstone allows it.

TOUCHSTONE_URL=http://127.0.0.1:8080 TOUCHSTONE_KEY=tsk_... uvicorn fastapi_upload:app
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, HTTPException, Request, UploadFile

from touchstone_client import AsyncClient, Photo, Problem, Unreachable


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncClient(os.environ["TOUCHSTONE_URL"], os.environ["TOUCHSTONE_KEY"]) as client:
        app.state.touchstone = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/listings/{listing_id}/photos", status_code=201)
async def upload(
    request: Request,
    listing_id: str,
    photos: Annotated[list[UploadFile], File()],
    seller_id: Annotated[str, Form()],
) -> dict[str, Any]:
    touchstone: AsyncClient = request.app.state.touchstone
    sent: list[Photo] = [await photo.read() for photo in photos]
    try:
        check = await touchstone.check(sent, listing_id=listing_id, seller_id=seller_id)
    except Problem as problem:
        if problem.photo is not None:
            # The seller can mend it: another type, a smaller photo.
            raise HTTPException(problem.status, problem.detail) from problem
        raise HTTPException(503, "uploads are closed for a moment") from problem
    except Unreachable as error:
        raise HTTPException(503, "uploads are closed for a moment") from error
    state = {"allow": "live", "review": "waits for a moderator", "block": "refused"}[check["action"]]
    return {"listing_id": listing_id, "state": state, "check_id": check["id"]}
