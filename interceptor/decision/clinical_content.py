"""All clinical content that decides an order: code tables, text tables, the site profile and the policy."""

from dataclasses import dataclass

from interceptor.context.extract import ContextTables
from interceptor.decision.policy import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class ClinicalContent:
    """What `decide_message` decides by; loaded once, never changed."""

    tables: ContextTables
    policy: Policy
