#!/usr/bin/env python3
"""A peer to measure touchstone against: FastAPI, ONNX Runtime and hnswlib, with the same model and the same references.

  benches/peer/server.py MODEL.onnx VECTORS.f32 --port 9100 [--batch 8] [--wait-ms 2] [--decoders 2]

VECTORS.f32 is that of a touchstone generation. Written as a careful team would: photos are decoded by Pillow with the JPEG
decoder's own scaling (draft) in a pool of threads, embedded in batches by one session, and searched in an HNSW graph. It
only embeds and searches: no second look, no calibrated probability, nothing is kept. That makes it faster, not slower.
"""

import argparse
import asyncio
import io
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

# ONNX Runtime looks at it when it is loaded: src/embed/onnx.rs says why.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

import hnswlib
import numpy
import onnxruntime
import uvicorn
from fastapi import FastAPI, File, Form, HTTPException, UploadFile
from PIL import Image

SIDE = 288
DIMENSION = 512
THRESHOLD = 0.75


def options():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("vectors")
    parser.add_argument("--port", type=int, default=9100)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--wait-ms", type=float, default=2.0)
    parser.add_argument("--decoders", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    return parser.parse_args()


def decode(content):
    photo = Image.open(io.BytesIO(content))
    photo.draft("RGB", (SIDE, SIDE))
    photo = photo.convert("RGB")
    scale = SIDE / min(photo.size)
    photo = photo.resize([max(1, round(side * scale)) for side in photo.size], Image.Resampling.BILINEAR)
    return photo


class Batcher:
    """Photos of one shape that arrive together share a run."""

    def __init__(self, session, settings):
        self.session, self.settings = session, settings
        self.queue = asyncio.Queue()
        self.runner = ThreadPoolExecutor(1)

    async def embed(self, pixels):
        done = asyncio.get_running_loop().create_future()
        await self.queue.put((pixels, done))
        return await done

    async def work(self):
        loop = asyncio.get_running_loop()
        left = []
        while True:
            batch = left or [await self.queue.get()]
            deadline = loop.time() + self.settings.wait_ms / 1000
            while len(batch) < self.settings.batch and not (len(batch) == 1 and self.queue.empty()):
                try:
                    batch.append(await asyncio.wait_for(self.queue.get(), max(0, deadline - loop.time())))
                except asyncio.TimeoutError:
                    break
            shape = batch[0][0].shape
            now = [one for one in batch if one[0].shape == shape]
            left = [one for one in batch if one[0].shape != shape]
            pixels = numpy.stack([pixels for pixels, _ in now])
            vectors = (await loop.run_in_executor(self.runner, self.session.run, ["embedding"], {"image": pixels}))[0]
            for (_, done), vector in zip(now, vectors):
                if not done.cancelled():
                    done.set_result(vector)


def build(settings):
    vectors = numpy.fromfile(settings.vectors, dtype=numpy.float32).reshape(-1, DIMENSION)
    index = hnswlib.Index(space="cosine", dim=DIMENSION)
    index.init_index(max_elements=len(vectors), ef_construction=200, M=16)
    index.add_items(vectors, num_threads=-1)
    index.set_ef(128)
    index.set_num_threads(1)
    chosen = onnxruntime.SessionOptions()
    chosen.intra_op_num_threads = settings.threads
    chosen.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(settings.model, chosen, providers=["CPUExecutionProvider"])
    return index, session


def service(settings):
    index, session = build(settings)
    decoders = ThreadPoolExecutor(settings.decoders)
    state = {}

    @asynccontextmanager
    async def lifespan(_):
        state["batcher"] = Batcher(session, settings)
        task = asyncio.create_task(state["batcher"].work())
        yield
        task.cancel()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    def ready():
        return {"references": index.get_current_count()}

    @app.post("/v1/checks")
    async def check(photo: UploadFile = File(), listing_id: str = Form(""), seller_id: str = Form("")):
        content = await photo.read()
        loop = asyncio.get_running_loop()
        try:
            pixels = await loop.run_in_executor(decoders, lambda: numpy.asarray(decode(content)))
        except OSError as error:
            raise HTTPException(422, str(error)) from error
        vector = await state["batcher"].embed(pixels)
        vector = vector / numpy.linalg.norm(vector)
        labels, distances = await loop.run_in_executor(decoders, index.knn_query, vector, 16)
        matches = [
            {"reference": int(label), "similarity": 1 - float(distance)} for label, distance in zip(labels[0], distances[0])
        ]
        verdict = "match" if matches[0]["similarity"] >= THRESHOLD else "no_match"
        return {"listing_id": listing_id, "seller_id": seller_id, "verdict": verdict, "matches": matches}

    return app


if __name__ == "__main__":
    chosen = options()
    uvicorn.run(service(chosen), port=chosen.port, log_level="warning", access_log=False)
