"""Whether the orderer has answered the policy's question: a valid override answer on the order.

Source: CLINICAL section 2, override; docs/how-to/map-procedures.md (how a site names its question and its answers).
"""

from collections.abc import Iterable

from interceptor.context.code_table import QuestionKind
from interceptor.context.order_facts import Evidence
from interceptor.context.order_reading import Answer
from interceptor.context.site_profile import SiteProfile
from interceptor.context.vocabulary import EvidenceSource, FactName


def read_override(answers: Iterable[Answer], site: SiteProfile) -> tuple[bool, tuple[Evidence, ...]]:
    """Return whether an override was given, and the answer that gave it.

    Where the site lists its valid answers only these count; else any answer that is not "no" and not empty.
    """
    for answer in answers:
        if answer.kind is not QuestionKind.OVERRIDE:
            continue
        question = site.questions.get(QuestionKind.OVERRIDE)
        allowed = question.answers if question is not None else frozenset[str]()
        stated = {answer.value.upper(), answer.value_code.upper()}
        if stated & allowed if allowed else not answer.is_no:
            evidence = Evidence(
                fact=FactName.OVERRIDE,
                source=EvidenceSource.MESSAGE,
                path=answer.path,
                code=answer.code or None,
                text=answer.value,
                meaning="answered",
            )
            return True, (evidence,)
    return False, ()
