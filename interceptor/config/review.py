"""[review]: the pages in which people decide held orders, and how they log in.

A file with a [review] table has a review process beside the node; without one the command line is the desk.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from interceptor.config.address import Address, parse_address
from interceptor.config.toml_lines import KeyPath
from interceptor.config.value import HttpAddress, ListenAddress, Network, Table

Role = Literal["reviewer", "technologist", "liaison", "analyst", "ops", "lead", "auditor", "admin"]
OTHER_REASON = "other"
"""The coded reason that needs a text."""


def _reasons(value: Mapping[str, str]) -> Mapping[str, str]:
    for code, text in value.items():
        if not code.replace("_", "").isalnum() or not code.islower() or not text.strip():
            raise ValueError("maps a code of a-z, 0-9 and _ to what people read; neither may be empty")
    if not value:
        raise ValueError("is empty: a decision needs a reason")
    return value


Reasons = Annotated[Mapping[str, str], AfterValidator(_reasons)]


class OidcTable(Table):
    """Login with the hospital's own accounts over OpenID Connect. See docs/how-to/manage-users.md."""

    issuer: HttpAddress
    """Issuer, as its own discovery document names it; the document is asked for at issuer/.well-known/openid-configuration."""
    client_id: Annotated[str, Field(min_length=1)]
    """Our client id there."""
    client_secret_file: Path | None = None
    """File with our client secret. Without it, and without the variable, we are a public client (PKCE alone)."""
    client_secret_env: str | None = None
    """Environment variable with our client secret."""
    scope: str = "openid profile"
    """Scopes to ask for."""
    name_claim: str = "preferred_username"
    """Claim with the name that the audit trail shows. Its `sub` is used where the claim is missing."""
    roles_claim: str = "groups"
    """Claim with the person's groups, a list of texts."""
    roles: Mapping[str, tuple[Role, ...]] = Field(default_factory=dict)
    """Group to roles, e.g. `{ "radiologists" = ["reviewer"] }`. Who is in none of them may not log in."""
    algorithms: tuple[Literal["RS256", "RS384", "RS512", "PS256", "ES256", "ES384"], ...] = ("RS256", "ES256")
    """Signatures of identity tokens that are taken."""
    ca_file: Path | None = None
    """Certificate authorities that may have signed the provider's certificate; without it those of the system."""
    timeout_seconds: Annotated[float, Field(gt=0, le=30)] = 5.0
    """Longest time for one question to the provider."""


class ProxyLoginTable(Table):
    """Login by a reverse proxy that has checked who the person is and says so in headers."""

    addresses: Annotated[tuple[Network, ...], Field(min_length=1)]
    """Addresses or networks that the proxy connects from. Headers from anywhere else count for nothing."""
    secret_file: Path | None = None
    """File with the secret that the proxy sends with each request; this or `secret_env` is required."""
    secret_env: str | None = None
    """Environment variable with that secret."""
    secret_header: str = "X-Interceptor-Proxy-Secret"  # noqa: S105 - a header's name
    """Header with the secret. The proxy must remove it, and the two below, from what browsers send."""
    user_header: str = "X-Remote-User"
    """Header with the person's name."""
    groups_header: str = "X-Remote-Groups"
    """Header with the person's groups, separated by commas."""
    roles: Mapping[str, tuple[Role, ...]] = Field(default_factory=dict)
    """Group to roles. Who is in none of them may not come in."""


class ReviewTable(Table):
    """The review pages. `interceptor run` starts their process beside the node, and starts it again when it ends."""

    listen: ListenAddress = Address("127.0.0.1", 8440)
    """Address of the pages. Port 0 takes a free one. Reachable from other machines only with TLS here or in a proxy."""
    public_url: HttpAddress | None = None
    """Address that people type, e.g. "https://review.example.org". Without it, that of `listen`. Requests that change something must come from its pages."""
    certificate_file: Path | None = None
    """TLS: certificate and chain, PEM. With it, `key_file`."""
    key_file: Path | None = None
    """TLS: the certificate's key, PEM without passphrase."""
    behind_proxy: bool = False
    """A reverse proxy ends TLS in front of these pages; `public_url` is then its https address."""
    trusted_proxies: tuple[Network, ...] = ()
    """Addresses whose X-Forwarded-For tells the browser's address, for throttling and the audit trail."""
    local_users: Literal["all", "break_glass", "none"] = "all"
    """Who may log in with a password of ours: everybody who has one, only accounts made with `--break-glass` (for the day the identity provider is down), or nobody."""
    idle_minutes: Annotated[float, Field(ge=1, le=480)] = 15.0
    """A session ends after so long without a request."""
    session_hours_max: Annotated[float, Field(gt=0, le=24)] = 12.0
    """A session ends so long after the login, whatever happens in it."""
    break_glass_minutes: Annotated[float, Field(ge=1, le=480)] = 60.0
    """So long a person without a right to see patients sees them after breaking the glass."""
    undo_seconds: Annotated[float, Field(ge=0, le=60)] = 10.0
    """How long a routine order that was released can be called back before its bytes leave; 0 releases at once. Others leave at once."""
    claim_minutes: Annotated[float, Field(ge=1, le=120)] = 10.0
    """How long a claimed order is somebody's; each look at it begins that time anew."""
    snooze_hours_max: Annotated[float, Field(gt=0, le=24)] = 4.0
    """Longest time for which an order can be put aside. It never moves the deadline."""
    release_reasons: Reasons = Field(
        default_factory=lambda: {
            "as_intended": "The regional study is what is needed",
            "recent_complete_study": "A recent complete spine study exists",
            "discussed": "Discussed with the orderer",
            "cannot_have_contrast": "Contrast or MRI is not possible",
            OTHER_REASON: "Other (say what)",
        }
    )
    """Coded reasons for a release, code to text; "other" needs a text."""
    return_reasons: Reasons = Field(
        default_factory=lambda: {
            "complete_spine_needed": "Please order MRI of the complete spine without and with contrast",
            "indication_unclear": "The indication is unclear",
            "duplicate": "The study exists already",
            OTHER_REASON: "Other (say what)",
        }
    )
    """Coded reasons for a return to the orderer; the placer is told the text."""
    change_procedure: bool = False
    """Let reviewers replace the ordered procedure by `complete_spine_code` and release. Only with an agreement of the site about who may change an order."""
    complete_spine_code: str = ""
    """OBR-4 of the site's MRI of the complete spine without and with contrast, e.g. "72158^MRI COMPLETE SPINE WO+W^L"; `^` separates components, whatever the message uses."""
    processor_share: Annotated[float, Field(ge=0.05, le=64)] = 0.25
    """How much of one processor these pages may take for long, whoever reads how much: orders on the same machine come first. Beyond it reading waits; deciding does not."""
    banner: Annotated[str, Field(max_length=200)] = ""
    """Words above every page, e.g. "Test system: no real orders"; empty for none."""
    oidc: OidcTable | None = None
    """[review.oidc]"""
    proxy_login: ProxyLoginTable | None = None
    """[review.proxy_login]"""


def cross_check_review(review: Mapping[str, Any]) -> Iterator[tuple[KeyPath, str]]:
    """What is wrong between the keys of [review], in the document as it was read."""
    has_certificate, has_key = "certificate_file" in review, "key_file" in review
    if has_certificate != has_key:
        yield ("review", "certificate_file"), "goes with key_file: give both, or none"
    listen = review.get("listen")
    address = _stated_address(listen)
    if address is not None and not address.is_loopback and not has_certificate and not review.get("behind_proxy"):
        yield (
            ("review", "listen"),
            "other machines can reach these pages: give certificate_file and key_file, or set behind_proxy",
        )
    if review.get("behind_proxy") and not str(review.get("public_url", "")).startswith("https://"):
        yield ("review", "public_url"), "is the proxy's https address where behind_proxy is set"
    if review.get("change_procedure") and not review.get("complete_spine_code"):
        yield ("review", "complete_spine_code"), "is needed where change_procedure is set"
    if review.get("local_users") == "none" and "oidc" not in review and "proxy_login" not in review:
        yield ("review", "local_users"), "lets nobody in: give [review.oidc] or [review.proxy_login]"
    proxy = review.get("proxy_login")
    if isinstance(proxy, dict) and ("secret_file" in proxy) == ("secret_env" in proxy):
        yield ("review", "proxy_login"), "needs its shared secret: give secret_file or secret_env, one of them"


def _stated_address(value: object) -> Address | None:
    try:
        return parse_address(value) if isinstance(value, str) else None
    except ValueError:
        return None
