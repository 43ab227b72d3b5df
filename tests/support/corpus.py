"""The corpus of real messages beside the checkout; tests that need it skip where it is absent."""

from collections.abc import Iterator
from pathlib import Path

import pytest

CORPUS = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"

needs_corpus = pytest.mark.skipif(
    not (CORPUS / "INDEX.tsv").is_file(), reason=f"the corpus of real messages is not at {CORPUS}"
)


def corpus_messages() -> Iterator[tuple[str, bytes]]:
    """Every message file of the corpus: path inside the corpus, and its bytes."""
    for line in (CORPUS / "INDEX.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        name = line.split("\t", 1)[0]
        yield name, (CORPUS / name).read_bytes()
