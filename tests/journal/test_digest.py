"""A message's digest is its SHA-256, whatever pieces it is taken in."""

import hashlib

import pytest

from interceptor.journal.digest import digest_of


@pytest.mark.parametrize("size", [0, 1, 2046, 2047, 2048, 2049, 4094, 4095, 50_000, 256 * 1024, 256 * 1024 + 1])
def test_it_is_the_sha_256_of_all_bytes(size: int) -> None:
    raw = bytes(index * 7 % 251 for index in range(size))
    assert digest_of(raw) == hashlib.sha256(raw).digest()
