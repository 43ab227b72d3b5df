"""A secret from a file or from the environment: never from the configuration file itself.

Failures: a secret that cannot be read is a `SecretError` that names the key, never the content.
"""

from collections.abc import Mapping
from pathlib import Path

SECRET_SIZE_MAX = 64 * 1024
"""Characters; a private key of 16,384 bits has 13 KB."""


class SecretError(ValueError):
    """A secret that is configured cannot be read; the text begins with its key."""


def read_secret(key: str, *, file: Path | None, variable: str | None, environment: Mapping[str, str]) -> str | None:
    """A secret without the white space around it; None where none is configured.

    Args:
        key: The key without `_file` or `_env`, e.g. "fhir.epic.bearer_token".
        file: Where it stands, None for nowhere.
        variable: The environment variable that has it, None for none; *file* wins.
        environment: All variables.

    Raises:
        SecretError: It cannot be read, or is empty.
    """
    if file is not None:
        where = f"{key}_file"
        try:
            content = file.read_text(encoding="utf-8")[:SECRET_SIZE_MAX].strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"{where}: cannot be read ({type(error).__name__})"
            raise SecretError(message) from None
    elif variable is not None:
        where = f"{key}_env"
        content = environment.get(variable, "").strip()
    else:
        return None
    if not content:
        message = f"{where}: is empty"
        raise SecretError(message)
    return content
