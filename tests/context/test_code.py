"""Codes and systems in every spelling that feeds use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.context.code import (
    diagnosis_system,
    diagnosis_system_by_shape,
    is_snomed_identifier,
    looks_like_cpt,
    looks_like_loinc,
    normalise_code,
    normalise_system,
)


@pytest.mark.parametrize(
    ("words", "system"),
    [
        ("I10 I10C ICD10 ICD-10 ICD-10-CM ICD10CM 10D icd10cm 2.16.840.1.113883.6.90", "icd10cm"),
        ("urn:oid:2.16.840.1.113883.6.90 http://hl7.org/fhir/sid/icd-10-cm http://hl7.org/fhir/sid/icd-10", "icd10cm"),
        ("I9 I9C I9CDX ICD9 ICD-9 ICD-9-CM ICD9CM 9D http://hl7.org/fhir/sid/icd-9-cm", "icd9cm"),
        ("SCT SNM SNOMED SNOMED-CT SNOMEDCT http://snomed.info/sct 2.16.840.1.113883.6.96", "snomed"),
        ("LN LOINC http://loinc.org https://loinc.org/ 2.16.840.1.113883.6.1", "loinc"),
        ("C4 C5 CPT CPT4 CPT-4 cpt4 HCPCS http://www.ama-assn.org/go/cpt", "cpt"),
        ("L LOCAL 99ZZZ", "LOCAL_OR_L"),
    ],
)
def test_every_spelling_of_a_system_is_one(words: str, system: str) -> None:
    expected = "local" if system == "LOCAL_OR_L" else system
    assert {normalise_system(word) for word in words.split()} == {expected}


def test_a_system_of_a_site_keeps_its_name() -> None:
    assert normalise_system(" 99rad ") == "99RAD"
    assert normalise_system("") == ""


@pytest.mark.parametrize(
    ("received", "system", "normal"),
    [
        ("C50.911", "icd10cm", "C50911"),
        (" c50.911 ", "icd10cm", "C50911"),
        ("C61XXXX", "icd10cm", "C61"),
        ("c61.x", "icd10cm", "C61"),
        ("S22.0X1A", "icd10cm", "S220X1A"),
        ("C83.3A", "icd10cm", "C833A"),
        ("174.9", "icd9cm", "1749"),
        ("72148-26", "cpt", "72148"),
        ("7214826", "cpt", "72148"),
        ("72148", "cpt", "72148"),
        ("30855-1", "loinc", "30855-1"),
    ],
)
def test_a_code_has_one_spelling(received: str, system: str, normal: str) -> None:
    assert normalise_code(received, system) == normal


@pytest.mark.parametrize(
    ("code", "system"),
    [
        ("174.9", "icd9cm"),
        ("1749", "icd9cm"),
        ("V10.3", "icd9cm"),
        ("V103", "icd9cm"),
        ("V10.3XXA", "icd10cm"),
        ("E880.1", "icd9cm"),
        ("E88.01", "icd10cm"),
        ("E8801", "icd10cm"),
        ("C50.911", "icd10cm"),
        ("c50911", "icd10cm"),
        ("M84.58XA", "icd10cm"),
        ("254837009", "snomed"),
        ("254837008", ""),
        ("LBP", ""),
        ("breast ca", ""),
        ("", ""),
    ],
)
def test_without_a_system_the_shape_says_it(code: str, system: str) -> None:
    assert diagnosis_system_by_shape(code) == system


@pytest.mark.parametrize(
    ("code", "stated", "method", "system"),
    [
        ("C50.911", "I9", "", "icd10cm"),
        ("174.9", "I10", "", "icd9cm"),
        ("V10.3", "I10", "", "icd10cm"),
        ("V10.3", "", "I10", "icd10cm"),
        ("V10.3", "", "", "icd9cm"),
        ("C50.911", "", "", "icd10cm"),
        ("C50.911", "L", "I10", "local"),
    ],
)
def test_the_stated_system_counts_unless_the_code_cannot_be_of_it(
    code: str, stated: str, method: str, system: str
) -> None:
    assert diagnosis_system(code, stated, method) == system


def test_check_digits_tell_a_loinc_and_a_snomed_number() -> None:
    assert looks_like_loinc("30855-1")
    assert not looks_like_loinc("30855-2")
    assert is_snomed_identifier("363346000")
    assert not is_snomed_identifier("363346001")
    assert not is_snomed_identifier("12345")


def test_a_cpt_number_may_carry_modifiers() -> None:
    assert looks_like_cpt("72148")
    assert looks_like_cpt("72148-26-LT")
    assert not looks_like_cpt("IMG9123")
    assert not looks_like_cpt("721481234567890")


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_makes_reading_a_code_fail(code: str, system: str) -> None:
    found = diagnosis_system(code, system)
    assert isinstance(normalise_code(code, found), str)
    looks_like_cpt(code)
    looks_like_loinc(code)


@given(st.from_regex(r"[A-Z][0-9][0-9A-Z](\.[0-9A-Z]{1,4})?", fullmatch=True))
def test_normalising_a_code_twice_changes_nothing(code: str) -> None:
    once = normalise_code(code, "icd10cm")
    assert normalise_code(once, "icd10cm") == once
