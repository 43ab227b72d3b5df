"""`interceptor inspect`: what a message says, with the standard's names. A local tool: it masks nothing."""

from typing import TYPE_CHECKING

import typer

from interceptor.cli.message_file import read_messages
from interceptor.cli.node_connection import JSON_OPTION
from interceptor.cli.terminal import ExitCode, print_json, print_line, printable

if TYPE_CHECKING:
    from interceptor.review.inspection import InspectedValue, Inspection

TEXT_LENGTH_MAX = 200
"""Longer values, an embedded PDF above all, are cut on the screen; --json has them whole."""


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("inspect")(inspect)


def inspect(
    file: str = typer.Argument(metavar="FILE", help="Messages, framed or plain; - is standard input."),
    validate: bool = typer.Option(
        False, "--validate", help="Compare with the standard too (advisory); exit 1 when it differs."
    ),
    as_json: bool = JSON_OPTION,
) -> None:
    """Show segments and fields by name.

    A local tool: it shows everything that the message says and masks nothing.
    """
    from interceptor.message.header import NotHl7
    from interceptor.message.view import MessageView
    from interceptor.review.inspection import inspect_message, validate_message

    code = ExitCode.DONE
    for number, raw in enumerate(read_messages(file), start=1):
        try:
            view = MessageView(raw)
        except NotHl7 as error:
            code = ExitCode.NO
            what = f"not HL7: {error.reason} at byte {error.offset}"
            if as_json:
                print_json({"message": number, "error": what})
            else:
                print_line(f"message {number}: {what}")
            continue
        inspection = inspect_message(view)
        findings = validate_message(view) if validate else None
        if findings:
            code = ExitCode.NO
        if as_json:
            print_json({"message": number, **inspection.as_json(), "findings": findings})
        else:
            _print_inspection(number, inspection, findings)
    if code:
        raise typer.Exit(code)


def _print_inspection(number: int, inspection: "Inspection", findings: tuple[str, ...] | None) -> None:
    stated = inspection.version or "no version"
    names = "" if inspection.version == inspection.version_used else f", names of {inspection.version_used}"
    control_id = inspection.control_id or "no control id"
    print_line(f"message {number}: {inspection.message_type}, {printable(control_id)}, {printable(stated)}{names}")
    for segment in inspection.segments:
        print_line(f"{printable(segment.name)}")
        for value in segment.values:
            _print_value(value)
    if findings is not None:
        print_line("conforms to the standard, as hl7apy reads it" if not findings else "differs from the standard:")
        for finding in findings:
            print_line(f"  {_cut(finding)}")
    print_line()


def _print_value(value: "InspectedValue") -> None:
    datatype = f" ({value.datatype})" if value.datatype else ""
    print_line(f"  {value.path:<12} {value.name}{datatype}: {_cut(value.text)}")
    # One component that fills the field is already on the field's line.
    for component in value.components if len(value.components) > 1 else ():
        print_line(f"    {component.path:<14} {component.name}: {_cut(component.text)}")


def _cut(text: str) -> str:
    shown = printable(text[:TEXT_LENGTH_MAX])
    return shown if len(text) <= TEXT_LENGTH_MAX else f"{shown}... ({len(text)} characters)"
