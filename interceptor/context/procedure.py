"""Which study an order asks for: its code where a table knows it, its name as a hint.

Precedence: the site's code map; OBR-44 (CPT, LOINC); OBR-4's alternate coding and OBR-4 itself when they are CPT or
LOINC; the name. A code of a site's own system that is not mapped is never read as a standard one.

Source: CLINICAL section 2, procedure; HL7 v2.9 chapter 4, OBR-4 and OBR-44 (7.4.1).
"""

from interceptor.context.code import (
    CPT,
    LOINC,
    is_local_system,
    looks_like_cpt,
    looks_like_loinc,
    normalise_code,
    normalise_system,
)
from interceptor.context.code_table import CodeTables, ProcedureCode
from interceptor.context.coded_field import field_path
from interceptor.context.order_facts import Evidence, Procedure
from interceptor.context.procedure_name import classify_name
from interceptor.context.site_profile import PROCEDURE_FIELDS, SiteProfile
from interceptor.context.vocabulary import (
    Contrast,
    EvidenceSource,
    FactName,
    ProcedureClass,
    ProcedureSource,
    Region,
)
from interceptor.message.group import OrderGroup
from interceptor.message.view import Segment

_ALL_REGIONS = frozenset(Region)
_THORACOLUMBAR = frozenset({Region.THORACIC, Region.LUMBAR})
_COMPLETE_CLASSES = {
    Contrast.WITHOUT_AND_WITH: ProcedureClass.COMPLETE_WO_W,
    Contrast.WITHOUT: ProcedureClass.COMPLETE_WO,
    Contrast.WITH: ProcedureClass.COMPLETE_W,
    Contrast.UNKNOWN: ProcedureClass.UNMAPPED,
}
_TRIPLES = ((4, 5, 6), (1, 2, 3))
_COMPONENT_COUNT = 6
STUDY_COUNT_MAX = 4096
"""Studies remembered at most: several times the catalogue of a hospital, some megabytes."""
_STUDY_SIZE_MAX = 500


class _Candidate:
    """One code of the order, with where it stands."""

    __slots__ = ("_place", "code", "name", "system", "trusted")

    def __init__(self, place: tuple[Segment, int, int], code: str, system: str, name: str, *, trusted: int) -> None:
        self._place = place
        self.code = code
        self.system = system
        self.name = name
        self.trusted = trusted

    @property
    def path(self) -> str:
        """Where the code stands."""
        return field_path(*self._place)


def class_of_mr(regions: tuple[Region, ...], contrast: Contrast) -> ProcedureClass:
    """The class of an MR of these regions of the spine, all with the same contrast.

    A complete study with unknown contrast is unmapped, as is an MR of the spine without any known region; a region
    with unknown contrast is a regional MR.
    """
    covered = frozenset(regions)
    if not covered:
        return ProcedureClass.UNMAPPED
    if covered == _ALL_REGIONS:
        return _COMPLETE_CLASSES[contrast]
    if covered == _THORACOLUMBAR and contrast is Contrast.WITHOUT_AND_WITH:
        return ProcedureClass.THORACOLUMBAR_WO_W
    return ProcedureClass.REGIONAL_MR


def procedure_of_code(order: ProcedureCode, *, source: ProcedureSource, code: str, name: str) -> Procedure:
    """The study that a known code orders."""
    procedure_class = order.procedure_class or class_of_mr(order.regions, order.contrast)
    contrast = order.contrast if order.modality else Contrast.UNKNOWN
    return Procedure(
        procedure_class=procedure_class,
        modality=order.modality,
        regions=order.regions,
        contrast=contrast,
        source=source,
        code=code,
        name=name,
        region_contrast=tuple([(region, contrast) for region in order.regions]),
    )


def _candidates(group: OrderGroup, obr: Segment, site: SiteProfile) -> list[_Candidate]:
    """Every code of the procedure fields, the most trusted field first; in OBR-4 the alternate coding first."""
    found = []
    for trust, (segment_name, number) in enumerate(site.procedure_fields):
        segment: Segment | None = obr
        if segment_name != "OBR":
            segment = next((one for one in group.current_segments if one.name == segment_name), None)
        if segment is None or not segment.raw_field(number):
            continue
        parts = segment.components(number)
        parts.extend([""] * (_COMPONENT_COUNT - len(parts)))
        for code_number, name_number, system_number in _TRIPLES:
            code = parts[code_number - 1].strip()
            if code:
                place = (segment, number, code_number)
                system = normalise_system(parts[system_number - 1])
                found.append(_Candidate(place, code, system, parts[name_number - 1].strip(), trusted=trust))
    return found


def _name_of(obr: Segment) -> tuple[str, str]:
    """The name of the study and its path: OBR-4 text, alternate text, original text, else OBR-44 and OBR-46."""
    for number, component in ((4, 2), (4, 5), (4, 9), (44, 2), (44, 5), (46, 2)):
        text = obr.text(number, component, subcomponent=None).strip()
        if text:
            return text, field_path(obr, number, component)
    code = obr.text(4, 1, subcomponent=None).strip()
    return (code, field_path(obr, 4, 1)) if " " in code else ("", "")


def _standard_order(candidate: _Candidate, tables: CodeTables) -> tuple[ProcedureCode, ProcedureSource] | None:
    """What a CPT or LOINC number orders. Without a system only a number that a table lists counts as one."""
    if candidate.system in (CPT, LOINC):
        found = tables.procedure(candidate.system, normalise_code(candidate.code, candidate.system))
        source = ProcedureSource.CPT if candidate.system == CPT else ProcedureSource.LOINC
        return None if found is None else (found, source)
    if candidate.system:
        return None
    if looks_like_cpt(candidate.code):
        code = normalise_code(candidate.code, CPT)
        if tables.is_listed_procedure(CPT, code):
            found = tables.procedure(CPT, code)
            return None if found is None else (found, ProcedureSource.CPT)
    if looks_like_loinc(candidate.code) or tables.is_listed_procedure(LOINC, candidate.code):
        found = tables.procedure(LOINC, candidate.code)
        return None if found is None else (found, ProcedureSource.LOINC)
    return None


_Study = tuple[Procedure, tuple[Evidence, ...]]


class ProcedureMemory:
    """Studies read before, by the exact bytes of the fields that state them.

    A hospital orders from a catalogue of some hundreds of studies, so nearly every order repeats an earlier one's
    bytes. Only for the code tables and the site profile that it was made for.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[bytes, ...], _Study] = {}

    def find(self, key: tuple[bytes, ...]) -> _Study | None:
        """What these fields state; None when they were not seen, or too long ago."""
        return self._known.get(key)

    def keep(self, key: tuple[bytes, ...], study: _Study) -> None:
        """Remember a study; when there are STUDY_COUNT_MAX of them, begin anew."""
        if len(self._known) >= STUDY_COUNT_MAX:
            self._known.clear()
        if sum(map(len, key)) <= _STUDY_SIZE_MAX:
            self._known[key] = study


def read_procedure(
    group: OrderGroup, *, tables: CodeTables, site: SiteProfile, memory: ProcedureMemory | None = None
) -> _Study:
    """Return the study of one order, and the evidence for it.

    An order with several OBR is against the standard and seen in ORM: what they ask for is united like a set.
    """
    obrs = group.obrs
    if len(obrs) <= 1:
        if not obrs:
            return Procedure(procedure_class=ProcedureClass.NOT_SPINE), ()
        obr = obrs[0]
        key = None if memory is None else _memory_key(obr, site)
        if memory is None or key is None:
            return _read_alone(group, obr, tables, site)
        study = memory.find(key)
        if study is None:
            study = _read_alone(group, obr, tables, site)
            memory.keep(key, study)
        return study
    read = [_read_obr(group, obr, tables, site) for obr in obrs]
    return _unite([procedure for procedure, _ in read]), tuple(found for _, found in read if found is not None)


def _memory_key(obr: Segment, site: SiteProfile) -> tuple[bytes, ...] | None:
    """Everything that the study is read from; None where it is read from more than plain fields of the first OBR."""
    if not obr.is_usual or obr.occurrence != 1 or site.procedure_fields != PROCEDURE_FIELDS:
        return None
    return obr.raw_field(4), obr.raw_field(44), obr.raw_field(46)


def _read_alone(group: OrderGroup, obr: Segment, tables: CodeTables, site: SiteProfile) -> _Study:
    procedure, evidence = _read_obr(group, obr, tables, site)
    return procedure, () if evidence is None else (evidence,)


def _unite(procedures: list[Procedure]) -> Procedure:
    """The study that several OBR of one order amount to: MR of the spine together, else the first that matters."""
    parts: dict[Region, Contrast] = {}
    spine = [one for one in procedures if one.modality == "MR" and one.region_contrast]
    for procedure in spine:
        for region, contrast in procedure.region_contrast:
            known = parts.get(region, contrast)
            parts[region] = contrast if known is Contrast.UNKNOWN or contrast is Contrast.WITHOUT_AND_WITH else known
    if not spine:
        return next((one for one in procedures if one.procedure_class is not ProcedureClass.NOT_SPINE), procedures[0])
    regions = tuple(region for region in Region if region in parts)
    contrasts = set(parts.values())
    contrast = contrasts.pop() if len(contrasts) == 1 else Contrast.UNKNOWN
    procedure_class = class_of_mr(regions, contrast)
    if procedure_class is ProcedureClass.UNMAPPED and set(parts.values()) != {Contrast.UNKNOWN}:
        procedure_class = ProcedureClass.REGIONAL_MR
    return Procedure(
        procedure_class=procedure_class,
        modality="MR",
        regions=regions,
        contrast=contrast,
        source=spine[0].source,
        code=spine[0].code,
        name=spine[0].name,
        region_contrast=tuple((region, parts[region]) for region in regions),
    )


def _read_obr(
    group: OrderGroup, obr: Segment, tables: CodeTables, site: SiteProfile
) -> tuple[Procedure, Evidence | None]:
    candidates = _candidates(group, obr, site)
    if site.procedures:
        for candidate in candidates:
            mapped = site.site_procedure(candidate.system, candidate.code)
            if mapped is not None:
                name = candidate.name or mapped.name
                procedure = procedure_of_code(mapped.order, source=ProcedureSource.SITE, code=candidate.code, name=name)
                return procedure, _code_evidence(candidate, procedure)
    best: tuple[_Candidate, ProcedureCode, ProcedureSource] | None = None
    for candidate in candidates:
        if best is not None and candidate.trusted > best[0].trusted:
            break
        order = _standard_order(candidate, tables)
        # Of two standard codes in one field the one that states its contrast says more.
        if order is not None and (best is None or best[1].contrast is Contrast.UNKNOWN):
            best = (candidate, *order)
    if best is None:
        return _read_name(obr, candidates)
    candidate, known, source = best
    name = candidate.name or _name_of(obr)[0]
    procedure = procedure_of_code(known, source=source, code=candidate.code, name=name)
    return procedure, _code_evidence(candidate, procedure)


def _read_name(obr: Segment, candidates: list[_Candidate]) -> tuple[Procedure, Evidence | None]:
    name, path = _name_of(obr)
    code = next((one.code for one in candidates if not one.system or is_local_system(one.system)), "")
    if not name:
        return Procedure(procedure_class=ProcedureClass.NOT_SPINE, code=code), None
    procedure_class = classify_name(name)
    procedure = Procedure(procedure_class=procedure_class, source=ProcedureSource.NAME, code=code, name=name)
    return procedure, Evidence(
        fact=FactName.PROCEDURE, source=EvidenceSource.MESSAGE, path=path, text=name, meaning=procedure_class
    )


def _code_evidence(candidate: _Candidate, procedure: Procedure) -> Evidence:
    return Evidence(
        fact=FactName.PROCEDURE,
        source=EvidenceSource.MESSAGE,
        path=candidate.path,
        code=candidate.code,
        code_system=candidate.system or procedure.source,
        text=candidate.name or None,
        meaning=procedure.procedure_class,
    )
