"""Take another configuration and other clinical content while messages go on: all of it, or nothing.

    read and check everything -> which keys differ -> decide the last messages again -> audit -> swap

Nothing of the running node is touched before the last step, which has no await in it. What cannot be changed while
running is named and refuses the whole: half of a new configuration is a configuration that nobody wrote. The review pages
are a process of their own: the supervisor hears that another configuration is in force and starts them anew with it.

Failures: a file that is wrong, a key that cannot change, content that would hold far more than now, or a journal that
cannot take the audit link: refused with every reason, the earlier configuration runs on, /readyz says that it is old.
"""

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from interceptor.config.change import Key, changed_keys, is_reloadable, why_not
from interceptor.config.load import ConfigError, load_config
from interceptor.config.mappings import MappingsError
from interceptor.config.review_secrets import read_review_secrets
from interceptor.config.schema import Config
from interceptor.config.secret import SecretError
from interceptor.control.protocol import ControlError
from interceptor.credentials import review_place
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.decision.second_look import SecondLook, look_again
from interceptor.evidence.fhir_connect import FhirSetupError, check_settings
from interceptor.journal.port import JournalUnavailable
from interceptor.node_parts import NodeParts, utc_now
from interceptor.routing import Routing
from interceptor.sources import fhir_settings
from interceptor.supervisor_link import tell_config_taken
from interceptor.telemetry.events import CONFIG_REFUSED, POLICY_LOADED
from interceptor.telemetry.health import DegradedReason
from interceptor.telemetry.operation_events import CONFIG_RELOADED
from interceptor.transport.tls import TlsFileProblem

CHANGES_SHOWN_MAX = 50
HOLDS_FACTOR_MAX = 3.0
"""A reload that would hold more than so many times what is held now, of the same messages, has to be confirmed."""
HOLDS_MORE_MIN = 5
"""Fewer additional holds than this need no confirmation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A configuration that could be taken, and what it would change."""

    config: Config
    content: ClinicalContent
    keys: tuple[Key, ...]
    look: SecondLook


class Reloader:
    """Reloads the node's configuration file. One at a time."""

    def __init__(
        self,
        path: Path,
        parts: NodeParts,
        routing: Routing,
        *,
        load_content: Callable[[Config], ClinicalContent],
        reload_certificates: Callable[[], object],
    ) -> None:
        """*path* is the configuration file; *load_content* raises MappingsError with every problem.

        *reload_certificates* reads the files of TLS again; it keeps and tells of those that cannot be used.
        """
        self._path = path
        self._parts = parts
        self._routing = routing
        self._load_content = load_content
        self._reload_certificates = reload_certificates
        self._turn = asyncio.Lock()

    async def command(self, arguments: dict[str, Any]) -> Mapping[str, object]:
        """The control command `reload`: `check` only looks, `accept_holds` confirms many more holds."""
        actor = str(arguments.get("actor", "")).strip().removeprefix("user:")
        if not actor:
            raise ControlError("bad_argument", "actor is the name of the person who acts")
        is_check, accepts = bool(arguments.get("check")), bool(arguments.get("accept_holds"))
        return await self.reload(actor=f"user:{actor[:80]}", check_only=is_check, accept_holds=accepts)

    async def reload(self, *, actor: str, check_only: bool = False, accept_holds: bool = False) -> dict[str, object]:
        """Read the file again and take it, or say every reason why not.

        Returns:
            `applied`, `problems`, `changed` keys, the `policy` that it has, and the last decisions that change.
        """
        async with self._turn:
            problems, candidate = await self._examine(accept_holds=accept_holds)
            if candidate is not None and not problems and not check_only:
                problems = await self._apply(candidate, actor)
            if not check_only:
                self._reload_certificates()
                self._tell(problems, candidate)
                if not problems:
                    tell_config_taken()
            return _report(problems, candidate, applied=not problems and not check_only)

    async def _examine(self, *, accept_holds: bool) -> tuple[list[str], Candidate | None]:
        """Everything that can be known without touching anything; reading and deciding again run in a thread."""
        current, seen = self._parts.current, self._routing.seen.all()
        try:
            config, content = await asyncio.to_thread(self._read)
        except (ConfigError, MappingsError) as error:
            return [str(problem) for problem in error.problems], None
        except (FhirSetupError, SecretError, TlsFileProblem) as error:
            return [str(error)], None
        keys = changed_keys(current.config, config)
        problems = [why_not(key) for key in keys if not is_reloadable(key)]
        look = await asyncio.to_thread(look_again, seen, current.content, content)
        if not accept_holds and _holds_far_more(look):
            problems.append(
                f"would hold {look.holds_now} of the last {look.order_count} orders, the running content"
                f" {look.holds_was}: say --accept-holds if that is meant"
            )
        return problems, Candidate(config=config, content=content, keys=keys, look=look)

    def _read(self) -> tuple[Config, ClinicalContent]:
        config = load_config(self._path)
        for name, table in config.fhir.items():
            check_settings(fhir_settings(name, table, egfr_codes=(), environment=os.environ))
        if config.review is not None:
            # The review process reads them: it could not start with what is wrong here.
            read_review_secrets(config.review, os.environ)
            if (place := review_place(config)) is not None:
                place.read()
        return config, self._load_content(config)

    async def _apply(self, candidate: Candidate, actor: str) -> list[str]:
        """Write the audit link, then swap."""
        was, now = self._parts.current.content.policy.identity, candidate.content.policy.identity
        detail = {
            "keys": [".".join(key) for key in candidate.keys],
            "policy_was": was.sha256,
            "policy": now.sha256,
            "decided_again": candidate.look.order_count,
            "changes": candidate.look.summary(),
        }
        try:
            await self._parts.journal.record_audit(
                at=utc_now(), actor=actor, action="config_reloaded", entry_id=None, detail=detail
            )
        except JournalUnavailable as error:
            return [f"the journal is {error.reason}: a change that leaves no audit link is not made"]
        self._routing.take(candidate.config, candidate.content)
        return []

    def _tell(self, problems: list[str], candidate: Candidate | None) -> None:
        parts = self._parts
        parts.metrics.show_reload(successful=not problems, at=utc_now())
        if problems or candidate is None:
            parts.health.degrade(DegradedReason.CONFIG_OLD)
            parts.log.event(CONFIG_REFUSED, problems=len(problems))
            return
        parts.health.recover(DegradedReason.CONFIG_OLD)
        identity = candidate.content.policy.identity
        named = {"version": identity.version, "profile": identity.profile, "sha256": identity.sha256}
        parts.metrics.show_policy(policy_id=identity.policy_id, **named)
        parts.log.event(POLICY_LOADED, policy=identity.policy_id, **named)
        parts.log.event(
            CONFIG_RELOADED,
            keys=[".".join(key) for key in candidate.keys],
            decided_again=candidate.look.order_count,
            changed=len(candidate.look.changes),
        )


def _holds_far_more(look: SecondLook) -> bool:
    more = look.holds_now - look.holds_was
    return more >= HOLDS_MORE_MIN and look.holds_now > HOLDS_FACTOR_MAX * look.holds_was


def _report(problems: list[str], candidate: Candidate | None, *, applied: bool) -> dict[str, object]:
    """The answer as JSON. Order numbers are for the person who asked, on the control socket only."""
    report: dict[str, object] = {"applied": applied, "problems": problems}
    if candidate is None:
        return report
    identity = candidate.content.policy.identity
    look = candidate.look
    return report | {
        "changed": [".".join(key) for key in candidate.keys],
        "policy": {"id": identity.policy_id, "version": identity.version, "sha256": identity.sha256},
        "decided_again": look.order_count,
        "summary": look.summary(),
        "decisions": [
            {
                "route": one.route,
                "placer_order_number": one.placer_order_number,
                "was": one.was.word,
                "now": one.now.word,
                "reasons_was": list(one.reasons_was),
                "reasons_now": list(one.reasons_now),
            }
            for one in look.changes[:CHANGES_SHOWN_MAX]
        ],
    }
