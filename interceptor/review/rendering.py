"""Templates to bytes: autoescape on, every printed text cleaned, nothing inline that a content policy would refuse.

What a template prints passes `shown`: control and direction characters are gone and lengths are bounded, whoever
wrote the text. A template that wants something else has to say so with a filter, and none does with data.
"""

import hashlib
from functools import cache
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import Response
from starlette.templating import Jinja2Templates

from interceptor import __version__
from interceptor.review.parts import ReviewParts
from interceptor.review.rights import Action
from interceptor.review.shown_text import shown

_FOLDER: Final = Path(__file__).parent
NAVIGATION: Final[tuple[tuple[str, str, Action], ...]] = (
    ("/", "Worklist", Action.SEE_WORKLIST),
    ("/dead-letters", "Dead letters", Action.SEE_DEAD_LETTERS),
    ("/routes", "Routes", Action.SEE_ROUTES),
    ("/traffic", "Traffic", Action.SEE_TRAFFIC),
    ("/audit", "Audit", Action.SEE_AUDIT),
    ("/policy", "Policy", Action.SEE_POLICY),
    ("/users", "Users", Action.MANAGE_USERS),
)
"""Pages with a place in the head of every page: address, name, and the right that it needs."""


def build_templates() -> Jinja2Templates:
    """The templates: every value is escaped, and one that is not there is our mistake, not an empty place."""
    environment = Environment(
        loader=FileSystemLoader(_FOLDER / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(static=static_address, version=__version__, Action=Action, navigation=NAVIGATION)
    return Jinja2Templates(env=environment)


def render(parts: ReviewParts, request: Request, template: str, *, status_code: int = 200, **values: Any) -> Response:
    """A page or a fragment of one, with what every page needs."""
    context = {
        "person": request.state.person,
        "settings": parts.settings,
        "served_at": parts.now().isoformat(),
        **values,
    }
    return parts.templates.TemplateResponse(request, template, context, status_code=status_code)


def fragment(parts: ReviewParts, template: str, **values: Any) -> str:
    """A template as text, for the event stream."""
    return parts.templates.get_template(template).render(**values)


def _finalize(value: object) -> object:
    if value is None:
        return ""
    # What a template made itself (a macro's output) is markup already, with every value in it cleaned.
    is_markup = hasattr(value, "__html__")
    return shown(value) if isinstance(value, str) and not is_markup else value


@cache
def static_address(name: str) -> str:
    """The address of a static file; its version is in it, so that browsers take a new one at once."""
    digest = hashlib.sha256((_FOLDER / "static" / name).read_bytes()).hexdigest()
    return f"/static/{name}?v={digest[:12]}"
