"""Room kept aside for a full disk is real, and is not there when there is none."""

from pathlib import Path

import pytest

from interceptor.journal.reserve import Reserve

SIZE = 256 * 1024


def test_the_reserve_has_real_blocks_and_can_be_given_up_twice(tmp_path: Path) -> None:
    file = tmp_path / "journal.db-reserve"
    reserve = Reserve(tmp_path / "journal.db", size=SIZE, free_bytes_min=0)
    assert reserve.make()
    assert reserve.make()
    assert file.stat().st_blocks * 512 >= SIZE
    reserve.give_up()
    reserve.give_up()
    assert not file.exists()


def test_a_reserve_that_does_not_fit_is_not_there(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "journal.db", size=2**60, free_bytes_min=0)
    assert not reserve.make()
    assert not (tmp_path / "journal.db-reserve").exists()


def test_room_that_only_the_reserve_gave_back_is_no_sign_of_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserve = Reserve(tmp_path / "journal.db", size=SIZE, free_bytes_min=0)
    monkeypatch.setattr(Reserve, "_free_bytes", lambda _: SIZE - 1)
    assert not reserve.make()
    assert not (tmp_path / "journal.db-reserve").exists()


@pytest.mark.parametrize(("limit", "is_low"), [(0, False), (1, False), (2**60, True)])
def test_low_is_below_the_limit_and_no_limit_is_never_low(tmp_path: Path, limit: int, *, is_low: bool) -> None:
    assert Reserve(tmp_path / "journal.db", size=SIZE, free_bytes_min=limit).is_low() is is_low


def test_a_folder_that_is_gone_is_not_low_but_has_no_reserve(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path / "none" / "journal.db", size=SIZE, free_bytes_min=1)
    assert not reserve.is_low()
    assert not reserve.make()
