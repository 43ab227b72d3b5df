"""Custody with the shipped clinical content: what one order of a message says of the patient counts for the others."""

from pathlib import Path

import pytest

from interceptor.action.lifecycle import OrderState
from tests.support.node import filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order, order_group

NO_DIAGNOSIS: tuple[str, ...] = ()
CANCER = ("C50.911^Malignant neoplasm^I10",)


@pytest.mark.hazard("H8")
async def test_a_replacement_is_held_for_a_cancer_that_only_the_replaced_order_names(tmp_path: Path) -> None:
    """RP of a held order carries the DG1, RO of another regional study does not."""
    async with filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port)) as node, placer_of(node) as placer:
            await placer.exchange(order("P1", control_id="FIRST"))
            replacement = order_group("P2", control="RO", procedure="72146^MRI T SPINE WO^C4", diagnoses=NO_DIAGNOSIS)
            answer = await placer.exchange(
                order("P1", control="RP", control_id="SECOND", diagnoses=CANCER, extra_orders=(replacement,))
            )
            assert b"MSA|AA|SECOND" in answer
            states = {one.order_key: one.state for one in node.custody.index.orders()}
        assert states == {"P2^EPIC": OrderState.HELD}
        assert ris.received == []


async def test_a_held_order_keeps_its_reason_when_a_sibling_that_does_not_help_arrives(tmp_path: Path) -> None:
    """The diagnosis stands in the chest film's group; deciding the spine order again must not forget it."""
    spine = order("P1", control_id="FIRST", group="G1", diagnoses=NO_DIAGNOSIS)
    film = order_group("P2", procedure=CHEST_FILM, reason="cough", diagnoses=CANCER)
    async with filler() as ris:
        async with node_of(node_config(tmp_path, filler_port=ris.port)) as node, placer_of(node) as placer:
            await placer.exchange(spine + film)
            await ris.wait_for(1)
            second = order("P3", control_id="SECOND", group="G1", procedure="72146^MRI T SPINE WO^C4")
            await placer.exchange(second)
            states = {one.order_key: one.state for one in node.custody.index.orders()}
        assert states == {"P1^EPIC": OrderState.HELD, "P3^EPIC": OrderState.HELD}
        assert len(ris.received) == 1


@pytest.mark.parametrize(("placer_release", "state"), [(False, OrderState.HELD), (True, OrderState.QUEUED)])
async def test_the_placer_releases_a_held_order_only_where_its_route_allows_it(
    tmp_path: Path, placer_release: bool, state: OrderState
) -> None:
    async with filler() as ris:
        # A filler that stays silent: the order that left is still there to be looked at.
        ris.answer = lambda _content: None
        config = node_config(tmp_path, filler_port=ris.port, placer_release=placer_release)
        async with node_of(config) as node, placer_of(node) as placer:
            await placer.exchange(order("P1", control_id="FIRST"))
            assert b"MSA|AA|SECOND" in await placer.exchange(order("P1", control="RL", control_id="SECOND"))
            assert [one.state for one in node.custody.index.orders()] == [state]
            if placer_release:
                assert b"|FIRST|" in (await ris.wait_for(1))[0]
    assert len(ris.received) == int(placer_release)
