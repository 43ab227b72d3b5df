"""The one table of roles and actions, and that the server keeps to it on every route."""

from pathlib import Path

import pytest
from starlette.routing import Mount

from interceptor.review.guard import GuardedRoute
from interceptor.review.rights import GLASS_ACTIONS, PATIENT_ACTIONS, RIGHTS, Action, Role, rights_of
from tests.support.review import Review, reviewed_node

ROLES_WITHOUT_PATIENTS = (Role.OPS, Role.ADMIN)
PARAMETERS = {"secret": "x" * 20}


@pytest.mark.parametrize("role", ROLES_WITHOUT_PATIENTS)
@pytest.mark.hazard("H14")
def test_a_role_without_patients_has_no_action_that_shows_one(role: Role) -> None:
    assert not RIGHTS[role] & PATIENT_ACTIONS


def test_a_broken_glass_lends_sight_and_no_decision() -> None:
    lent = rights_of([Role.OPS], is_glass_broken=True) - rights_of([Role.OPS])
    assert lent <= GLASS_ACTIONS
    assert Action.RELEASE not in lent
    assert Action.RETURN not in lent


def test_every_action_is_somebodys() -> None:
    assert set(Action) == rights_of(tuple(Role))


@pytest.mark.parametrize("role", [Role.TECHNOLOGIST, Role.LIAISON, Role.ANALYST, Role.AUDITOR])
def test_nobody_but_a_reviewer_changes_a_procedure(role: Role) -> None:
    assert Action.CHANGE_PROCEDURE not in RIGHTS[role]


def guarded_routes(review: Review) -> list[GuardedRoute]:
    """All routes of the application. There is no way in but these, the files of /static, and the API (test_api.py)."""
    found = []
    for route in review.app.routes:
        if isinstance(route, Mount) and route.name in ("static", "api"):
            continue
        assert isinstance(route, GuardedRoute), f"{route} was not made by the guard"
        found.append(route)
    return found


def path_of(route: GuardedRoute) -> str:
    """The route's path with something in place of every parameter."""
    path = route.path
    for name in route.param_convertors:
        kind = "1" if type(route.param_convertors[name]).__name__ == "IntegerConvertor" else "x"
        path = path.replace(f"{{{name}:int}}", "1").replace(f"{{{name}:path}}", "x").replace(f"{{{name}}}", kind)
    return path


@pytest.mark.hazard("H13")
async def test_each_action_of_each_role_that_is_not_allowed_is_refused_and_the_refusal_is_audited(
    tmp_path: Path,
) -> None:
    """Generated from the table and from the application: every role asks for every route that is not its own."""
    async with reviewed_node(tmp_path) as review:
        routes = [route for route in guarded_routes(review) if route.action is not None]
        assert routes
        for role in Role:
            browser = await review.person(f"p-{role}", role)
            refused = [route for route in routes if route.action not in RIGHTS[role]]
            for route in refused:
                for method in (route.methods or set()) - {"HEAD"}:
                    answer = await browser.request(method, path_of(route))
                    assert answer.status_code == 403, f"{role} {method} {route.path}"
            audited = [row for row in await review.audit("access_refused") if row["actor"] == f"user:p-{role}"]
            expected = {(route.path, str(route.action)) for route in refused}
            assert {(row["path"], row["refused"]) for row in audited} == expected


@pytest.mark.hazard("H13")
async def test_nobody_sees_anything_before_the_login(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        browser = review.browser()
        for route in guarded_routes(review):
            if route.action is None:
                continue
            for method in (route.methods or set()) - {"HEAD"}:
                answer = await browser.request(method, path_of(route))
                assert answer.status_code == 303, f"{method} {route.path}"
                assert answer.headers["location"].startswith("/login?next=" if method == "GET" else "/login")
                script = await browser.request(method, path_of(route), headers={"Accept": "application/json"})
                assert script.status_code == 401, f"{method} {route.path}"


async def test_a_path_that_does_not_exist_is_not_found_and_names_nothing(tmp_path: Path) -> None:
    async with reviewed_node(tmp_path) as review:
        answer = await review.browser().get("/nothing-here")
        assert answer.status_code == 404
        assert "Nothing is here" in answer.text
        assert "nothing-here" not in answer.text
        script = await review.browser().get("/nothing-here", headers={"Accept": "application/json"})
        assert (script.status_code, script.json()) == (404, {"title": "Nothing is here", "status": 404})
