"""What a program with an API token may do: scopes, each a set of actions of the one table of rights.

A token never has a right to manage users or tokens, and never breaks the glass.

Source: PRODUCT 4 (scoped tokens).
"""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from types import MappingProxyType

from interceptor.review.rights import Action


class Scope(StrEnum):
    """What may be asked for when a token is made."""

    ORDERS_READ = "orders:read"
    ORDERS_DECIDE = "orders:decide"
    MESSAGES_READ = "messages:read"
    ROUTES_READ = "routes:read"
    ROUTES_WRITE = "routes:write"
    DEAD_LETTERS_READ = "dead-letters:read"
    DEAD_LETTERS_WRITE = "dead-letters:write"
    POLICY_EVALUATE = "policy:evaluate"
    AUDIT_READ = "audit:read"
    EVENTS_READ = "events:read"


ACTIONS: Mapping[Scope, frozenset[Action]] = MappingProxyType(
    {
        Scope.ORDERS_READ: frozenset({Action.SEE_WORKLIST, Action.OPEN_ORDER, Action.SEARCH}),
        Scope.ORDERS_DECIDE: frozenset({Action.CLAIM, Action.COMMENT, Action.RELEASE, Action.RETURN}),
        Scope.MESSAGES_READ: frozenset({Action.SEE_MESSAGE}),
        Scope.ROUTES_READ: frozenset({Action.SEE_ROUTES, Action.SEE_TRAFFIC}),
        Scope.ROUTES_WRITE: frozenset({Action.SET_MODE}),
        Scope.DEAD_LETTERS_READ: frozenset({Action.SEE_DEAD_LETTERS}),
        Scope.DEAD_LETTERS_WRITE: frozenset({Action.RETRY_DEAD_LETTER, Action.DISCARD_DEAD_LETTER}),
        Scope.POLICY_EVALUATE: frozenset({Action.SEE_POLICY, Action.TRY_POLICY}),
        Scope.AUDIT_READ: frozenset({Action.SEE_AUDIT}),
        Scope.EVENTS_READ: frozenset({Action.SEE_LIVE}),
    }
)
"""Scope to the actions that it allows."""


def actions_of(scopes: Iterable[str]) -> frozenset[Action]:
    """Everything that a token with these scopes may do; a word that is no scope allows nothing."""
    known = [Scope(one) for one in scopes if one in frozenset(Scope)]
    return frozenset[Action]().union(*(ACTIONS[one] for one in known))
