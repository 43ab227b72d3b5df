"""The secrets of [review], read from where the file says they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from interceptor.config.review import ReviewTable
from interceptor.config.secret import SecretError, read_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class ReviewSecrets:
    """What only we and the other side know.

    Attributes:
        oidc_client: Our secret at the identity provider; empty for a public client.
        proxy: What the proxy sends with each request; empty where there is no proxy login.
    """

    oidc_client: str = field(default="", repr=False)
    proxy: str = field(default="", repr=False)


def read_review_secrets(review: ReviewTable, environment: Mapping[str, str]) -> ReviewSecrets:
    """Read them.

    Raises:
        SecretError: One cannot be read, or is empty where that would let anybody in.
    """
    oidc_client = proxy = None
    if review.oidc is not None:
        oidc_client = read_secret(
            "review.oidc.client_secret",
            file=review.oidc.client_secret_file,
            variable=review.oidc.client_secret_env,
            environment=environment,
        )
    if review.proxy_login is not None:
        proxy = read_secret(
            "review.proxy_login.secret",
            file=review.proxy_login.secret_file,
            variable=review.proxy_login.secret_env,
            environment=environment,
        )
        if not proxy:
            message = "review.proxy_login: without a secret anybody could say who they are"
            raise SecretError(message)
    return ReviewSecrets(oidc_client=oidc_client or "", proxy=proxy or "")
