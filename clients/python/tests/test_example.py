from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import Service

sys.path.append(str(Path(__file__).resolve().parents[1] / "examples"))


def test_the_upload_hook_lets_a_listing_go_live_and_tells_what_to_mend(
    service: Service, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fastapi.testclient import TestClient
    from fastapi_upload import app

    monkeypatch.setenv("TOUCHSTONE_URL", service.url)
    monkeypatch.setenv("TOUCHSTONE_KEY", service.key)
    with TestClient(app) as shop:

        def upload(name: str, photo: bytes) -> tuple[int, str]:
            files = [("photos", (name, photo))]
            answer = shop.post("/listings/L1/photos", files=files, data={"seller_id": "S1"})
            return answer.status_code, answer.text

        status, text = upload("coffee.png", (photos / "coffee.png").read_bytes())
        assert status == 201 and '"live"' in text
        status, text = upload("manual.pdf", b"%PDF-1.7")
        assert status == 415 and "PDF is not accepted" in text
