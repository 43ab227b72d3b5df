"""No command group is forgotten when the list of them is merged."""

from interceptor.cli.main import COMMAND_GROUPS
from tests.support.source_tree import PACKAGE


def test_every_module_that_has_commands_is_listed() -> None:
    modules = {
        path.stem for path in (PACKAGE / "cli").glob("*.py") if "\ndef register(" in path.read_text(encoding="utf-8")
    }
    assert modules == {group.__name__.rpartition(".")[2] for group in COMMAND_GROUPS}
