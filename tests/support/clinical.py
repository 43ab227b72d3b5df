"""The clinical content that ships, loaded once for all tests, and its vignettes."""

from datetime import UTC, datetime
from functools import cache

from interceptor.config.mappings import find_mappings, load_clinical_content
from interceptor.decision.clinical_content import ClinicalContent
from interceptor.replay.vignette import Vignette, read_vignettes

NOW = datetime(2026, 3, 2, 18, 0, tzinfo=UTC)
PROFILES = ("default", "strict")


@cache
def shipped_content(profile: str = "default") -> ClinicalContent:
    """Tables, the example site and the policy in one profile."""
    return load_clinical_content(mappings=find_mappings(), policy="spine-oncology", profile=profile, site="example")


@cache
def shipped_vignettes() -> tuple[Vignette, ...]:
    """Every vignette that ships."""
    return read_vignettes(find_mappings() / "vignettes")
