"""The rules behind the diagnosis tables: which ICD code speaks for which tier, symptom or exception.

Codes are prefixes without the dot. The longest prefix wins, so a rule for a category and a rule for one code in
it may stand side by side. Descriptions are not copied: organs are in our own plain words.
"""

from collections.abc import Iterator, Mapping, Sequence

type_rows = list[tuple[str, ...]]
Source = Mapping[str, Sequence[Mapping[str, str]]]

BONE_TROPIC = "history_bone_tropic"
PLAIN = "history"
NONE = "none"

# Organ and what a past cancer of it counts as. First and last three-character category of ICD-10-CM.
ORGANS_10 = (
    ("C00", "C14", "head and neck", PLAIN), ("C15", "C15", "oesophagus", PLAIN), ("C16", "C16", "stomach", PLAIN),
    ("C17", "C17", "small bowel", PLAIN), ("C18", "C20", "colon and rectum", PLAIN), ("C21", "C21", "anus", PLAIN),
    ("C22", "C22", "liver", PLAIN), ("C23", "C24", "biliary tract", PLAIN), ("C25", "C25", "pancreas", PLAIN),
    ("C26", "C26", "digestive tract", PLAIN), ("C30", "C31", "sinuses", PLAIN), ("C32", "C32", "larynx", PLAIN),
    ("C33", "C33", "trachea", PLAIN), ("C34", "C34", "lung", BONE_TROPIC), ("C37", "C37", "thymus", PLAIN),
    ("C38", "C38", "mediastinum", PLAIN), ("C39", "C39", "respiratory tract", PLAIN), ("C40", "C41", "bone", PLAIN),
    ("C43", "C43", "melanoma", BONE_TROPIC), ("C45", "C45", "mesothelioma", PLAIN),
    ("C46", "C46", "Kaposi sarcoma", PLAIN), ("C47", "C47", "peripheral nerves", PLAIN),
    ("C48", "C48", "peritoneum", PLAIN), ("C49", "C49", "soft tissue", PLAIN), ("C4A", "C4A", "Merkel cell", PLAIN),
    ("C50", "C50", "breast", BONE_TROPIC), ("C51", "C52", "vulva and vagina", PLAIN),
    ("C53", "C53", "uterine cervix", PLAIN), ("C54", "C55", "uterus", PLAIN), ("C56", "C56", "ovary", PLAIN),
    ("C57", "C58", "female genital organs", PLAIN), ("C60", "C60", "penis", PLAIN), ("C61", "C61", "prostate", BONE_TROPIC),
    ("C62", "C62", "testis", PLAIN), ("C63", "C63", "male genital organs", PLAIN), ("C64", "C64", "kidney", BONE_TROPIC),
    ("C65", "C66", "renal pelvis and ureter", PLAIN), ("C67", "C67", "bladder", PLAIN),
    ("C68", "C68", "urinary tract", PLAIN), ("C69", "C69", "eye", PLAIN), ("C70", "C70", "meninges", PLAIN),
    ("C71", "C71", "brain", PLAIN), ("C72", "C72", "spinal cord and nerves", PLAIN), ("C73", "C73", "thyroid", BONE_TROPIC),
    ("C74", "C75", "endocrine glands", PLAIN), ("C76", "C76", "ill-defined site", PLAIN),
    ("C77", "C77", "metastases in lymph nodes", BONE_TROPIC), ("C78", "C79", "metastases", BONE_TROPIC),
    ("C7A", "C7A", "neuroendocrine tumour", PLAIN), ("C7B", "C7B", "neuroendocrine metastases", BONE_TROPIC),
    ("C80", "C80", "unspecified site", PLAIN), ("C81", "C81", "Hodgkin lymphoma", BONE_TROPIC),
    ("C82", "C86", "lymphoma", BONE_TROPIC), ("C88", "C88", "lymphoproliferative disease", BONE_TROPIC),
    ("C90", "C90", "myeloma", BONE_TROPIC), ("C91", "C95", "leukaemia", BONE_TROPIC),
    ("C96", "C96", "haematologic malignancy", BONE_TROPIC),
)  # fmt: skip

METASTATIC_10 = (
    ("C412", "vertebra"), ("C701", "spinal meninges"), ("C720", "spinal cord"), ("C721", "cauda equina"),
    ("C800", "disseminated cancer"), ("C900", "myeloma"), ("G893", "neoplasm related pain"),
    ("M8458", "pathological fracture in neoplastic disease"),
)  # fmt: skip
METASTATIC_CATEGORIES_10 = ("C77", "C78", "C79", "C7B")

TREATMENT_10 = (
    ("Z510", "radiotherapy"), ("Z5111", "chemotherapy"), ("Z5112", "immunotherapy"),
)  # fmt: skip
SUSPECTED_10 = (
    ("D421", "spinal meninges"), ("D434", "spinal cord"), ("D480", "bone"), ("D492", "bone and soft tissue"),
    ("D497", "nervous system"), ("D472", "monoclonal gammopathy"),
)  # fmt: skip
HISTORY_10 = (
    ("Z85", "", PLAIN), ("Z850", "digestive tract", PLAIN), ("Z8511", "lung", BONE_TROPIC), ("Z853", "breast", BONE_TROPIC),
    ("Z854", "genital organs", PLAIN), ("Z8546", "prostate", BONE_TROPIC), ("Z855", "urinary tract", PLAIN),
    ("Z8552", "kidney", BONE_TROPIC), ("Z856", "leukaemia", BONE_TROPIC), ("Z857", "lymphoma or myeloma", BONE_TROPIC),
    ("Z8571", "Hodgkin lymphoma", BONE_TROPIC), ("Z8572", "lymphoma", BONE_TROPIC),
    ("Z85820", "melanoma", BONE_TROPIC), ("Z85821", "Merkel cell", PLAIN), ("Z85828", "non-melanoma skin", NONE),
    ("Z8583", "bone and soft tissue", PLAIN), ("Z8584", "nervous system", PLAIN), ("Z85850", "thyroid", BONE_TROPIC),
)  # fmt: skip
HAEMATOLOGIC_HISTORY_10 = ("Z856", "Z857", "Z8571", "Z8572")
NO_CANCER_10 = (
    ("Z80", "family history"), ("Z8600", "history of in situ neoplasm"), ("C44", "non-melanoma skin"),
)  # fmt: skip

ORGANS_9 = (
    ("140", "149", "head and neck", PLAIN), ("150", "150", "oesophagus", PLAIN), ("151", "151", "stomach", PLAIN),
    ("152", "152", "small bowel", PLAIN), ("153", "154", "colon and rectum", PLAIN), ("155", "155", "liver", PLAIN),
    ("156", "156", "biliary tract", PLAIN), ("157", "157", "pancreas", PLAIN), ("158", "159", "digestive tract", PLAIN),
    ("160", "161", "larynx and sinuses", PLAIN), ("162", "162", "lung", BONE_TROPIC), ("163", "165", "chest", PLAIN),
    ("170", "170", "bone", PLAIN), ("171", "171", "soft tissue", PLAIN), ("172", "172", "melanoma", BONE_TROPIC),
    ("174", "175", "breast", BONE_TROPIC), ("176", "176", "Kaposi sarcoma", PLAIN), ("179", "179", "uterus", PLAIN),
    ("180", "180", "uterine cervix", PLAIN), ("181", "182", "uterus", PLAIN), ("183", "183", "ovary", PLAIN),
    ("184", "184", "female genital organs", PLAIN), ("185", "185", "prostate", BONE_TROPIC), ("186", "186", "testis", PLAIN),
    ("187", "187", "male genital organs", PLAIN), ("188", "188", "bladder", PLAIN), ("189", "189", "urinary tract", PLAIN),
    ("190", "190", "eye", PLAIN), ("191", "191", "brain", PLAIN), ("192", "192", "nervous system", PLAIN),
    ("193", "193", "thyroid", BONE_TROPIC), ("194", "194", "endocrine glands", PLAIN),
    ("195", "195", "ill-defined site", PLAIN), ("196", "196", "metastases in lymph nodes", BONE_TROPIC),
    ("197", "198", "metastases", BONE_TROPIC), ("199", "199", "unspecified site", PLAIN),
    ("200", "200", "lymphoma", BONE_TROPIC), ("201", "201", "Hodgkin lymphoma", BONE_TROPIC),
    ("202", "202", "lymphoma", BONE_TROPIC), ("203", "203", "myeloma", BONE_TROPIC),
    ("204", "208", "leukaemia", BONE_TROPIC),
)  # fmt: skip
HAEMATOLOGIC_9 = ("200", "208")
SPECIAL_9 = (
    # code, tier, tier of the past, haematologic, organ
    ("1622", "active", BONE_TROPIC, "", "lung"), ("1620", "active", PLAIN, "", "trachea"),
    ("1702", "metastatic", BONE_TROPIC, "", "vertebra"), ("173", NONE, NONE, "", "non-melanoma skin"),
    ("1890", "active", BONE_TROPIC, "", "kidney"), ("1990", "metastatic", BONE_TROPIC, "", "disseminated cancer"),
    ("2030", "metastatic", BONE_TROPIC, "yes", "myeloma"),
    ("2090", "active", PLAIN, "", "neuroendocrine tumour"), ("2091", "active", PLAIN, "", "neuroendocrine tumour"),
    ("2092", "active", PLAIN, "", "neuroendocrine tumour"), ("2093", "active", PLAIN, "", "neuroendocrine tumour"),
    ("2094", NONE, NONE, "", "benign neuroendocrine tumour"), ("2095", NONE, NONE, "", "benign neuroendocrine tumour"),
    ("2096", NONE, NONE, "", "benign neuroendocrine tumour"),
    ("2097", "metastatic", BONE_TROPIC, "", "neuroendocrine metastases"),
    ("3383", "metastatic", BONE_TROPIC, "", "neoplasm related pain"),
    ("V580", "active", PLAIN, "", "radiotherapy"), ("V5811", "active", PLAIN, "", "chemotherapy"),
    ("V5812", "active", PLAIN, "", "immunotherapy"),
    ("2375", "suspected", NONE, "", "brain and spinal cord"), ("2376", "suspected", NONE, "", "meninges"),
    ("2380", "suspected", NONE, "", "bone"), ("2392", "suspected", NONE, "", "bone and soft tissue"),
    ("2731", "suspected", NONE, "", "monoclonal gammopathy"),
    ("V10", PLAIN, PLAIN, "", ""), ("V103", BONE_TROPIC, BONE_TROPIC, "", "breast"),
    ("V1046", BONE_TROPIC, BONE_TROPIC, "", "prostate"), ("V1011", BONE_TROPIC, BONE_TROPIC, "", "lung"),
    ("V1052", BONE_TROPIC, BONE_TROPIC, "", "kidney"), ("V1087", BONE_TROPIC, BONE_TROPIC, "", "thyroid"),
    ("V1082", BONE_TROPIC, BONE_TROPIC, "", "melanoma"), ("V106", BONE_TROPIC, BONE_TROPIC, "yes", "leukaemia"),
    ("V107", BONE_TROPIC, BONE_TROPIC, "yes", "lymphoma or myeloma"),
    ("V1083", NONE, NONE, "", "non-melanoma skin"), ("V16", NONE, NONE, "", "family history"),
)  # fmt: skip
# Fifth digit 1 is "in remission" in these subcategories of ICD-9-CM (2030, 2031, 2038 and leukaemias by cell type).
REMISSION_9 = tuple(
    f"{category}{fourth}1"
    for category, fourths in (
        ("203", "018"), ("204", "01289"), ("205", "012389"), ("206", "01289"), ("207", "0128"), ("208", "01289"),
    )
    for fourth in fourths
)  # fmt: skip

SYMPTOMS_10 = {
    "deficit": (
        "G819 G952 G9581 G9589 G959 G992 G834 G822 G825 G831 G832 G833 G373 M4710 M4711 M4712 M4713 M4714 M4715 M4716 M471 M500 "
        "M510 M2137 M6281 N319 N3942 N3945 N39490 N39498 R15 R20 R26 R270 R29 R32 R33 R3914 R531"
    ),
    "radicular": "G542 G543 G544 G548 G549 G55 G570 M472 M501 M511 M51361 M51362 M51371 M51372 M541 M543 M544 M48062 M792",
    "pain": (
        "G893 M4850 M4851 M4852 M4853 M4854 M4855 M4856 M4857 M4858 M51360 M51370 M530 M531 M53 M540 M542 M545 M546 "
        "M548 M549 M8448 M8458"
    ),
    "other_reason": "R294 R290 R291 R297 M485 M844",
}
SYMPTOM_SEVENTH_10 = ("M8448", "M4850", "M4851", "M4852", "M4853", "M4854", "M4855", "M4856", "M4857", "M4858")
"""Fractures: a symptom at the initial encounter (seventh character A) only; later ones are follow-up."""

SYMPTOMS_9 = {
    "deficit": (
        "3363 3368 3369 3441 3440 3443 3444 34460 34461 342 7211 72141 72142 72191 7227 72887 7812 7813 7820 7876 "
        "7882 78830 78834 78837 78838 78839 73679 59654"
    ),
    "radicular": "7234 7243 7244 7292 3531 3532 3533 3534",
    "pain": "3383 7231 7233 7241 7242 7245 7248 7249 73313 72479",
    "other_reason": "72871 72872 72879 7286 7285 7284 7283 7282 7281 7280 72889",
}

EXCEPTIONS_10 = {
    "renal": ("N17 N184 N185 N186 Z992 I120 I1311 I132", ""),
    "device": ("Z950 Z95810 Z95811 Z95812 Z9621 Z9682 Z4501 Z4502 Z45321 Z4542", ""),
    "pregnancy": (
        (
            "O00 O01 O02 O03 O09 O10 O11 O12 O13 O14 O15 O16 O20 O21 O22 O23 O24 O25 O26 O28 O29 O30 O31 O32 O33 O34 O35 "
            "O36 O40 O41 O42 O43 O44 O45 O46 O47 O48 O98 O99 O9A Z331 Z333 Z34 Z3A Z3201"
        ),
        "",
    ),
    "infection": (
        "M462 M463 M464 M465 G060 G061 G062 A1801 M8608 M8618 M8628 M8638 M8648 M8658 M8668 M868X8 M869 M8609 M8619",
        "",
    ),
    "trauma": (
        "S12 S13 S14 S22 S23 S24 S32 S33 S34 S390 S398 S399 S199 S299 T07 T1490 T1491 "
        + " ".join(f"W{number:02d}" for number in range(20))
        + " "
        + " ".join(f"V{number:02d}" for number in range(100)),
        "S",
    ),
    "postoperative": (
        "M960 M961 M963 M964 M9681 M9682 M9683 M9684 M9689 T8463 T84216 T84226 T84296 Z981 Z4789 Z48811",
        "",
    ),
    "hospice": ("Z515", ""),
}
EXCEPTIONS_9 = {
    "renal": ("584 5854 5855 5856 V4511", ""),
    "device": ("V4501 V4502 V5331 V5332", ""),
    "pregnancy": ("V220 V221 V222 V23 " + " ".join(str(number) for number in range(630, 660) if number != 650), ""),
    "infection": ("3241 0150 73008 73018 73028 73098", ""),
    "trauma": (
        "805 806 8470 8471 8472 8473 8479 952 959 "
        + " ".join(f"E8{number:02d}" for number in (*range(49), *range(80, 89))),
        "",
    ),
    "postoperative": ("7228 V454", ""),
    "hospice": ("V667", ""),
}
"""Prefixes of each exception, and the seventh characters that take a code out (S: the sequela of an old injury)."""

THERAPY_10 = (
    ("Z79630", "alkylating agent"), ("Z79631", "antimetabolite"), ("Z79632", "antitumour antibiotic"),
    ("Z79633", "mitotic inhibitor"), ("Z79634", "topoisomerase inhibitor"), ("Z7963", "chemotherapy"),
    ("Z7964", "myelosuppressive agent"), ("Z79810", "hormone treatment"), ("Z79811", "aromatase inhibitor"),
    ("Z79818", "hormone treatment"), ("Z7981", "hormone treatment"),
)  # fmt: skip
THERAPY_9 = (
    ("V0751", "hormone treatment"), ("V0752", "aromatase inhibitor"), ("V0759", "hormone treatment"),
)  # fmt: skip

_HEADER_10 = (
    "Sources: ICD-10-CM April 2026 (CDC/NCHS, public domain); AHRQ CMR v2026.1 (public domain).",
    "Rules: docs/clinical/facts.md. Codes are prefixes without the dot; the longest that fits wins.",
)
_HEADER_9 = (
    "Source: ICD-9-CM 2015 (CDC/NCHS, public domain), the last edition.",
    "Rules: docs/clinical/facts.md. Codes are prefixes without the dot; the longest that fits wins.",
)


def _within(category: str, first: str, last: str) -> bool:
    return first <= category <= last


def _oncology_10(sources: Source, remission_codes: int) -> type_rows:
    rows: dict[str, tuple[str, ...]] = {}
    categories = sorted({row["code"][:3] for row in sources["malignant_C00-C96.tsv"]} - {"C44"})
    for category in categories:
        organ, past = next((o, p) for first, last, o, p in ORGANS_10 if _within(category, first, last))
        tier = "metastatic" if category in METASTATIC_CATEGORIES_10 else "active"
        rows[category] = (category, tier, past, _yes(category >= "C81"), organ)
    for code, organ in METASTATIC_10:
        rows[code] = (code, "metastatic", BONE_TROPIC, _yes(code == "C900"), organ)
    remission = [
        row["code"].replace(".", "")
        for row in sources["malignant_C00-C96.tsv"]
        if "in remission" in row["description"].casefold() and "not having" not in row["description"].casefold()
    ]
    if len(remission) != remission_codes:
        raise SystemExit(f"{len(remission)} codes are in remission, expected {remission_codes}: a new release?")
    for code in remission:
        organ = rows[code[:3]][4]
        rows[code] = (code, BONE_TROPIC, BONE_TROPIC, "yes", organ)
    for code, organ in TREATMENT_10:
        rows[code] = (code, "active", PLAIN, "", organ)
    for list_name in ("benign_D10-D36.tsv", "insitu_D00-D09.tsv", "uncertain_D37-D49.tsv"):
        for category in sorted({row["code"][:3] for row in sources[list_name]}):
            rows[category] = (category, NONE, NONE, "", "")
    rows["D3A"] = ("D3A", NONE, NONE, "", "benign neuroendocrine tumour")
    for code, organ in SUSPECTED_10:
        rows[code] = (code, "suspected", NONE, "", organ)
    for code, organ, tier in HISTORY_10:
        rows[code] = (code, tier, tier, _yes(code in HAEMATOLOGIC_HISTORY_10), organ)
    for code, organ in NO_CANCER_10:
        rows[code] = (code, NONE, NONE, "", organ)
    return sorted(rows.values())


def _oncology_9() -> type_rows:
    rows: dict[str, tuple[str, ...]] = {}
    for first, last, organ, past in ORGANS_9:
        for number in range(int(first), int(last) + 1):
            tier = "metastatic" if 196 <= number <= 198 else "active"
            haematologic = _yes(_within(str(number), *HAEMATOLOGIC_9))
            rows[str(number)] = (str(number), tier, past, haematologic, organ)
    for number in range(210, 240):
        rows[str(number)] = (str(number), NONE, NONE, "", "")
    for row in SPECIAL_9:
        rows[row[0]] = row
    for code in REMISSION_9:
        rows[code] = (code, BONE_TROPIC, BONE_TROPIC, "yes", rows[code[:3]][4])
    return sorted(rows.values())


def _yes(condition: bool) -> str:  # noqa: FBT001 - one flag to one word
    return "yes" if condition else ""


def _symptoms(rules: Mapping[str, str], initial_only: Sequence[str]) -> type_rows:
    rows: dict[str, tuple[str, ...]] = {}
    for symptom, codes in reversed(list(rules.items())):
        for code in codes.split():
            rows[code] = (code, symptom, "A" if code in initial_only else "")
    return sorted(rows.values())


def _exceptions(rules: Mapping[str, tuple[str, str]]) -> type_rows:
    return sorted((code, kind, without) for kind, (codes, without) in rules.items() for code in codes.split())


def resolve(rows: Sequence[tuple[str, ...]], code: str) -> tuple[str, ...] | None:
    """Return the row of the longest prefix of a code."""
    by_code = {row[0]: row for row in rows}
    code = code.replace(".", "")
    return next((by_code[code[:size]] for size in range(len(code), 2, -1) if code[:size] in by_code), None)


def _problems_of_cancers(sources: Source, oncology: type_rows) -> Iterator[str]:
    """Codes of the AHRQ measures and of the chapter of neoplasms that would get a wrong tier."""
    for row in sources["cmr_v2026-1_cancer.tsv"]:
        if row["code"].startswith("E312"):
            continue  # CMR counts multiple endocrine neoplasia; it is a disposition, not a neoplasm of a place.
        found = resolve(oncology, row["code"])
        tier = found[1] if found else "no tier"
        if tier == "no tier" or (row["measure"] == "CANCER_METS" and tier != "metastatic"):
            yield f"{row['code']} is {tier}, CMR says {row['measure']}"
        elif row["measure"] == "CANCER_NSITU" and tier not in (NONE, "suspected"):
            yield f"{row['code']} is in situ in CMR, here {tier}"
    for row in sources["malignant_C00-C96.tsv"]:
        found = resolve(oncology, row["code"])
        if found is None or (found[1] == NONE) != row["code"].startswith("C44"):
            yield f"{row['code']} is {'nothing' if found is None else found[1]}"


def _problems_of_history(sources: Source, oncology: type_rows) -> Iterator[str]:
    """Codes of personal and family history that would get a wrong tier."""
    for row in (*sources["history_Z85_Z86.tsv"], *sources["familyhx_Z80.tsv"]):
        code = row["code"]
        if code.startswith(("Z86.01", "Z86.03")):
            continue  # Polyps, benign and uncertain neoplasms of the past: no table speaks of them.
        found = resolve(oncology, code)
        expected = (PLAIN, BONE_TROPIC) if code.startswith("Z85") and code != "Z85.828" else (NONE,)
        if found is None or found[1] not in expected:
            yield f"{code} is {'nothing' if found is None else found[1]}, expected {expected}"


def _check(sources: Source, oncology: type_rows, symptoms: type_rows) -> None:
    """Stop when a code of the lists would fall through the rules."""
    problems = [*_problems_of_cancers(sources, oncology), *_problems_of_history(sources, oncology)]
    problems += [
        f"{row['code']} has no symptom"
        for row in sources["spine_policy_categories.tsv"]
        if row["category"] == "radicular"
        and row["code"].startswith(("M5", "M47"))
        and resolve(symptoms, row["code"]) is None
    ]
    if problems:
        raise SystemExit("\n".join(problems))


def build_tables(sources: Source, remission_codes: int) -> list[tuple[str, list[str], list[str], type_rows]]:
    """Return the diagnosis tables as (file name, header lines, columns, rows)."""
    oncology = _oncology_10(sources, remission_codes)
    symptoms = _symptoms(SYMPTOMS_10, SYMPTOM_SEVENTH_10)
    _check(sources, oncology, symptoms)
    tiers = ["code", "tier", "past_tier", "haematologic", "organ"]
    return [
        ("oncology_icd10cm.csv", list(_HEADER_10), tiers, oncology),
        ("oncology_icd9cm.csv", list(_HEADER_9), tiers, _oncology_9()),
        ("symptom_icd10cm.csv", list(_HEADER_10), ["code", "symptom", "seventh"], symptoms),
        ("symptom_icd9cm.csv", list(_HEADER_9), ["code", "symptom", "seventh"], _symptoms(SYMPTOMS_9, ())),
        ("exception_icd10cm.csv", list(_HEADER_10), ["code", "kind", "without_seventh"], _exceptions(EXCEPTIONS_10)),
        ("exception_icd9cm.csv", list(_HEADER_9), ["code", "kind", "without_seventh"], _exceptions(EXCEPTIONS_9)),
        ("therapy_icd10cm.csv", list(_HEADER_10), ["code", "therapy"], sorted(THERAPY_10)),
        ("therapy_icd9cm.csv", list(_HEADER_9), ["code", "therapy"], sorted(THERAPY_9)),
    ]
