"""Fixtures that every folder may use."""

from tests.support.any_database import database

__all__ = ["database"]
