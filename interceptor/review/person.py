"""The person behind a request: who it is, and what they may do now."""

from dataclasses import dataclass

from interceptor.review.rights import Action, Role, rights_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Who asks, as the login found it.

    Attributes:
        name: The account's name, as the audit trail writes it ("user:NAME").
        display_name: What other people read.
        roles: Of the account, when the session began; a change of rights ends the session.
        method: How the person came in: "password", "link", "oidc" or "proxy".
        session: Digest of the session's secret; b"" for a login by proxy, which has no session of ours.
        csrf_token: What forms of this session carry; "" without a session.
        is_break_glass: Whether the person sees patients without a right of their own, with a reason, for a while.
    """

    name: str
    display_name: str
    roles: frozenset[Role]
    method: str
    session: bytes = b""
    csrf_token: str = ""
    is_break_glass: bool = False

    @property
    def actor(self) -> str:
        """The person in the audit trail."""
        return f"user:{self.name}"

    def can(self, action: Action) -> bool:
        """Whether *action* is allowed to this person now."""
        return action in rights_of(self.roles, is_glass_broken=self.is_break_glass)
