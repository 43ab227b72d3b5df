"""Reading a policy file: what is right is compiled, and everything wrong is named with its line, at once."""

import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.decision.policy import parse_policy
from interceptor.decision.policy_reader import PolicyError, read_policy
from tests.support.plain_facts import POLICY_FILE

SHIPPED = POLICY_FILE.read_bytes().decode()

SMALL = """\
format = 1
[policy]
id = "small"
version = "1"
title = "Small"
question = "Is it a spine?"
[source.us]
title = "We"
edition = "1"
page = "1"
read = "2026-01-01"
worth = "None."
[switch.open]
asks = "Open?"
reason = "Why not."
[profile.default]
title = "Default"
on = []
[profile.strict]
title = "Strict"
on = ["open"]
[noncompliant]
regional_mr = "A-REGIONAL"
[[reason]]
code = "P-NOTSPINE"
says = "Not a spine."
means = "It is not."
[[reason]]
code = "A-REGIONAL"
says = "Part of a spine."
means = "It is a part."
[[row]]
number = 1
name = "not-spine"
asks = "Is it a spine?"
needs = ["procedure"]
when = ["procedure is not_spine or out_of_scope"]
decides = "pass"
source = "us"
strength = "operational"
[[row.gives]]
code = "P-NOTSPINE"
[[row]]
number = 2
name = "the-rest"
asks = "What else?"
needs = []
when = []
decides = "annotate"
source = "us"
strength = "consensus"
[[row.gives]]
code = "A-REGIONAL"
"""


def problems_of(text: str) -> tuple[str, ...]:
    with pytest.raises(PolicyError) as raised:
        read_policy(text, file="small.toml")
    return raised.value.problems


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


def changed(old: str, new: str, *, text: str = SMALL) -> str:
    assert text.count(old) >= 1
    return text.replace(old, new, 1)


@pytest.mark.parametrize("profile", ["default", "strict"])
def test_the_shipped_policy_loads_and_names_its_exact_bytes(profile: str) -> None:
    policy = parse_policy(SHIPPED, file="spine-oncology.toml", profile=profile)
    assert policy.identity.sha256 == hashlib.sha256(POLICY_FILE.read_bytes()).hexdigest()
    assert policy.identity.policy_id == "spine-oncology"
    assert policy.identity.profile == profile


def test_the_small_policy_is_right() -> None:
    assert len(parse_policy(SMALL, file="small.toml", profile="default").rows) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("procedure is not_spine or", "proceduer is not_spine or", "unknown fact 'proceduer'"),
        ("procedure is not_spine or", "procedure equals not_spine or", "bad operator 'equals'"),
        ("procedure is not_spine or", "procedure include not_spine or", "bad operator 'include'"),
        ("procedure is not_spine or out_of_scope", "exceptions is renal", "bad operator 'is'"),
        ("not_spine or out_of_scope", "not_spine or elsewhere", "unknown value 'elsewhere' of procedure"),
        ("procedure is not_spine or out_of_scope", "procedure", "is not 'fact operator value [or value ...]'"),
        ('source = "us"\nstrength = "operational"', 'strength = "operational"', "row.source: missing"),
        (
            'source = "us"\nstrength = "operational"',
            'source = "them"\nstrength = "operational"',
            "unknown source 'them'",
        ),
        ('strength = "operational"', 'strength = "huge"', "'huge' is not one of"),
        ('code = "A-REGIONAL"\nsays', 'code = "P-NOTSPINE"\nsays', "duplicate reason code 'P-NOTSPINE'"),
        ('name = "the-rest"', 'name = "not-spine"', "duplicate row 'not-spine'"),
        ('decides = "pass"', 'decides = "wait"', "'wait' is not one of pass, annotate, hold"),
        ('needs = ["procedure"]', "needs = []", "is not what the row reads: procedure"),
        ('code = "P-NOTSPINE"\n[[row]]', 'code = "P-OTHER"\n[[row]]', "unknown reason code 'P-OTHER'"),
        ("number = 2", "number = 0", "is not a whole number above 0"),
        ('decides = "annotate"', 'decides = "annotate"\nswitch = "shut"', "unknown switch 'shut'"),
        ('on = ["open"]', 'on = ["shut"]', "unknown switch 'shut'"),
        ('asks = "What else?"', 'ask = "What else?"', "row.ask: unknown key"),
        ("Part of a spine.", "The college requires more.", "says 'requires', which no message may say"),
        ("Part of a spine.", "There is no cancer.", "says 'no cancer', which no message may say"),
        ("Part of a spine.", "Part of a spine \u2013 only.", "is not plain ASCII"),
        ("Part of a spine.", "Part of {spine}.", "unknown placeholder 'spine'"),
        ('worth = "None."', 'worth = "None."\nurl = "javascript:1"', "source.us.url: is not an https address"),
        ("format = 1", "format = 2", "is not 1, the only format"),
        ("regional_mr = ", "regionel_mr = ", "unknown procedure class"),
        ("[profile.default]", "[profile.usual]", "there is no profile 'default'"),
        ('decides = "annotate"', 'decides = "annotate"\nhold_deadline_minutes = -1', "is not a number above 0"),
    ],
)
def test_one_mistake_is_named_with_file_and_line(old: str, new: str, said: str) -> None:
    problems = problems_of(changed(old, new))
    named = [problem for problem in problems if said in problem]
    assert named, problems
    assert named[0].startswith("small.toml:")


def test_the_line_is_the_line_of_the_mistake() -> None:
    text = changed("procedure is not_spine or", "proceduer is not_spine or")
    line = line_of(text, "proceduer")
    assert any(problem.startswith(f"small.toml:{line}: row.when: unknown fact") for problem in problems_of(text))


def test_the_line_of_one_condition_in_a_list_over_several_lines() -> None:
    text = changed(
        'when = ["procedure is not_spine or out_of_scope"]',
        'when = [\n    "procedure is not_spine",\n    "urgency is soon",\n]',
    )
    line = line_of(text, "urgency is soon")
    assert any(problem.startswith(f"small.toml:{line}: row.when: unknown value") for problem in problems_of(text))


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file() -> None:
    text = changed("Part of a spine.", "It requires.")
    text = changed("procedure is not_spine or", "proceduer is not_spine or", text=text)
    text = changed('strength = "consensus"', 'strength = "huge"', text=text)
    problems = problems_of(text)
    lines = [int(problem.split(":")[1]) for problem in problems]
    assert len(problems) >= 3
    assert lines == sorted(lines)


def test_a_row_that_earlier_rows_leave_nothing_for_is_unreachable() -> None:
    text = changed("procedure is not_spine or out_of_scope", "procedure is not not_spine")
    text = changed("needs = []\nwhen = []", 'needs = ["procedure"]\nwhen = ["procedure is radiograph"]', text=text)
    problems = problems_of(text)
    assert any("'the-rest' is unreachable in profile 'default'" in problem for problem in problems)


def test_a_row_is_unreachable_when_several_rows_together_cover_it() -> None:
    text = changed("procedure is not_spine or out_of_scope", "procedure is not not_spine")
    extra = (
        '[[row]]\nnumber = 2\nname = "last"\nasks = "?"\nneeds = ["procedure"]\nwhen = ["procedure is radiograph or not_spine"]\n'
        'decides = "pass"\nsource = "us"\nstrength = "consensus"\n[[row.gives]]\ncode = "A-REGIONAL"\n'
    )
    assert any("'last' is unreachable" in problem for problem in problems_of(text + extra))


def test_an_order_that_no_row_decides_is_named() -> None:
    text = changed("needs = []\nwhen = []", 'needs = ["exceptions"]\nwhen = ["exceptions include renal or device"]')
    problems = problems_of(text)
    assert any("no row decides in profile 'default'" in problem for problem in problems)
    assert any("exception renal no" in problem for problem in problems)


def test_a_switch_can_make_a_row_unreachable_in_one_profile_only() -> None:
    text = changed('decides = "pass"', 'decides = "pass"\nswitch = "open"')
    assert len(read_policy(text, file="small.toml").rows) == 2
    covering = changed("procedure is not_spine or out_of_scope", "procedure is not not_spine", text=text)
    narrow = changed(
        "needs = []\nwhen = []", 'needs = ["procedure"]\nwhen = ["procedure is radiograph"]', text=covering
    )
    problems = problems_of(narrow)
    assert any("'the-rest' is unreachable in profile 'strict'" in problem for problem in problems)
    assert not any("unreachable in profile 'default'" in problem for problem in problems)


def test_what_is_not_toml_is_named_with_its_line() -> None:
    problems = problems_of("format = 1\n[policy\n")
    assert problems[0].startswith("small.toml:2: not TOML")


@pytest.mark.parametrize(
    "text", ["", "format = 1", "row = 3", "reason = [1]", "[row]\nnumber = 1", "policy = 1\nprofile = 2"]
)
def test_fragments_give_problems_and_nothing_else(text: str) -> None:
    assert problems_of(text)


def test_an_unknown_profile_is_named_with_the_known_ones() -> None:
    with pytest.raises(PolicyError, match=r"no profile 'lax'; known: default, strict"):
        parse_policy(SMALL, file="small.toml", profile="lax")


LINES = [number for number, text in enumerate(SHIPPED.splitlines()) if "=" in text and not text.startswith("#")]


@settings(max_examples=80, deadline=None)
@given(st.sampled_from(LINES))
def test_a_policy_without_any_one_of_its_lines_never_crashes_the_reader(line: int) -> None:
    """Either the line was optional, or its absence is a named problem."""
    lines = SHIPPED.splitlines(keepends=True)
    problems: tuple[str, ...] = ()
    try:
        read_policy("".join(lines[:line] + lines[line + 1 :]), file="x.toml")
    except PolicyError as error:
        problems = error.problems
    assert all(problem.startswith("x.toml:") for problem in problems)
