"""The reference page is what the schema says now."""

from pathlib import Path

from pydantic import BaseModel

from interceptor.config import schema
from interceptor.config.reference import build_config_reference

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "config.md"


def test_the_page_in_the_repository_is_generated_from_this_schema() -> None:
    """Run `python docs/generate_reference.py` after changing a docstring, a default or a bound."""
    assert PAGE.read_text(encoding="utf-8") == build_config_reference()


def test_every_key_of_every_table_is_documented_in_a_sentence() -> None:
    tables = [
        table
        for table in vars(schema).values()
        if isinstance(table, type)
        and issubclass(table, BaseModel)
        and table.__name__.endswith("Table")
        and table.model_fields
    ]
    assert len(tables) >= 12
    page = build_config_reference()
    for table in tables:
        for key, field in table.model_fields.items():
            assert field.description, f"{table.__name__}.{key} says nothing"
            assert f"| `{key}` |" in page or f".{key}]" in page
