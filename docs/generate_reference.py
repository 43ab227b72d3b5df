"""Write the generated reference pages: python docs/generate_reference.py. A test compares them with the code."""

from pathlib import Path

from interceptor.cli.reference import build_command_reference
from interceptor.config.reference import build_config_reference
from interceptor.config.show import build_config_schema

if __name__ == "__main__":
    pages = Path(__file__).parent / "reference"
    pages.mkdir(exist_ok=True)
    (pages / "config.md").write_text(build_config_reference(), encoding="utf-8")
    (pages / "config.schema.json").write_text(build_config_schema(), encoding="utf-8")
    (pages / "commands.md").write_text(build_command_reference(), encoding="utf-8")
