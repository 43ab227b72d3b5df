"""Bring clinical codes and the names of their coding systems to one spelling.

    "c50.911 " under "I10C"   ->  ("icd10cm", "C50911")
    "V10.3" under ""          ->  ("icd9cm", "V103")

Feeds spell a system in a dozen ways, leave it out, or leave the old word in place after they moved to new
codes. What a code of a system means is not known here; `code_table.py` has that.

Source: HL7 table 0396 (coding systems); HL7 OID registry; FHIR R4 4.3 code systems; ICD-10-CM and ICD-9-CM
code structure (official guidelines, section I.A).
"""

import re
from functools import lru_cache

ICD10CM = "icd10cm"
ICD9CM = "icd9cm"
SNOMED = "snomed"
LOINC = "loinc"
CPT = "cpt"
RXNORM = "rxnorm"
ATC = "atc"
LOCAL = "local"

STANDARD_SYSTEMS = frozenset({ICD10CM, ICD9CM, SNOMED, LOINC, CPT, RXNORM, ATC})
DIAGNOSIS_SYSTEMS = frozenset({ICD10CM, ICD9CM, SNOMED})

_SPELLINGS = {
    ICD10CM: (
        "I10 I10C I10CM I10CDX I10DX ICD10 ICD10C ICD10CM ICD10DX ICD10GM ICDX 10D D10 10CM ICD10DIAGNOSIS ICD10CODE ICD10CMS "
        "2.16.840.1.113883.6.90 2.16.840.1.113883.6.3 http://hl7.org/fhir/sid/icd-10-cm http://hl7.org/fhir/sid/icd-10"
    ),
    ICD9CM: (
        "I9 I9C I9CM I9CDX I9DX ICD9 ICD9C ICD9CM ICD9DX 9D D9 9CM ICD9DIAGNOSIS ICD9CODE ICD9CMS "
        "2.16.840.1.113883.6.103 2.16.840.1.113883.6.42 http://hl7.org/fhir/sid/icd-9-cm http://hl7.org/fhir/sid/icd-9"
    ),
    SNOMED: (
        "SCT SNM SNOMED SNOMEDCT SCTID SNCT SNOMEDCTUS SCTUS 2.16.840.1.113883.6.96 http://snomed.info/sct http://snomed.info/id"
    ),
    LOINC: "LN LOINC LNC 2.16.840.1.113883.6.1 http://loinc.org",
    CPT: (
        "C4 C5 CPT CPT4 CPT5 CPTC CPT4CODE AMACPT CPTM HCPCS HCPC HPC HCPT CPTHCPCS "
        "2.16.840.1.113883.6.12 2.16.840.1.113883.6.285 http://www.ama-assn.org/go/cpt "
        "http://terminology.hl7.org/CodeSystem/HCPCS http://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets"
    ),
    RXNORM: "RXNORM RXN RXCUI 2.16.840.1.113883.6.88 http://www.nlm.nih.gov/research/umls/rxnorm",
    ATC: "ATC WC WHOATC 2.16.840.1.113883.6.73 http://www.whocc.no/atc",
    LOCAL: "L LOCAL LCL LOC",
}

_PUNCTUATION = re.compile(r"[\s\-_./()]+")
_OID_PREFIX = re.compile(r"^(urn:oid:|oid:)", re.IGNORECASE)
_IS_URI_OR_OID = re.compile(r"^(https?://|\d+(\.\d+)+$)", re.IGNORECASE)

_ICD9_SHAPE = re.compile(r"^(\d{3}(\.?\d{1,2})?|V\d{2}(\.?\d{1,2})?|E\d{3}\.\d)$")
_ICD10_SHAPE = re.compile(r"^[A-Z]\d[0-9A-Z](\.?[0-9A-Z]{1,4})?$")
_ICD10_ONLY_SHAPE = re.compile(r"^[A-DF-UW-Z]\d[0-9A-Z](\.?[0-9A-Z]{1,4})?$")
_LOINC_SHAPE = re.compile(r"^\d{1,6}-\d$")
_SNOMED_SHAPE = re.compile(r"^[1-9]\d{5,17}$")
_CPT_SHAPE = re.compile(r"^(\d{4}[0-9FTU])(?:\s*-?\s*[A-Z0-9]{2}){0,4}$")
_ICD_PADDING = re.compile(r"X+$")
_ICD_CODE_SIZE_MAX = 8
_PLAIN_CODE_SIZE = 5


def _spelling_key(word: str) -> str:
    word = _OID_PREFIX.sub("", word.strip())
    if _IS_URI_OR_OID.match(word):
        return word.casefold().split("|", 1)[0].rstrip("/").replace("https://", "http://")
    return _PUNCTUATION.sub("", word).upper()


_SYSTEM_OF_KEY = {
    _spelling_key(spelling): system for system, spellings in _SPELLINGS.items() for spelling in spellings.split()
}


@lru_cache(maxsize=1024)
def normalise_system(word: str) -> str:
    """Return the coding system that a sender's word names.

    Returns:
        One of the system constants; "" when the word is empty; the word itself, stripped and in upper case,
        when it is none that we know (a site's own system: HL7 says "L" or "99zzz").
    """
    key = _spelling_key(word)
    known = _SYSTEM_OF_KEY.get(key)
    if known is not None:
        return known
    if key.startswith(("ICD10CM", "ICD10CA", "ICD10WHO")):
        return ICD10CM
    if key.startswith("99ZZZ"):
        return LOCAL
    return word.strip().upper()


def is_local_system(system: str) -> bool:
    """Whether a normalised system is a site's own: neither empty nor one of the standards."""
    return bool(system) and system not in STANDARD_SYSTEMS


def normalise_code(code: str, system: str) -> str:
    """Return a code in the spelling of the tables: upper case, no blanks; for ICD no dot and no padding.

    "C50.911 " is "C50911"; "c61.xxx" and "C61X" are "C61"; padding inside a code ("S22.0X1A") stays. A CPT
    number loses its modifiers ("72148-26"). Whatever is no code of the system comes back without blanks.
    """
    code = code.strip().upper()
    if len(code) == _PLAIN_CODE_SIZE and code.isascii() and code.isdigit():
        # A plain CPT number, an ICD-9-CM code without its dot: most codes of orders. Nothing to bring to one spelling.
        return code
    if system in (ICD10CM, ICD9CM):
        code = code.replace(".", "").replace(" ", "").rstrip("-")
        return _ICD_PADDING.sub("", code) if len(code) > 3 else code
    if system == CPT:
        found = _CPT_SHAPE.match(code)
        return found.group(1) if found else code
    return code


def diagnosis_system_by_shape(code: str) -> str:
    """Return the system that a diagnosis code has the shape of, "" when it has none.

    Three digits first is ICD-9-CM, a letter first is ICD-10-CM. V and E codes are in both: with up to five
    characters V is taken as ICD-9-CM ("V10.3" would be an incomplete pedal cyclist in ICD-10-CM), and E is only
    with three digits before a dot.
    """
    code = code.strip().upper()
    if len(code) > _ICD_CODE_SIZE_MAX:
        return SNOMED if _is_snomed(code) else ""
    if _ICD9_SHAPE.match(code):
        return ICD9CM
    if _ICD10_SHAPE.match(code):
        return ICD10CM
    return SNOMED if _is_snomed(code) else ""


def diagnosis_system(code: str, stated: str, method: str = "") -> str:
    """Return the system of a diagnosis code.

    Args:
        code: As received.
        stated: The system as received in the coded field, "" when missing.
        method: DG1-2, the coding method, where there is one.

    Returns:
        A normalised system. What the code looks like overrules ICD-9 against ICD-10: feeds keep saying "I9"
        years after their codes changed. A site's own system is never read by shape.
    """
    system = normalise_system(stated) or normalise_system(method)
    if not system:
        return diagnosis_system_by_shape(code)
    upper = code.strip().upper()
    if system == ICD9CM and _ICD10_ONLY_SHAPE.match(upper):
        return ICD10CM
    if system == ICD10CM and upper[:1].isdigit() and _ICD9_SHAPE.match(upper):
        return ICD9CM
    return system


def looks_like_cpt(code: str) -> bool:
    """Whether a code without a system has the shape of a CPT number, modifiers included."""
    return _CPT_SHAPE.match(code.strip().upper()) is not None


def looks_like_loinc(code: str) -> bool:
    """Whether a code without a system has the shape of a LOINC number and its check digit is right."""
    code = code.strip()
    if not _LOINC_SHAPE.match(code):
        return False
    digits, check = code.split("-")
    odd = str(int(digits[::-1][::2]) * 2)
    total = sum(map(int, odd)) + sum(map(int, digits[::-1][1::2]))
    return (10 - total % 10) % 10 == int(check)


_VERHOEFF_PRODUCT = (
    "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
    "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
)  # fmt: skip
_VERHOEFF_PERMUTATION = (
    "0123456789", "1576283094", "5803796142", "8916043527", "9453126870", "4286573901", "2793806415", "7046913258",
)  # fmt: skip


def _is_snomed(code: str) -> bool:
    """SNOMED CT identifiers end with a Verhoeff check digit, which tells them from other long numbers."""
    if not _SNOMED_SHAPE.match(code):
        return False
    check = 0
    for place, digit in enumerate(reversed(code)):
        check = int(_VERHOEFF_PRODUCT[check][int(_VERHOEFF_PERMUTATION[place % 8][int(digit)])])
    return check == 0


def is_snomed_identifier(code: str) -> bool:
    """Whether a number is a well-formed SNOMED CT identifier (length and check digit)."""
    return _is_snomed(code.strip())


def prefixes(code: str, shortest: int) -> tuple[str, ...]:
    """Return the code and its prefixes, the longest first, down to `shortest` characters."""
    return tuple([code[:size] for size in range(len(code), shortest - 1, -1)])
