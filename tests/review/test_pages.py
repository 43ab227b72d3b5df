"""Pages of the review process on a running node: what they show, what they refuse, and what hostile text does to them."""

import csv
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest

from interceptor.review.rights import Role
from tests.support.held_orders import HOSTILE_NAMES, held_order, held_orders

PAGES = ("/", "/orders/1", "/orders/1/message", "/orders/1/message?tab=facts", "/orders/1/message?tab=proposed",
    "/orders/1/message?tab=sent", "/orders/1/message?tab=acknowledgment", "/orders/1/history", "/audit", "/traffic",
    "/routes", "/dead-letters", "/missed", "/policy", "/policy/vignettes", "/policy/try", "/users", "/help")  # fmt: skip
EXPORTS = ("/orders.csv", "/audit.csv", "/traffic.csv", "/routes.csv", "/dead-letters.csv", "/missed.csv", "/policy/unmapped.csv",
    "/orders/1/history.csv")  # fmt: skip


class InlineFinder(HTMLParser):
    """Finds what the content policy would refuse: script or style in the page itself."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = {name for name, _ in attrs}
        if tag in ("style", "iframe", "object", "embed") or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [f"{tag} {name}" for name in names if name.startswith("on") or name in ("style", "srcdoc")]
        self.found += [f"{tag} {value}" for _, value in attrs if str(value).lower().startswith("javascript:")]


def inline_code(text: str) -> list[str]:
    finder = InlineFinder()
    finder.feed(text)
    return finder.found


UNSHOWABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def orders_of_hostile_patients() -> list[bytes]:
    return [held_order(f"A{number}", name=name, mrn=f"M{number}") for number, name in enumerate(HOSTILE_NAMES)]


@pytest.mark.hazard("H14")
async def test_hostile_names_stay_text_on_every_page_and_in_every_export(tmp_path: Path) -> None:
    async with held_orders(tmp_path, orders_of_hostile_patients()) as place:
        entries = [row["entry"] for row in (await place.reviewer.get("/orders.json")).json()]
        assert len(entries) == len(HOSTILE_NAMES)
        own = [f"/orders/{entry}{end}" for entry in entries for end in ("", "/message")]
        for path in (*PAGES, *own):
            answer = await place.reviewer.get(path)
            assert answer.status_code == 200, path
            assert inline_code(answer.text) == [], path
            assert not UNSHOWABLE.search(answer.text), path
            assert "N" * 5000 not in answer.text, path
            assert "49 " not in re.findall(r"<bdi[^>]*>([^<]*)</bdi>", answer.text), path
        for path in EXPORTS:
            answer = await place.reviewer.get(path)
            assert answer.status_code == 200, path
            cells = [cell for row in csv.reader(io.StringIO(answer.text.lstrip("\ufeff"))) for cell in row]
            assert not [cell for cell in cells if cell.startswith(("=", "+", "-", "@", "\t", "\r"))], path
            assert not UNSHOWABLE.search(answer.text), path
        for path in (path.replace(".csv", ".json") for path in EXPORTS):
            assert not UNSHOWABLE.search(json.dumps((await place.reviewer.get(path)).json(), ensure_ascii=False)), path


async def test_no_patient_stands_in_an_address_or_a_title(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1", name="Secretname", mrn="SECRETMRN")]) as place:
        for path in PAGES:
            text = (await place.reviewer.get(path)).text
            addresses = re.findall(r'(?:href|action|hx-get|hx-post|data-live)="([^"]*)"', text)
            title = re.search(r"<title>(.*?)</title>", text, re.DOTALL)
            assert title is not None
            assert not [one for one in (*addresses, title[1]) if "secret" in one.lower()], path


@pytest.mark.parametrize("text", ["MRN1", "A1", "ACCA1", "CA1", "1"])
async def test_one_step_leads_from_any_number_to_its_order(tmp_path: Path, text: str) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        answer = await place.reviewer.post("/search", data={"text": text})
        assert (answer.status_code, answer.headers["location"]) == (303, "/orders/1")


async def test_a_number_of_several_orders_gives_a_list_and_one_of_none_says_so(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1"), held_order("A2")]) as place:
        found = await place.reviewer.post("/search", data={"text": "MRN1"})
        assert found.text.count('data-order="') == 2
        assert "No order of ours" in (await place.reviewer.post("/search", data={"text": "nothing"})).text


@pytest.mark.hazard("H2")
async def test_the_order_page_shows_the_words_that_were_matched_and_the_field_that_said_so(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        text = (await place.reviewer.get("/orders/1")).text
        assert re.search(r"<mark[^>]*>low back pain</mark>", text)
        assert 'href="/orders/1/message?field=OBR-31.2#OBR-31.2"' in text
        assert "5551234" in text
        assert "What would have prevented it" in text


async def test_what_the_message_does_not_say_is_said_to_be_missing(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        text = (await place.reviewer.get("/")).text
        assert "eGFR, Gadolinium, Implant, Pregnancy" in text
        assert "not in message" in text


@pytest.mark.fault(44)
async def test_the_second_of_two_reviewers_is_told_who_was_faster(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        bob = await place.review.person("bob", Role.REVIEWER)
        form = {"version": "1", "reason": "complete_spine_needed"}
        first = await place.reviewer.post("/orders/1/return", data=form)
        assert first.headers["location"] == "/orders/1?done=return"
        second = await bob.post("/orders/1/return", data=form)
        assert second.status_code == 409
        assert "already returned by ann" in second.text


async def test_the_list_of_what_was_decided_says_who_decided_and_offers_no_decision(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1"), held_order("A2")]) as place:
        await place.review.ask("held_release", entry=1, actor="bob", reason_code="discussed")
        await place.filler.wait_for(1)
        await place.review.ask("held_return", entry=2, actor="cy", reason_code="duplicate")
        decided = (await place.reviewer.get("/?tab=decided")).text
        assert "released as ordered, bob" in decided
        assert "Release chosen" not in decided
        assert "returned to the orderer · cy" in (await place.reviewer.get("/?tab=returned")).text
        assert "released as ordered, bob" in (await place.reviewer.get("/orders/1")).text


async def test_a_release_can_be_called_back_from_the_page_that_confirms_it(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        await place.reviewer.post("/orders/1/release", data={"version": "1", "reason": "discussed"})
        page = (await place.reviewer.get("/orders/1?done=release")).text
        assert "/orders/1/undo" in page
        assert "/orders/1/release" not in page
        answer = await place.reviewer.post("/orders/1/undo", data={"version": "1"})
        assert answer.headers["location"] == "/orders/1?done=undo"
        assert "/orders/1/release" in (await place.reviewer.get("/orders/1")).text


@pytest.mark.parametrize(
    ("act", "form", "problem"),
    [
        ("release", {}, "Choose a reason."),
        ("release", {"reason": "other"}, "needs words"),
        ("return", {"reason": "nonsense"}, "Choose a reason."),
        ("comment", {"comment": "  "}, "no comment"),
    ],
)
async def test_a_form_that_says_too_little_changes_nothing(
    tmp_path: Path, act: str, form: dict[str, str], problem: str
) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        answer = await place.reviewer.post(f"/orders/1/{act}", data={"version": "1", **form})
        assert answer.status_code == 422
        assert problem in answer.text


async def test_the_preview_shows_what_would_leave_and_that_all_else_stays(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        answer = await place.reviewer.post("/orders/1/preview", data={"reason": "discussed"})
        assert "Discussed with the orderer" in answer.text
        assert re.search(r"Unchanged: \d+ fields, byte for byte", answer.text)


async def test_chosen_orders_are_claimed_together_and_one_that_was_changed_is_told(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1"), held_order("A2")]) as place:
        answer = await place.reviewer.post("/orders/claim", data={"order": ["1.1", "2.1"], "back": "/?tab=unclaimed"})
        assert answer.headers["location"] == "/?tab=unclaimed"
        assert (await place.reviewer.get("/?tab=mine")).text.count('data-order="') == 2
        refused = await place.reviewer.post("/orders/release", data={"order": ["1.9"], "reason": "discussed"})
        assert "Not done: order 1" in refused.text


async def test_a_form_never_leads_to_another_site(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        answer = await place.reviewer.post(
            "/orders/claim", data={"order": "1.1", "back": "https://evil.test/?tab=mine"}
        )
        assert answer.headers["location"] == "/?tab=mine"
        columns = await place.reviewer.get("/columns?column=why&back=//evil.test")
        assert columns.headers["location"] == "/?columns=why"


async def test_a_masked_list_names_nobody(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1", name="Secretname", mrn="SECRETMRN")]) as place:
        for path in ("/?masked=1", "/orders/1?masked=1", "/orders/1/message?masked=1", "/orders.csv?masked=1"):
            text = (await place.reviewer.get(path)).text
            assert "Secretname" not in text, path
            assert "SECRETMRN" not in text, path


async def test_the_mode_of_a_route_changes_only_when_its_name_is_typed(tmp_path: Path) -> None:
    async with held_orders(tmp_path, []) as place:
        form = {"mode": "shadow", "reason": "test", "typed": "order"}
        refused = await place.reviewer.post("/routes/orders/mode", data=form)
        assert "Type the route" in refused.text
        done = await place.reviewer.post("/routes/orders/mode", data=form | {"typed": "orders"})
        assert done.status_code == 303
        assert "set by ann" in (await place.reviewer.get("/routes")).text


async def test_a_paused_destination_keeps_its_queue_until_somebody_resumes_it(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        (name,) = (await place.review.ask("lines"))["destinations"]
        await place.reviewer.post(f"/destinations/{name}/pause", data={"act": "pause", "reason": "maintenance"})
        await place.review.ask("held_release", entry=1, actor="ann", reason="x")
        assert (await place.review.ask("lines"))["destinations"][name]["paused"]
        assert place.filler.received == []
        await place.reviewer.post(f"/destinations/{name}/pause", data={"act": "resume"})
        await place.filler.wait_for(1)
        audited = [row["destination"] for row in await place.review.audit("lane_paused")]
        assert audited == [name]


async def test_traffic_shows_what_became_of_each_message(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        await place.placer.exchange(b"MSH|^~\\&|P|H|F|H|20260302||ADT^A08|ADT1|T|2.5.1\rPID|1||1^^^H^MR||X^Y\r")
        rows = (await place.review.ask("traffic"))["messages"]
        assert {(row["control_id"], row["outcome"], row["code"]) for row in rows} == {
            ("ADT1", "passed", "AA"),
            ("CA1", "taken", "AA"),
        }
        assert "ADT1" in (await place.reviewer.get("/traffic")).text


async def test_a_message_can_be_tried_and_nothing_of_it_is_kept(tmp_path: Path) -> None:
    async with held_orders(tmp_path, []) as place:
        text = held_order("TRY").decode().replace("\r", "\n")
        answer = await place.reviewer.post("/policy/try", data={"message": text})
        assert "H-REGIONAL" in answer.text
        assert "no HL7" in (await place.reviewer.post("/policy/try", data={"message": "hello"})).text
        assert (await place.reviewer.get("/orders.json")).json() == []


async def test_the_chain_badge_tells_of_a_link_that_was_changed(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        assert "Chain intact" in (await place.reviewer.get("/audit")).text
        found = (await place.reviewer.get("/audit.json?action=taken")).json()
        assert [row["entry"] for row in found] == [1]


async def test_an_empty_list_says_how_it_is_known_that_the_line_is_alive(tmp_path: Path) -> None:
    async with held_orders(tmp_path, []) as place:
        text = (await place.reviewer.get("/")).text
        assert "No held orders." in text
        assert "0 checked today, 0 held." in text


async def test_pages_stay_readable_while_the_node_is_away(tmp_path: Path) -> None:
    async with held_orders(tmp_path, [held_order("A1")]) as place:
        socket = place.review.config.control_socket
        socket.rename(socket.with_suffix(".away"))
        text = (await place.reviewer.get("/")).text
        assert "The node does not answer" in text
        assert 'data-order="1"' in text
        answer: httpx2.Response = await place.reviewer.post("/orders/1/comment", data={"comment": "hello"})
        assert "Nothing was changed" in answer.text
        socket.with_suffix(".away").rename(socket)


async def test_a_new_account_gets_a_link_that_is_shown_once(tmp_path: Path) -> None:
    async with held_orders(tmp_path, []) as place:
        form = {"account": "newcomer", "display_name": "New Comer", "role": ["reviewer"]}
        answer = await place.reviewer.post("/users", data=form)
        assert "/login/link/" in answer.text
        assert "/login/link/" not in (await place.reviewer.get("/users")).text
