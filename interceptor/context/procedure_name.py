"""Guess from a study's name whether it is of the spine. A hint, never a verdict on region or contrast.

Names mislead: "MRI total spine with contrast" is often without and with, "... with screening whole spine" is no
complete study, and one real charge master gives three codes the same English name. So a name can say three
things only: plainly the spine (then the code needs mapping), plainly not, or a procedure that is no diagnostic
study. It never makes an order compliant and never holds one.

For the exceptions, which only make holding rarer, a second reader says which regions an MR of the past covered.

Source: CLINICAL section 2, procedure.
"""

import re

from interceptor.context.vocabulary import ProcedureClass, Region

_FLAGS = re.IGNORECASE

# One search decides most orders: no word of these, no spine.
_SPINE_LIKE = re.compile(
    r"spin(?:e|es|al)\b|[ctl]-?sp(?:ine)?\b|\bsp\b|\bcerv|\bthor|\blumb|\bl-?s\b|\bvertebr|\bmyelo|\bneur(?:o|al)?[ -]?axis|\bscolio"
    r"|\bsacr|\bcord\b|\bcauda|\bplexus|\bkyphoplast|\bbone (?:scan|survey)|\bskeletal survey|\bpet\b|\bpet[-/ ]?ct|\bspect\b"
    r"|\bwhole[ -]?body|\bskull (?:base )?to\b|\bwb\b|\bdisc\b|\bback\b|\b(?:epidural|facet|transforaminal)\b",
    _FLAGS,
)
_SPINE = re.compile(
    r"spin(?:e|es|al)\b|\b[ctl]{1,3}[-/ ]?sp(?:ine)?\b|\bvertebra|\bmyelogra|\bneur(?:o|al)?[ -]?axis|\bscolio"
    r"|\bcervico-?thorac|\bthoraco-?lumb|\blumbo-?sacr|\blumbar\b|\blumb\b|\bl-s\b|\bspinal cord|\bcauda equina",
    _FLAGS,
)
_SPINE_ABBREVIATION = re.compile(
    r"\b(?:c|t|l|ls|cerv|cervical|thor|thoracic|lumb|lumbar|whole|total|entire|complete)?[ -]?sp\b", _FLAGS
)
_SPINE_REGION_WORD = re.compile(r"\b(?:cervical|cerv|thoracic|thor)\b", _FLAGS)
_IMAGING = re.compile(r"\b(?:mri?|mrt|ct|cat|xr|x-?ray|dx|cr|dr|rad|radiograph\w*|nm|fl)\b", _FLAGS)
_NOT_DIAGNOSTIC = re.compile(
    r"\bmra\b|\bmr angio|\bangio(?!myo)|\bplexus|\bdxa\b|\bdexa\b|\bbone dens|\bbiops|\bbx\b|\bguid(?:ed|ance)|\binject"
    r"|\bepidural(?! abscess)|\besi\b|\bnerve (?:root )?block|\bfacet|\btransforaminal|\bvertebroplast|\bkyphoplast|\baugmentation|\bpuncture|\bpunct\b|\blp\b"
    r"|\baspirat|\bablation|\bdiscogra|\bdrain|\bintra-?op|\bintraoperative|\bc-?arm|\bradiotherap|\bxrt\b"
    r"|\b(?:rt|radiation|treatment|rad onc) (?:\w+ )?(?:plan|sim)|\bsimulation\b|\bstereotact|\bradiosurg|\bsbrt\b|\bcyberknife|\bor use\b|\bin or\b|\bpump\b",
    _FLAGS,
)
_NO_STUDY = re.compile(r"\b(?:consult\w*|referral|refer|clinic|visit|physical therapy|brace|orthosis|collar)\b", _FLAGS)
_BODY_SURVEY = re.compile(
    r"\bbone scan|\bbone survey|\bskeletal survey|\bnm bone\b|\bpet\b|\bpet[-/ ]?ct|\bspect\b|\bwhole[ -]?body|\bwb\b|\bskull (?:base )?to\b",
    _FLAGS,
)
_OTHER_PART = re.compile(
    r"\b(?:brain|head|heart|cardiac|myocard\w*|perfusion|amyloid|thyroid|parathyroid|renal|kidney|liver|hepat\w*|abd\w*|pelvi\w*|chest"
    r"|thorax|aort\w*|lung|breast|knee|hip|shoulder|wrist|hand|foot|ankle|elbow|femur|tibia|humerus|neck|soft tissue|sinus\w*|orbit\w*"
    r"|face|facial|jaw|tmj|carotid|prostate|uter\w*|length|lymph|outlet|duct|surgery|cavity|screen\w* mammo\w*|mammo\w*|ob|fetal)\b",
    _FLAGS,
)
_SPINE_OF_OTHER_PART = re.compile(r"\b(?:iliac|anterior superior|nasal|scapular) spine", _FLAGS)

_MR = re.compile(r"\bmri?\b|\bmrt\b|\bmagnetic resonance", _FLAGS)
_COMPLETE = re.compile(
    r"\b(?:total|whole|complete|entire|full|pan)[ -]?(?:spine|spinal|sp)\b|\bspine (?:complete|total|survey)|\bneur(?:o|al)?[ -]?axis",
    _FLAGS,
)
_SCREENING = re.compile(r"\bscreen", _FLAGS)
_REGION_WORDS = (
    (Region.CERVICAL, re.compile(r"\bcerv|\bc-?sp|\bc[ -/]t|\bc spine", _FLAGS)),
    (
        Region.THORACIC,
        re.compile(r"\bthor|\bt-?sp|\bcervico-?thorac|\bdorsal|\bt[ -/]l\b|\bc[ -/]t\b|\bt spine", _FLAGS),
    ),
    (Region.LUMBAR, re.compile(r"\blumb|\bl-?sp|\bthoraco-?lumb|\bt[ -/]l\b|\bl spine|\bls spine", _FLAGS)),
)


def classify_name(name: str) -> ProcedureClass:
    """Return `unmapped` (plainly the spine or the whole skeleton), `out_of_scope` or `not_spine`.

    Whatever modality, region and contrast the name claims, a spine study is `unmapped`: only a code says more.
    A body survey by name is `unmapped` too, because its class could hold.
    """
    if not _SPINE_LIKE.search(name) or _NO_STUDY.search(name):
        return ProcedureClass.NOT_SPINE
    spine = _is_spine(name)
    if _NOT_DIAGNOSTIC.search(name) and (spine or "plexus" in name.casefold() or not _OTHER_PART.search(name)):
        return ProcedureClass.OUT_OF_SCOPE
    if spine:
        return ProcedureClass.UNMAPPED
    if _BODY_SURVEY.search(name) and not _OTHER_PART.search(_BODY_SURVEY.sub(" ", name)):
        return ProcedureClass.UNMAPPED
    return ProcedureClass.NOT_SPINE


def _is_spine(name: str) -> bool:
    if _SPINE.search(_SPINE_OF_OTHER_PART.sub(" ", name)):
        return True
    if _OTHER_PART.search(name) or not _IMAGING.search(name):
        return False
    return bool(_SPINE_ABBREVIATION.search(name) or _SPINE_REGION_WORD.search(name))


def mr_regions_of_name(name: str) -> tuple[Region, ...]:
    """Regions of the spine that an MR of this name covers, () for anything else.

    Only for studies that were done: what it finds can prevent a hold, never cause one.
    """
    if not _MR.search(name) or not _is_spine(name) or _NOT_DIAGNOSTIC.search(name):
        return ()
    if _COMPLETE.search(name) and not _SCREENING.search(name):
        return tuple(Region)
    return tuple(region for region, words in _REGION_WORDS if words.search(name))
