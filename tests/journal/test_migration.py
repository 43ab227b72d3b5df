"""Both databases have the same migrations."""

from interceptor.journal.migration import load_migrations
from interceptor.journal.postgres_connection import as_psycopg


def test_both_databases_have_the_same_numbers_and_names() -> None:
    sqlite, postgres = ([(one.number, one.name) for one in load_migrations(name)] for name in ("sqlite", "postgres"))
    assert sqlite == postgres


def test_placeholders_become_those_of_psycopg_and_nothing_else_changes() -> None:
    statement = "SELECT a::text, '?:b%' FROM t WHERE c = ? AND d = :name AND e LIKE '%' || ?2"
    assert as_psycopg(statement) == (
        b"SELECT a::text, '?:b%%' FROM t WHERE c = %s AND d = %(name)s AND e LIKE '%%' || %(p2)s"
    )
