"""A text that mentions nothing is read once; what is read is always what the matcher reads."""

from hypothesis import given
from hypothesis import strategies as st

from interceptor.context.text_memory import TEXT_COUNT_MAX, TextMemory
from tests.support.clinical import shipped_content

MATCHER = shipped_content().tables.text
SHARED = TextMemory(MATCHER)
WORDS = ["low back pain", "no", "MRI please", "hx", "breast cancer", "taken by the desk", "", "x" * 400]


@given(st.lists(st.sampled_from(WORDS), max_size=6).map(" ".join), st.integers(0, 60))
def test_what_was_read_before_reads_the_same(text: str, length_max: int) -> None:
    for _ in range(2):
        assert SHARED.read(text, length_max=length_max) == MATCHER.read(text, length_max=length_max)
        assert SHARED.read(text) == MATCHER.read(text)


def test_only_what_mentions_nothing_is_kept_and_only_so_much() -> None:
    memory = TextMemory(MATCHER)
    assert memory.read("low back pain for years") is not memory.read("low back pain for years")
    for number in range(TEXT_COUNT_MAX + 10):
        memory.read(f"taken by desk {number}")
    assert len(memory._known) <= TEXT_COUNT_MAX
