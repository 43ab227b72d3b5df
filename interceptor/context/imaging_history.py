"""Spine MR that were done not long ago: a recent complete study, and an MR before a CT.

Source: CLINICAL section 2, recent_complete and prior_mri. Here a name may speak, because it can only prevent a hold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from interceptor.context.code import CPT, LOINC, normalise_code, normalise_system
from interceptor.context.code_table import CodeTables, ProcedureCode
from interceptor.context.exception_finding import Found
from interceptor.context.order_facts import Evidence, ExceptionFinding, Procedure
from interceptor.context.patient import Coding, CompletedStudy
from interceptor.context.procedure_name import mr_regions_of_name
from interceptor.context.site_profile import SiteProfile
from interceptor.context.vocabulary import ExceptionKind, FactName, ProcedureClass, Region


@dataclass(frozen=True, slots=True)
class _SpineStudy:
    study: CompletedStudy
    regions: frozenset[Region]
    day: date


def _order_of(coding: Coding, tables: CodeTables, site: SiteProfile) -> ProcedureCode | None:
    system = normalise_system(coding.system)
    mapped = site.site_procedure(system, coding.code)
    if mapped is not None:
        return mapped.order
    if system in (CPT, LOINC):
        return tables.procedure(system, normalise_code(coding.code, system))
    return None


def spine_mr_regions(study: CompletedStudy, tables: CodeTables, site: SiteProfile) -> frozenset[Region] | None:
    """Regions that a spine MR covered (none known: empty); None for any other study."""
    for coding in study.codings:
        order = _order_of(coding, tables, site)
        if order is None:
            continue
        is_spine_mr = order.modality == "MR" and order.procedure_class in (None, ProcedureClass.UNMAPPED)
        return frozenset(order.regions) if is_spine_mr else None
    for name in (study.text, *(coding.display for coding in study.codings)):
        regions = mr_regions_of_name(name)
        if regions:
            return frozenset(regions)
    return None


def _recent(
    studies: Sequence[CompletedStudy], tables: CodeTables, site: SiteProfile, today: date
) -> Iterator[_SpineStudy]:
    for study in studies:
        if study.completed is None or not 0 <= (today - study.completed).days <= site.recent_study_days:
            continue
        regions = spine_mr_regions(study, tables, site)
        if regions is not None:
            yield _SpineStudy(study, regions, study.completed)


def read_imaging_history(
    studies: Sequence[CompletedStudy], procedure: Procedure, *, tables: CodeTables, site: SiteProfile, today: date
) -> tuple[Found, ...]:
    """Return what recent spine MR mean for this order.

    Regions of several studies are united: a complete study is usually done as three.
    """
    recent = list(_recent(studies, tables, site, today))
    if not recent:
        return ()
    covered = frozenset().union(*(one.regions for one in recent))
    latest = max(recent, key=lambda one: one.day)
    kinds = []
    if covered == frozenset(Region):
        kinds.append((ExceptionKind.RECENT_COMPLETE, f"MRI of the complete spine on {latest.day.isoformat()}"))
    if procedure.procedure_class is ProcedureClass.OTHER_MODALITY:
        kinds.append((ExceptionKind.PRIOR_MRI, f"MRI of the spine on {latest.day.isoformat()}"))
    return tuple(
        Found(
            finding=ExceptionFinding(kind=kind, phrase=phrase),
            evidence=Evidence(
                fact=FactName.EXCEPTION,
                source=latest.study.source,
                code=latest.study.codings[0].code if latest.study.codings else None,
                text=latest.study.text or None,
                date=latest.day,
                meaning=kind,
            ),
        )
        for kind, phrase in kinds
    )
