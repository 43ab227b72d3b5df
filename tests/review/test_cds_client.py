"""Who may call the CDS service: signed tokens, each once, for a few minutes."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey, RSAKey

from interceptor.review.cds_client import CdsClient, ClientCheck, ClientRefused, KeySetError, read_key_set

AT = datetime(2026, 3, 2, 14, tzinfo=UTC)
OURS = "https://review.example.org/cds-services"
KEY = ECKey.generate_key("P-384", {"kid": "k1"})
CLIENT = CdsClient(
    name="ehr", issuer="https://ehr.example.org", keys=KeySet.import_key_set({"keys": [KEY.as_dict(private=False)]})
)


def claims(**more: object) -> dict[str, Any]:
    issued = int(AT.timestamp())
    stated = {"iss": CLIENT.issuer, "aud": f"{OURS}/spine-oncology", "iat": issued, "exp": issued + 300, "jti": "1"}
    return {key: value for key, value in (stated | more).items() if value is not None}


def header(key: Any = KEY, algorithm: str = "ES384", **more: object) -> str:
    token = jwt.encode({"alg": algorithm, "kid": "k1"}, claims(**more), key, algorithms=[algorithm])
    return f"Bearer {token}"


def check() -> ClientCheck:
    return ClientCheck({CLIENT.issuer: CLIENT}, audience=OURS)


def refusal(authorization: str, *, at: datetime = AT) -> str:
    with pytest.raises(ClientRefused) as refused:
        check().check(authorization, now=at)
    return refused.value.reason


def test_a_good_token_names_its_client() -> None:
    assert check().check(header(), now=AT) is CLIENT
    assert check().check(header(aud=["https://other.example.org", OURS]), now=AT) is CLIENT


@pytest.mark.hazard("H13")
@pytest.mark.parametrize(
    ("authorization", "reason"),
    [
        ("", "no_token"),
        ("Basic dXNlcjpwYXNz", "no_token"),
        ("Bearer x", "bad_token"),
        ("Bearer a.b.c", "bad_token"),
        (header(iss="https://evil.example.org"), "unknown_issuer"),
        (header(iss=None), "unknown_issuer"),
        (header(key=ECKey.generate_key("P-384", {"kid": "k1"})), "bad_token"),
        (header(aud="https://review.example.org/cds-services-of-another"), "wrong_audience"),
        (header(aud=None), "wrong_audience"),
        (header(exp=int(AT.timestamp()) + 3600), "too_long"),
        (header(exp=None), "bad_token"),
        (header(jti=None), "bad_token"),
        (header(iat=int(AT.timestamp()) + 600, exp=int(AT.timestamp()) + 700), "expired"),
    ],
)
def test_any_other_is_refused_with_its_reason(authorization: str, reason: str) -> None:
    assert refusal(authorization) == reason


@pytest.mark.hazard("H13")
def test_a_token_that_has_expired_is_refused() -> None:
    assert refusal(header(), at=AT + timedelta(minutes=10)) == "expired"


@pytest.mark.hazard("H13")
def test_a_token_is_good_once() -> None:
    checking = check()
    checking.check(header(), now=AT)
    with pytest.raises(ClientRefused, match="used_before"):
        checking.check(header(), now=AT)


@pytest.mark.hazard("H13")
def test_a_public_key_is_not_taken_for_a_shared_secret() -> None:
    secret = OctKey.import_key(json.dumps(KEY.as_dict(private=False)))
    assert refusal(header(key=secret, algorithm="HS384")) == "bad_token"


def test_a_key_set_is_read_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    path.write_text(
        json.dumps({"keys": [KEY.as_dict(private=False), RSAKey.generate_key(2048).as_dict(private=False)]})
    )
    assert len(read_key_set(path).keys) == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "no JWK Set"),
        ('{"keys": []}', "no JWK Set"),
        ("[]", "no JWK Set"),
        (json.dumps({"keys": [KEY.as_dict(private=True)]}), "private"),
    ],
)
def test_a_file_that_is_no_set_of_public_keys_is_refused(tmp_path: Path, content: str, problem: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(content)
    with pytest.raises(KeySetError, match=problem):
        read_key_set(path)
