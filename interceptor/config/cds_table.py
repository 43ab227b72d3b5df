"""[cds.NAME]: systems that ask for advice while orders are written (CDS Hooks)."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from interceptor.config.value import Table


class CdsTable(Table):
    """A system that asks for advice while orders are written (CDS Hooks `order-sign`), at /cds-services of the review pages. See docs/how-to/advise-orderers.md."""

    issuer: Annotated[str, Field(min_length=1)]
    """The `iss` of its tokens, exactly as it writes it."""
    keys_file: Path
    """File with its public keys, a JWK Set. Nothing is fetched from an address that a token names."""
