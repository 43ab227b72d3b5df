"""The CDS service over its interface: only clients of ours, cards for them, feedback in the audit chain."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey

from interceptor.config.cds_table import CdsTable
from tests.support.draft import BREAST_CANCER, PATIENT, bundle, service_request
from tests.support.node import node_of
from tests.support.review import ORIGIN, Review, review_config, review_of

KEY = ECKey.generate_key("P-384", {"kid": "k1"})
SERVICE = "/cds-services/spine-oncology"


@asynccontextmanager
async def service(folder: Path) -> AsyncIterator[tuple[Review, httpx2.AsyncClient]]:
    """A node with the CDS service, and a client without a token."""
    (folder / "keys.json").write_text(json.dumps({"keys": [KEY.as_dict(private=False)]}))
    table = CdsTable(issuer="https://ehr.example.org", keys_file=folder / "keys.json")
    review_table = {"complete_spine_code": "MRSPINEALL^MRI complete spine WO+W^L"}
    config = review_config(folder, review=review_table).model_copy(update={"cds": {"ehr": table}})
    async with node_of(config), review_of(config) as review:
        client = httpx2.AsyncClient(transport=httpx2.ASGITransport(app=review.app), base_url=ORIGIN)
        review.browsers.append(client)
        yield review, client


def token(at: datetime, number: int = 1) -> dict[str, str]:
    claims = {
        "iss": "https://ehr.example.org",
        "aud": f"{ORIGIN}{SERVICE}",
        "iat": int(at.timestamp()),
        "exp": int((at + timedelta(minutes=5)).timestamp()),
        "jti": str(number),
    }
    return {"Authorization": f"Bearer {jwt.encode({'alg': 'ES384', 'kid': 'k1'}, claims, KEY, algorithms=['ES384'])}"}


SIGNING: dict[str, Any] = {
    "hook": "order-sign",
    "hookInstance": "d1577c69-dfbe-44ad-ba6d-3e05e953b2ea",
    "context": {"userId": "Practitioner/1", "patientId": "p1", "draftOrders": bundle(service_request("72148"))},
    "prefetch": {"patient": PATIENT, "conditions": bundle(BREAST_CANCER), "allergies": bundle()},
}


async def test_an_order_that_would_be_held_gets_a_card_with_the_sites_own_code(tmp_path: Path) -> None:
    async with service(tmp_path) as (review, client):
        answer = await client.post(SERVICE, json=SIGNING, headers=token(review.clock.at))
        assert answer.status_code == 200, answer.text
        (card,) = answer.json()["cards"]
        assert card["indicator"] == "warning"
        resource = card["suggestions"][0]["actions"][0]["resource"]
        assert resource["code"]["coding"][0]["code"] == "MRSPINEALL"
        assert [one["code"] for one in card["overrideReasons"]] == list(review.parts.settings.release_reasons)


async def test_everybody_may_see_what_services_there_are(tmp_path: Path) -> None:
    async with service(tmp_path) as (_, client):
        services = (await client.get("/cds-services")).json()["services"]
        assert [one["id"] for one in services] == ["spine-oncology"]


@pytest.mark.hazard("H13")
async def test_a_caller_that_is_nobody_gets_nothing_and_is_written_down(tmp_path: Path) -> None:
    async with service(tmp_path) as (review, client):
        good = token(review.clock.at)
        await client.post(SERVICE, json=SIGNING, headers=good)
        for headers in ({}, {"Authorization": "Bearer x"}, good):
            answer = await client.post(SERVICE, json=SIGNING, headers=headers)
            assert answer.status_code == 401
            assert "cards" not in answer.text
        assert [one["refused"] for one in await review.audit("access_refused")] == [
            "no_token",
            "bad_token",
            "used_before",
        ]


@pytest.mark.parametrize(
    ("body", "detail"),
    [(b"{", "not JSON"), (b"[]", "request"), (json.dumps(SIGNING | {"hook": "patient-view"}).encode(), "hook")],
)
async def test_a_request_that_is_not_understood_is_a_problem_with_its_place(
    tmp_path: Path, body: bytes, detail: str
) -> None:
    async with service(tmp_path) as (review, client):
        answer = await client.post(SERVICE, content=body, headers=token(review.clock.at))
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"
        assert detail in answer.json()["detail"]


@pytest.mark.hazard("H14")
async def test_feedback_is_kept_without_words_of_a_person(tmp_path: Path) -> None:
    async with service(tmp_path) as (review, client):
        override = {"reason": {"code": "discussed"}, "userComment": "Mrs Example refuses"}
        told = {"feedback": [{"card": "c1", "outcome": "overridden", "overrideReason": override}]}
        answer = await client.post(f"{SERVICE}/feedback", json=told, headers=token(review.clock.at))
        assert answer.status_code == 200, answer.text
        (kept,) = await review.audit("cds_feedback")
        assert kept == {"actor": "user:cds:ehr", "card": "c1", "outcome": "overridden", "reason": "discussed"}
