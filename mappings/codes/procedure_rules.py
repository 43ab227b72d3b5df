"""The rules behind the procedure tables: what each CPT and LOINC number of the lists orders.

CPT descriptors are copyrighted by the American Medical Association and not here: numbers, and our own words for
modality, regions and contrast. The two lists say "modality" in their own words; one place turns these into ours.
"""

from collections.abc import Mapping, Sequence

Row = tuple[str, ...]
Source = Mapping[str, Sequence[Mapping[str, str]]]

# Modality of the lists -> modality as DICOM says it, and the class where it does not follow from the regions.
_MODALITIES = {
    "MR": ("MR", ""),
    "MRA": ("MR", "out_of_scope"),
    "CT": ("CT", "other_modality"),
    "CTA": ("CT", "not_spine"),
    "CTMYELO": ("CT", "other_modality"),
    "MYELO": ("RF", "other_modality"),
    "XR": ("XR", "radiograph"),
    "NM": ("NM", "body_survey"),
    "PET": ("PT", "body_survey"),
    "PETCT": ("PT", "body_survey"),
    "PROC": ("", "out_of_scope"),
}
# What stands in the lists' region column and is no region of the spine.
_REGION_CLASSES = {
    "PELVIS": "not_spine",
    "PLEXUS": "out_of_scope",
    "GUIDE": "out_of_scope",
    "RT PLANNING": "out_of_scope",
}
_REGIONS = {
    "C": "C", "T": "T", "L": "L", "C+T": "C+T", "T+L": "T+L", "TL": "T+L", "C+T+L": "C+T+L", "ENTIRE": "C+T+L",
}  # fmt: skip
_CONTRASTS = {"WO": "WO", "W": "W", "WO+W": "WO+W", "NA": "WO"}
_UNLISTED_MR = "76498"

# Numbers that the lists leave out and feeds send: deleted codes and neighbours of the listed ones.
_MORE_CPT: tuple[Row, ...] = (
    ("78830", "NM", "", "unknown", "body_survey"), ("78831", "NM", "", "unknown", "body_survey"),
    ("78832", "NM", "", "unknown", "body_survey"), ("78801", "NM", "", "unknown", "body_survey"),
    ("78802", "NM", "", "unknown", "body_survey"), ("78804", "NM", "", "unknown", "body_survey"),
    ("77074", "XR", "", "WO", "radiograph"), ("77075", "XR", "", "WO", "radiograph"), ("72010", "XR", "C+T+L", "WO", "radiograph"),
    ("72069", "XR", "T+L", "WO", "radiograph"), ("72090", "XR", "T+L", "WO", "radiograph"),
)  # fmt: skip


def _row(number: str, source: Mapping[str, str]) -> Row:
    modality, spine_class = _MODALITIES[source["modality"]]
    region_word = source["regions"].split("?")[0].strip()
    regions = _REGIONS.get(region_word, "")
    spine_class = _REGION_CLASSES.get(region_word, spine_class)
    contrast = _CONTRASTS.get(source["contrast"], "unknown")
    if number == _UNLISTED_MR:
        spine_class = "body_survey"
    if modality == "MR" and not spine_class and not regions:
        spine_class = "unmapped"
    return (number, modality, regions, "unknown" if modality in ("NM", "PT") else contrast, spine_class)


def build_tables(sources: Source) -> list[tuple[str, list[str], list[str], list[Row]]]:
    """Return the procedure tables as (file name, header lines, columns, rows).

    An empty class follows from regions and contrast (MR of the spine).
    """
    columns = ["code", "modality", "regions", "contrast", "class"]
    cpt = [_row(row["cpt"], row) for row in sources["cpt_spine_imaging.tsv"]]
    loinc = [_row(row["loinc"], row) for row in sources["loinc_spine_imaging.tsv"]]
    cpt_header = [
        "CPT numbers only; CPT is copyright of the American Medical Association and its descriptors are not here.",
        "Modality, regions and contrast are in our own words. Regions: C, T, L joined by +.",
    ]
    loinc_header = [
        "Source: LOINC 2.81. This material contains content from LOINC (http://loinc.org), copyright Regenstrief Institute, Inc.",
        "and the LOINC Committee, available at no cost under the licence at http://loinc.org/license. Numbers only.",
    ]
    return [
        ("procedure_cpt.csv", cpt_header, columns, sorted({*cpt, *_MORE_CPT})),
        ("procedure_loinc.csv", loinc_header, columns, sorted(loinc)),
    ]
