"""Who may do what: one table of roles and actions.

Every route of the review process names one action (`guard.guarded`); a role that lacks it is refused by the
server, and the refusal is a link of the audit chain. What the pages show or hide is courtesy, this table is
the rule.

PHI: an action of `PATIENT_ACTIONS` shows or needs a patient. Roles without such actions see numbers only; with a
reason they may break the glass (`Action.BREAK_GLASS`), which lends them `GLASS_ACTIONS` for a while, loudly.

Source: PRODUCT 4 (roles), RELIABILITY 5 (roles per action).
"""

from collections.abc import Collection, Mapping
from enum import StrEnum
from types import MappingProxyType


class Role(StrEnum):
    """What a person is here for. A person may have several."""

    REVIEWER = "reviewer"
    TECHNOLOGIST = "technologist"
    LIAISON = "liaison"
    ANALYST = "analyst"
    OPS = "ops"
    LEAD = "lead"
    AUDITOR = "auditor"
    ADMIN = "admin"


class Action(StrEnum):
    """Everything that can be asked of the review process."""

    SEE_WORKLIST = "see_worklist"
    OPEN_ORDER = "open_order"
    SEARCH = "search"
    CLAIM = "claim"
    COMMENT = "comment"
    HAND_OVER = "hand_over"
    SNOOZE = "snooze"
    RELEASE = "release"
    RETURN = "return"
    CHANGE_PROCEDURE = "change_procedure"
    SEE_MESSAGE = "see_message"
    SEE_TRAFFIC = "see_traffic"
    SEE_ROUTES = "see_routes"
    SET_MODE = "set_mode"
    SEE_DEAD_LETTERS = "see_dead_letters"
    RETRY_DEAD_LETTER = "retry_dead_letter"
    DISCARD_DEAD_LETTER = "discard_dead_letter"
    SEE_POLICY = "see_policy"
    TRY_POLICY = "try_policy"
    SEE_ANALYTICS = "see_analytics"
    SEE_AUDIT = "see_audit"
    EXPORT = "export"
    SEE_LIVE = "see_live"
    MANAGE_USERS = "manage_users"
    BREAK_GLASS = "break_glass"
    OWN_ACCOUNT = "own_account"


PATIENT_ACTIONS = frozenset(
    {
        Action.SEE_WORKLIST,
        Action.OPEN_ORDER,
        Action.SEARCH,
        Action.CLAIM,
        Action.COMMENT,
        Action.HAND_OVER,
        Action.SNOOZE,
        Action.RELEASE,
        Action.RETURN,
        Action.CHANGE_PROCEDURE,
        Action.SEE_MESSAGE,
        Action.SEE_AUDIT,
        Action.EXPORT,
    }
)
"""Actions that show or need a patient."""
GLASS_ACTIONS = frozenset({Action.SEE_WORKLIST, Action.OPEN_ORDER, Action.SEARCH, Action.SEE_MESSAGE})
"""What a broken glass lends: to see, never to decide."""

_EVERYBODY = frozenset({Action.OWN_ACCOUNT, Action.SEE_LIVE, Action.SEE_POLICY})
_READERS = frozenset({Action.SEE_WORKLIST, Action.OPEN_ORDER, Action.SEARCH})

RIGHTS: Mapping[Role, frozenset[Action]] = MappingProxyType(
    {
        Role.REVIEWER: _EVERYBODY
        | _READERS
        | {
            Action.CLAIM,
            Action.COMMENT,
            Action.HAND_OVER,
            Action.SNOOZE,
            Action.RELEASE,
            Action.RETURN,
            Action.CHANGE_PROCEDURE,
            Action.SEE_MESSAGE,
            Action.EXPORT,
        },
        Role.TECHNOLOGIST: _EVERYBODY
        | _READERS
        | {Action.CLAIM, Action.COMMENT, Action.HAND_OVER, Action.SNOOZE, Action.RELEASE},
        Role.LIAISON: _EVERYBODY | _READERS | {Action.COMMENT, Action.RETURN},
        Role.ANALYST: _EVERYBODY
        | {
            Action.SEE_MESSAGE,
            Action.SEE_TRAFFIC,
            Action.SEE_ROUTES,
            Action.SEE_DEAD_LETTERS,
            Action.RETRY_DEAD_LETTER,
            Action.DISCARD_DEAD_LETTER,
            Action.TRY_POLICY,
            Action.SEE_ANALYTICS,
        },
        Role.OPS: _EVERYBODY
        | {Action.SEE_TRAFFIC, Action.SEE_ROUTES, Action.SET_MODE, Action.SEE_DEAD_LETTERS, Action.BREAK_GLASS},
        Role.LEAD: _EVERYBODY
        | _READERS
        | {
            Action.SEE_MESSAGE,
            Action.SEE_ROUTES,
            Action.SET_MODE,
            Action.TRY_POLICY,
            Action.SEE_ANALYTICS,
            Action.SEE_AUDIT,
            Action.EXPORT,
        },
        Role.AUDITOR: _EVERYBODY
        | _READERS
        | {
            Action.SEE_MESSAGE,
            Action.SEE_TRAFFIC,
            Action.SEE_ROUTES,
            Action.SEE_DEAD_LETTERS,
            Action.SEE_ANALYTICS,
            Action.SEE_AUDIT,
            Action.EXPORT,
        },
        Role.ADMIN: _EVERYBODY
        | {
            Action.SEE_ROUTES,
            Action.MANAGE_USERS,
            Action.BREAK_GLASS,
        },
    }
)
"""Role to the actions that it allows. What is not in a row is refused."""

DECIDING_ROLES = frozenset(role for role, actions in RIGHTS.items() if Action.RELEASE in actions)
"""Who can end a hold: while nobody has one of these roles, nothing may be held."""


def rights_of(roles: Collection[Role], *, is_glass_broken: bool = False) -> frozenset[Action]:
    """Everything that a person with these roles may do now."""
    own = frozenset[Action]().union(*(RIGHTS[role] for role in roles))
    return own | GLASS_ACTIONS if is_glass_broken else own
