from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Service:
    """A touchstone that runs, over empty folders."""

    url: str
    key: str


@pytest.fixture(scope="session")
def photos() -> Path:
    return ROOT / "demo" / "photos"


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("touchstone")
    program = str(ROOT / "target" / "release" / "touchstone")
    settings = ["server.listen=127.0.0.1:0", "embed.workers=1", f"data={folder}/data", f"index_dir={folder}/index"]
    command = [program, "serve", *(word for setting in settings for word in ("--set", setting))]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert process.stdout is not None
        key = process.stdout.readline().strip().rsplit(" ", 1)[-1]
        url = process.stdout.readline().strip().removeprefix("listening on ")
        for _ in range(300):
            if httpx.get(f"{url}/readyz").is_success:
                break
            time.sleep(0.1)
        yield Service(url, key)
    finally:
        process.terminate()
        process.wait()
