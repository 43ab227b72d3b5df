"""What a source's words say of how a diagnosis stands: one reading for PRB, CSV and whatever else has words for it.

Source: FHIR R4 condition-clinical and condition-ver-status; HL7 v2 PRB-13 (table 0927), PRB-14 (table 0928): both
tables are the site's own, so words are read, not codes.
"""

import re

from interceptor.evidence.statement import Standing

_RETRACTED = re.compile(r"refuted|ruled.?out|entered.?in.?error|erroneous|not.?confirmed|deleted|void", re.IGNORECASE)
_PAST = re.compile(r"resolved|inactive|remission|closed|historical|history|completed|past|abated", re.IGNORECASE)
_SUSPECTED = re.compile(r"suspect|provisional|differential|unconfirmed|rule.?out|possible|probable", re.IGNORECASE)


def read_standing(*words: str) -> Standing:
    """The standing that these words say; active when they say nothing else.

    A retraction speaks louder than a remission, a remission louder than a doubt.
    """
    said = " ".join(words)
    if _RETRACTED.search(said):
        return Standing.RETRACTED
    if _PAST.search(said):
        return Standing.PAST
    return Standing.SUSPECTED if _SUSPECTED.search(said) else Standing.ACTIVE
