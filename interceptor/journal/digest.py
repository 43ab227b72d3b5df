"""The digest that a message is known again by, taken without giving the interpreter away.

hashlib lets other threads run while it works on 2,048 bytes or more. In the node's loop that costs far more than the
hash: the journal's writer takes over, and the loop waits for its slice to end. Small pieces are hashed at one go.
"""

from hashlib import sha256

_PIECE_SIZE = 2047
_PIECES_SIZE_MAX = 256 * 1024
"""Above this the hash itself takes a good part of a millisecond, and others may run meanwhile."""


def digest_of(raw: bytes) -> bytes:
    """SHA-256 of a message, 32 bytes."""
    if len(raw) > _PIECES_SIZE_MAX:
        return sha256(raw).digest()
    digest = sha256()
    for start in range(0, len(raw), _PIECE_SIZE):
        digest.update(raw[start : start + _PIECE_SIZE])
    return digest.digest()
