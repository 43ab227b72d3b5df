"""What the simulated placer sends, one message after the other: a shuffled deck of small stories.

A deck holds every kind of message in a fixed number, so that a short demo shows all of them and the
proportions stay as a hospital's would: most traffic is none of our business, about one message in ten
should be held. The first cards of the first deck are laid out by hand so that something of each
verdict is seen within seconds. The same seed and the same times give the same bytes.
"""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from random import Random

from interceptor.simulate import messages
from interceptor.simulate.messages import Order, Study, order_message, result_message, visit_message
from interceptor.simulate.population import Keeper, Patient, build_population

PAIN_REASONS = (
    "new onset LBP x 3 wks, radiating L leg",
    "new thoracic back pain, r/o mets",
    "new neck pain x 10 days, c/f mets",
    "acute back pain, eval for mets",
    "worsening low back pain x 2 wks",
)
SILENT_REASONS = ("new onset LBP x 3 wks, radiating L leg", "worsening low back pain x 2 wks")
"""Of those the ones without a word of cancer."""
ANNOTATE_REASONS = (
    ("chronic low back pain, unchanged for 5 years", "R"),
    ("new back pain x 2 wks", "S"),
    ("new LE weakness and urinary retention", "S"),
    ("", "R"),
)
MALFORMED = (
    "PID|1||no header at all\r",
    "MSH|^~\\&|SIMEHR|DEMO\rPID|1\r",
    "GET / HTTP/1.1\r",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """One message that the placer is to send.

    Attributes:
        kind: Plain words for the live table, e.g. "spine MRI, cancer".
        control_id: MSH-10; "" for a malformed message.
        raw: The bytes to send.
        order_numbers: Placer order numbers, without namespace, of an order message.
        is_new_order: False for visits, results, changes and cancels.
    """

    kind: str
    control_id: str
    raw: bytes
    order_numbers: tuple[str, ...] = ()
    is_new_order: bool = False


class Story:
    """The messages, without end.

    `next_message` gives one at a time. Time comes in with each call; it goes into the messages.
    """

    def __init__(self, random: Random, *, started_at: datetime) -> None:
        self._random = random
        self.population = build_population(random, today=started_at.date())
        self._oncology = tuple(patient for patient in self.population if patient.has_cancer)
        self._others = tuple(patient for patient in self.population if not patient.has_cancer)
        self._run = f"{started_at:%H%M%S}"
        self._count = 0
        self._order_count = 0
        self._waiting: deque[Sent] = deque()
        self._cards: deque[Callable[[datetime], list[Sent]]] = deque(
            (
                self._chest_film,
                self._suspicious,
                self._known_to_feed,
                self._stat_or_chronic,
                self._known_to_fhir,
                self._complete_set,
                self._visit,
                self._suspicious,
            )
        )
        self._suspicious_orders: list[tuple[Patient, Order]] = []
        self._last: Sent | None = None

    def next_message(self, at: datetime) -> Sent:
        """The next message to send at this time."""
        while not self._waiting:
            if not self._cards:
                deck = list(self._deck())
                self._random.shuffle(deck)
                self._cards.extend(deck)
            self._waiting.extend(self._cards.popleft()(at))
        self._last = self._waiting.popleft()
        return self._last

    def _deck(self) -> Iterator[Callable[[datetime], list[Sent]]]:
        """Forty cards: four that should be held, two decks' worth of everything else in plausible numbers."""
        for count, card in (
            (6, self._lab_order),
            (6, self._chest_film),
            (6, self._visit),
            (5, self._result),
            (4, self._spine_without_cancer),
            (2, self._suspicious),
            (1, self._known_to_feed),
            (1, self._known_to_fhir),
            (3, self._stat_or_chronic),
            (1, self._complete_set),
            (1, self._complete_set_in_parts),
            (1, self._complete),
            (1, self._cancel),
            (1, self._change),
            (1, self._duplicate),
            (1, self._malformed),
        ):
            yield from [card] * count

    def _control_id(self) -> str:
        self._count += 1
        return f"SIM{self._run}{self._count:06d}"

    def _order(self, study: Study, *, priority: str = "R", reason: str = "", group_number: str = "") -> Order:
        self._order_count += 1
        number = f"D{self._run}{self._order_count:05d}"
        return Order(number=number, study=study, priority=priority, reason=reason, group_number=group_number)

    def _send(
        self, kind: str, patient: Patient, orders: tuple[Order, ...], at: datetime, *, says_diagnosis: bool = True
    ) -> Sent:
        control_id = self._control_id()
        diagnoses = (patient.diagnosis,) if says_diagnosis else ()
        version = self._random.choice(("2.3.1", "2.5.1"))
        text = order_message(patient, orders, control_id=control_id, at=at, diagnoses=diagnoses, version=version)
        return Sent(
            kind=kind,
            control_id=control_id,
            raw=text.encode("ascii"),
            order_numbers=tuple(order.number for order in orders),
            is_new_order=all(order.control == "NW" for order in orders),
        )

    def _lab_order(self, at: datetime) -> list[Sent]:
        study = self._random.choice((messages.BLOOD_COUNT, messages.METABOLIC_PANEL))
        return [self._send("laboratory order", self._anyone(), (self._order(study),), at)]

    def _chest_film(self, at: datetime) -> list[Sent]:
        study = self._random.choice((messages.CHEST_FILM, messages.KNEE_MRI))
        return [self._send("other imaging", self._anyone(), (self._order(study, reason="cough"),), at)]

    def _visit(self, at: datetime) -> list[Sent]:
        control_id = self._control_id()
        trigger = self._random.choice(("A01", "A04", "A08"))
        text = visit_message(self._anyone(), trigger=trigger, control_id=control_id, at=at)
        return [Sent(kind=f"visit (ADT {trigger})", control_id=control_id, raw=text.encode("ascii"))]

    def _result(self, at: datetime) -> list[Sent]:
        control_id = self._control_id()
        number = f"R{self._run}{self._count:05d}"
        text = result_message(self._anyone(), messages.BLOOD_COUNT, order_number=number, control_id=control_id, at=at)
        return [Sent(kind="result (ORU)", control_id=control_id, raw=text.encode("ascii"))]

    def _spine_without_cancer(self, at: datetime) -> list[Sent]:
        study = self._random.choice((messages.LUMBAR_WITHOUT, messages.CERVICAL_WITHOUT, messages.LUMBAR_FILM))
        order = self._order(study, reason="low back pain after lifting x 2 wks")
        return [self._send("spine, no cancer", self._random.choice(self._others), (order,), at)]

    def _suspicious(self, at: datetime) -> list[Sent]:
        study = self._random.choice(
            (messages.LUMBAR_WITHOUT, messages.THORACIC_WITHOUT, messages.CERVICAL_WITHOUT, messages.LUMBAR_CT)
        )
        patient = self._random.choice(self._oncology)
        reason = f"{patient.diagnosis.words}, {self._random.choice(PAIN_REASONS)}"
        order = self._order(study, reason=reason)
        self._suspicious_orders.append((patient, order))
        return [self._send("spine, cancer, one region", patient, (order,), at)]

    def _known_to_feed(self, at: datetime) -> list[Sent]:
        return self._unsaid("spine, cancer known from ADT or PPR", Keeper.FEED, at)

    def _known_to_fhir(self, at: datetime) -> list[Sent]:
        return self._unsaid("spine, cancer known from FHIR", Keeper.FHIR, at)

    def _unsaid(self, kind: str, keeper: Keeper, at: datetime) -> list[Sent]:
        """An order that says nothing of the cancer."""
        patient = self._random.choice([one for one in self._oncology if one.keeper is keeper])
        order = self._order(messages.LUMBAR_WITHOUT, reason=self._random.choice(SILENT_REASONS))
        return [self._send(kind, patient, (order,), at, says_diagnosis=False)]

    def _stat_or_chronic(self, at: datetime) -> list[Sent]:
        patient = self._random.choice(self._oncology)
        reason, priority = self._random.choice(ANNOTATE_REASONS)
        order = self._order(messages.LUMBAR_WITHOUT, reason=reason, priority=priority)
        return [self._send("spine, cancer, urgent or old", patient, (order,), at)]

    def _complete(self, at: datetime) -> list[Sent]:
        patient = self._random.choice(self._oncology)
        order = self._order(messages.COMPLETE_BOTH, reason=self._random.choice(PAIN_REASONS))
        return [self._send("complete spine", patient, (order,), at)]

    def _complete_set(self, at: datetime) -> list[Sent]:
        patient = self._random.choice(self._oncology)
        return [self._send("complete set, one message", patient, self._set_orders(), at)]

    def _complete_set_in_parts(self, at: datetime) -> list[Sent]:
        patient = self._random.choice(self._oncology)
        return [self._send("complete set, in parts", patient, (order,), at) for order in self._set_orders()]

    def _set_orders(self) -> tuple[Order, ...]:
        reason = self._random.choice(PAIN_REASONS)
        group_number = f"G{self._run}{self._order_count:05d}"
        return tuple(
            self._order(study, reason=reason, group_number=group_number)
            for study in (messages.CERVICAL_BOTH, messages.THORACIC_BOTH, messages.LUMBAR_BOTH)
        )

    def _cancel(self, at: datetime) -> list[Sent]:
        return self._follow_up(at, kind="cancel", control="CA", study=None)

    def _change(self, at: datetime) -> list[Sent]:
        return self._follow_up(at, kind="change to complete spine", control="XO", study=messages.COMPLETE_BOTH)

    def _follow_up(self, at: datetime, *, kind: str, control: str, study: Study | None) -> list[Sent]:
        """A later message about the newest order that should be held; such an order first, when there is none."""
        if not self._suspicious_orders:
            return self._suspicious(at)
        patient, order = self._suspicious_orders.pop()
        later = Order(number=order.number, study=study or order.study, control=control, reason=order.reason)
        return [self._send(kind, patient, (later,), at)]

    def _duplicate(self, at: datetime) -> list[Sent]:
        if self._last is None:
            return self._chest_film(at)
        return [replace(self._last, kind="sent twice")]

    def _malformed(self, _at: datetime) -> list[Sent]:
        return [Sent(kind="malformed", control_id="", raw=self._random.choice(MALFORMED).encode("ascii"))]

    def _anyone(self) -> Patient:
        return self._random.choice(self._random.choice((self._oncology, self._others)))
