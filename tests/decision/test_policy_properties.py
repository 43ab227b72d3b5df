"""What holds for every order that can be described, whatever the facts."""

from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.context.order_facts import ExceptionFinding, Oncology
from interceptor.context.order_set import SetPart
from interceptor.context.vocabulary import ExceptionKind, LookupStatus, OncologyTier
from interceptor.decision.decision import Decision, Disposition
from interceptor.decision.evaluate import evaluate
from interceptor.decision.fact import FACT_VALUES, Fact, OrderCase
from interceptor.decision.message_decision import MessageDecision
from interceptor.decision.policy import Policy, compile_policy
from tests.support.plain_facts import PlainFacts, facts, shipped_policy

POLICIES = {profile: shipped_policy(profile) for profile in ("default", "strict")}
TIERS = tuple(reversed(OncologyTier))
"""The weakest first."""

words = st.fixed_dictionaries(
    {
        str(fact): st.sampled_from(FACT_VALUES[fact])
        for fact in (Fact.CONTROL, Fact.PROCEDURE, Fact.ONCOLOGY, Fact.LOOKUP, Fact.SYMPTOM, Fact.ONSET, Fact.URGENCY)
    }
    | {
        "override": st.booleans(),
        "exceptions": st.lists(st.sampled_from(list(ExceptionKind)), unique=True, max_size=3).map(tuple),
    }
)
profiles = st.sampled_from(sorted(POLICIES))
parts = st.sampled_from(list(SetPart))


def decide(profile: str | Policy, plain: PlainFacts, part: SetPart = SetPart.ALONE) -> Decision:
    policy = POLICIES[profile] if isinstance(profile, str) else profile
    return evaluate(policy, OrderCase(plain, set_part=part))


@settings(max_examples=300, deadline=None)
@given(profiles, words, parts)
def test_every_order_is_decided_by_some_row_with_a_reason(profile: str, given_words: Any, part: SetPart) -> None:
    decision = decide(profile, facts(**given_words), part)
    assert decision.reasons[0] in POLICIES[profile].reasons
    assert len(set(decision.reasons)) == len(decision.reasons)
    assert all(finding.sentence.isascii() and "{" not in finding.sentence for finding in decision.findings)


@settings(max_examples=200, deadline=None)
@given(profiles, words, parts)
def test_only_a_routine_new_order_for_a_spine_symptom_with_cancer_is_held(
    profile: str, given_words: Any, part: SetPart
) -> None:
    if decide(profile, facts(**given_words), part).disposition is Disposition.HOLD:
        assert given_words["urgency"] == "routine"
        assert given_words["oncology"] != "none"
        assert given_words["symptom"] in {"deficit", "radicular", "pain"}
        assert given_words["control"] != "other"
        assert not given_words["override"]


@settings(max_examples=200, deadline=None)
@given(profiles, words, st.sampled_from(range(len(TIERS) - 1)))
def test_stronger_evidence_of_cancer_never_lowers_the_disposition(profile: str, given_words: Any, rank: int) -> None:
    """Where the sources answered. (Where they failed, "none" is already a note.)"""
    plain = replace(facts(**given_words), lookup=LookupStatus.OK, exceptions=())
    weaker = decide(profile, replace(plain, oncology=Oncology(tier=TIERS[rank])))
    stronger = decide(profile, replace(plain, oncology=Oncology(tier=TIERS[rank + 1])))
    assert stronger.disposition >= weaker.disposition


@settings(max_examples=200, deadline=None)
@given(profiles, words, st.sampled_from(list(ExceptionKind)))
def test_a_further_exception_is_always_told_of_where_one_decides(
    profile: str, given_words: Any, kind: ExceptionKind
) -> None:
    plain = facts(**given_words)
    before = decide(profile, plain)
    more = (*plain.exceptions, ExceptionFinding(kind=kind, phrase="phrase"))
    after = decide(profile, replace(plain, exceptions=more))
    if before.findings[0].row == 10:
        assert after.disposition == before.disposition
        assert set(after.reasons) >= set(before.reasons)


@given(st.lists(st.tuples(profiles, words), min_size=1, max_size=4), profiles, words)
@settings(max_examples=100, deadline=None)
def test_adding_a_finding_never_lowers_the_disposition(
    orders: list[tuple[str, Any]], profile: str, given_words: Any
) -> None:
    """A message is as strong as the strongest of what was found about its orders."""

    class _Order:
        def __init__(self, decision: Decision) -> None:
            self.decision = decision

    decided = [_Order(decide(one, facts(**each))) for one, each in orders]
    more = [*decided, _Order(decide(profile, facts(**given_words)))]
    before = MessageDecision(orders=tuple(decided))  # type: ignore[arg-type]  # only `decision` is read
    after = MessageDecision(orders=tuple(more))  # type: ignore[arg-type]  # only `decision` is read
    assert after.disposition >= before.disposition


@settings(max_examples=150, deadline=None)
@given(profiles, words, parts, st.integers(min_value=0, max_value=10_000))
def test_the_order_of_conditions_within_a_row_decides_nothing(
    profile: str, given_words: Any, part: SetPart, seed: int
) -> None:
    """Row order in the file decides and nothing else: neither the order of conditions nor of other tables."""
    random, policy = Random(seed), POLICIES[profile]
    document = policy.document
    rows = []
    for row in document.rows:
        when, needs = list(row.when), list(row.needs)
        random.shuffle(when)
        random.shuffle(needs)
        gives = tuple(replace(give, when=tuple(random.sample(give.when, len(give.when)))) for give in row.gives)
        rows.append(replace(row, when=tuple(when), needs=tuple(needs), gives=gives))
    reasons = list(document.reasons)
    random.shuffle(reasons)
    shuffled = compile_policy(replace(document, rows=tuple(rows), reasons=tuple(reasons)), policy.profile)
    plain = facts(**given_words)
    one, other = decide(shuffled, plain, part), decide(profile, plain, part)
    assert (one.disposition, one.findings, one.escalate) == (other.disposition, other.findings, other.escalate)
