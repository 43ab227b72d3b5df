"""Which study an order asks for: precedence of the codes, and a name that never decides."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.context.extract import OrderFacts
from interceptor.context.patient import NO_EVIDENCE
from interceptor.context.procedure import STUDY_COUNT_MAX, ProcedureMemory, class_of_mr
from interceptor.context.procedure_name import classify_name, mr_regions_of_name
from interceptor.context.vocabulary import Contrast, ProcedureClass, Region
from interceptor.message.group import order_groups
from interceptor.message.view import MessageView
from tests.support.spine_order import NOW, facts_of, order_message, segment, shipped_tables

COMPLETE_OR_HOLDABLE = frozenset(ProcedureClass) - {
    ProcedureClass.UNMAPPED,
    ProcedureClass.OUT_OF_SCOPE,
    ProcedureClass.NOT_SPINE,
}


@pytest.mark.parametrize(
    ("study", "procedure_class", "source"),
    [
        ("72148^MRI L SPINE WO^C4", "regional_mr", "cpt"),
        ("72148^MRI L SPINE WO^CPT-4", "regional_mr", "cpt"),
        ("72148-26^MRI L SPINE WO^C4", "regional_mr", "cpt"),
        ("7214826^MRI L SPINE WO^C4", "regional_mr", "cpt"),
        ("72148^MRI L SPINE WO", "regional_mr", "cpt"),
        ("72148", "regional_mr", "cpt"),
        ("72148^MRI L SPINE WO^L", "unmapped", "name"),
        ("72148^MRI L SPINE WO^99RAD", "unmapped", "name"),
        ("72148^^L", "not_spine", "none"),
        ("71046^XR CHEST^C4", "not_spine", "cpt"),
        ("71046^XR CHEST", "not_spine", "name"),
        ("85025^CBC^C4", "not_spine", "cpt"),
        ("72159^MRA SPINE^C4", "out_of_scope", "cpt"),
        ("77012^CT GUIDANCE^C4", "out_of_scope", "cpt"),
        ("62270^LP^C4", "out_of_scope", "cpt"),
        ("72131^CT L SPINE^C4", "other_modality", "cpt"),
        ("62304^MYELOGRAM^C4", "other_modality", "cpt"),
        ("72100^XR L SPINE^C4", "radiograph", "cpt"),
        ("78306^BONE SCAN^C4", "body_survey", "cpt"),
        ("78815^PETCT^C4", "body_survey", "cpt"),
        ("30855-1^MR C+T+L WO and W^LN", "complete_wo_w", "loinc"),
        ("30855-1", "complete_wo_w", "loinc"),
        ("30854-4^MR C+T+L WO^LN", "complete_wo", "loinc"),
        ("36400-0^MR SPINE WO and W^LN", "unmapped", "loinc"),
        ("24968-0^MR L^LN", "regional_mr", "loinc"),
        ("24977-1^MR L W anesthesia^LN", "regional_mr", "loinc"),
        ("24965-6^CT L W IT^LN", "other_modality", "loinc"),
        ("30866-8^MR PLEXUS^LN", "out_of_scope", "loinc"),
        ("36643-5^XR Chest 2 Views^LN", "not_spine", "name"),
        ("X99^MR SP LTD^L", "unmapped", "name"),
        ("IMG9123^MRI TOTAL SPINE WO CONTRAST^L", "complete_wo", "site"),
        ("img9123^MRI TOTAL SPINE WO CONTRAST^L", "complete_wo", "site"),
        ("IMG9123^MRI TOTAL SPINE WO CONTRAST", "complete_wo", "site"),
        ("IMG9123^MRI TOTAL SPINE WO CONTRAST^EPIC", "complete_wo", "site"),
        ("IMG9123^MRI TOTAL SPINE WO CONTRAST^C4", "unmapped", "name"),
        ("MRTSPW^MRI TOTAL SPINE W^L", "complete_w", "site"),
        ("MRTSPWWO^MRI TOTAL SPINE W WO^L", "complete_wo_w", "site"),
        ("IMG3344^MRI TOTAL SPINE^L", "complete_wo_w", "site"),
        ("IMG2240^MRI T AND L SPINE^L", "thoracolumbar_wo_w", "site"),
        ("IMG2230^MRI C AND T SPINE^L", "regional_mr", "site"),
        ("X1^MRI SPINE^L^72158^MR^CPT-4", "regional_mr", "cpt"),
        ("72148^MRI L SPINE WO^C4^IMG3344^MRI TOTAL SPINE^L", "complete_wo_w", "site"),
        ("^MRI LUMBAR SPINE WO CONTRAST", "unmapped", "name"),
        ("MRI LUMBAR SPINE", "unmapped", "name"),
        ('""', "not_spine", "none"),
        ("", "not_spine", "none"),
    ],
)
def test_the_study_of_an_order(study: str, procedure_class: str, source: str) -> None:
    procedure = facts_of(order_message(study=study)).procedure
    assert (procedure.procedure_class, procedure.source) == (procedure_class, source)


def test_the_site_map_comes_before_obr_44_and_obr_44_before_obr_4() -> None:
    mapped = order_message(study="IMG3344^MRI^L", obr={"f44": "72148^^C4"})
    coded = order_message(study="72158^MRI^C4", obr={"f44": "72148^^C4"})
    unknown = order_message(study="72158^MRI^C4", obr={"f44": "IMGXX^^L"})
    assert facts_of(mapped).procedure.procedure_class == "complete_wo_w"
    assert facts_of(coded).procedure.contrast == "WO"
    assert facts_of(unknown).procedure.contrast == "WO+W"


def test_the_coding_that_states_its_contrast_speaks_for_obr_4() -> None:
    both = ("72158^MR L^C4^24968-0^MR L^LN", "24968-0^MR L^LN^72158^MR L^C4")
    assert {facts_of(order_message(study=study)).procedure.contrast for study in both} == {Contrast.WITHOUT_AND_WITH}


def test_several_obr_of_one_order_are_united() -> None:
    more = tuple(segment("OBR", f1=str(n), f4=f"{code}^^C4") for n, code in ((2, "72156"), (3, "72157")))
    procedure = facts_of(order_message(study="72158^^C4", more=more)).procedure
    assert procedure.procedure_class == "complete_wo_w"
    assert facts_of(order_message(study="72148^^C4", more=more)).procedure.procedure_class == "regional_mr"


@pytest.mark.parametrize(
    ("regions", "contrast", "procedure_class"),
    [
        ("CTL", "WO+W", "complete_wo_w"),
        ("CTL", "WO", "complete_wo"),
        ("CTL", "W", "complete_w"),
        ("CTL", "unknown", "unmapped"),
        ("TL", "WO+W", "thoracolumbar_wo_w"),
        ("TL", "WO", "regional_mr"),
        ("TL", "unknown", "regional_mr"),
        ("CT", "WO+W", "regional_mr"),
        ("CL", "WO+W", "regional_mr"),
        ("L", "unknown", "regional_mr"),
        ("", "WO+W", "unmapped"),
    ],
)
def test_the_class_of_an_mr_follows_from_regions_and_contrast(
    regions: str, contrast: str, procedure_class: str
) -> None:
    assert class_of_mr(tuple(Region(letter) for letter in regions), Contrast(contrast)) == procedure_class


@pytest.mark.parametrize(
    ("procedure_class", "names"),
    [
        (
            "unmapped",
            (
            "MR SP LTD;XR L SPINE;MRI TOTAL SPINE WITH CONTRAST;MRI BRAIN W SCREENING WHOLE SPINE;MRI LUMBAR SPINE W ANESTHESIA;"
            "CT MYELOGRAM LUMBAR;MRI C-SPINE;MRI CSPINE WO;MRI LS SPINE;MRI CERVICAL WO;L-SPINE MRI W/WO;MRI T/L SPINE;MRI NEURO AXIS;"
            "XR SCOLIOSIS SERIES;MRI ABDOMEN AND LUMBAR SPINE;XR CERV SP 2 VIEWS;mri lumbosacral;NM BONE SCAN WHOLE BODY;"
            "PET CT SKULL BASE TO THIGH;WHOLE BODY MRI;MRI SPINE EPIDURAL ABSCESS PROTOCOL;CT SPINAL CORD"
            ),
        ),
        (
            "out_of_scope",
            (
            "MRA SPINE;MRI BRACHIAL PLEXUS;MR LUMBOSACRAL PLEXUS;DXA SPINE AND HIP;CT GUIDED BIOPSY L SPINE;FL LUMBAR PUNCTURE;"
            "IR VERTEBROPLASTY T SPINE;INTRAOP C-ARM LUMBAR SPINE;MRI SPINE FOR RT PLANNING;LUMBAR EPIDURAL INJECTION;CT ANGIO SPINE"
            ),
        ),
        (
            "not_spine",
            (
            "XR CHEST;CBC;US CERVICAL LENGTH;CT THORACIC AORTA;CT CHEST ABD PELVIS;PET BRAIN;NM MYOCARDIAL PERFUSION SPECT;"
            "MR SPECTROSCOPY BRAIN;XR KNEE SP;CT NECK SOFT TISSUE;US RENAL;CERVICAL LYMPH NODE BIOPSY;SPINE SURGERY CONSULT;"
            "MR PELVIS ANTERIOR SUPERIOR ILIAC SPINE;MRI W WO;;CT CAP W/CONTRAST"
            ),
        ),
    ],
)  # fmt: skip
def test_a_name_says_spine_or_not_and_no_more(procedure_class: str, names: str) -> None:
    found = {name: classify_name(name) for name in names.split(";")}
    assert found == dict.fromkeys(names.split(";"), procedure_class)


@given(st.text(alphabet="MRICTSPNELUBAOWHVX /+-&", max_size=60))
def test_no_name_makes_an_order_compliant_or_holds_it(name: str) -> None:
    procedure = facts_of(order_message(study=f"X1^{name.replace('&', ' ')}^L")).procedure
    assert procedure.procedure_class not in COMPLETE_OR_HOLDABLE


@given(st.text(max_size=80))
def test_any_text_can_be_a_name(name: str) -> None:
    assert classify_name(name) not in COMPLETE_OR_HOLDABLE
    assert set(mr_regions_of_name(name)) <= set(Region)


def test_an_mr_of_the_past_is_read_by_its_name() -> None:
    assert mr_regions_of_name("MRI TOTAL SPINE W WO CONTRAST") == tuple(Region)
    assert mr_regions_of_name("MRI Thoracic and Lumbar spine") == (Region.THORACIC, Region.LUMBAR)
    assert mr_regions_of_name("MRI BRAIN WITH SCREENING WHOLE SPINE") == ()
    assert mr_regions_of_name("CT TOTAL SPINE") == ()


def test_a_study_that_was_read_before_is_read_alike_and_only_by_its_own_tables() -> None:
    first, again = (facts_of(order_message(study="72148^MRI L SPINE WO^C4")) for _ in range(2))
    assert first.procedure == again.procedure
    assert first.evidence == again.evidence
    bare = replace(shipped_tables(), codes=replace(shipped_tables().codes, procedure_codes={}, procedure_ranges=()))
    view = MessageView(order_message(study="72148^MRI L SPINE WO^C4"))
    other = OrderFacts(view, order_groups(view)[0], tables=bare, evidence=NO_EVIDENCE, as_of=NOW)
    assert other.procedure.procedure_class is ProcedureClass.UNMAPPED


def test_equal_bytes_under_other_delimiters_are_another_study() -> None:
    usual = order_message(study="72148@MRI L SPINE WO@C4")
    assert facts_of(usual).procedure.procedure_class is ProcedureClass.UNMAPPED
    assert facts_of(usual.replace(b"^", b"@")).procedure.procedure_class is ProcedureClass.REGIONAL_MR


def test_no_more_studies_are_remembered_than_a_catalogue_has() -> None:
    memory = ProcedureMemory()
    study = facts_of(order_message()).procedure
    for number in range(STUDY_COUNT_MAX + 1):
        memory.keep((b"%d" % number,), (study, ()))
    assert memory.find((b"0",)) is None
    assert memory.find((b"%d" % STUDY_COUNT_MAX,)) == (study, ())
    memory.keep((b"x" * 10_000,), (study, ()))
    assert memory.find((b"x" * 10_000,)) is None
