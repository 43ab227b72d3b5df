"""Lists as CSV and JSON: the same rows as on the page, safe to open in a spreadsheet."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence

from starlette.responses import Response

from interceptor.review.shown_text import shown, spreadsheet_text


def csv_response(name: str, columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> Response:
    """A file *name*.csv: UTF-8 with a mark, for spreadsheets guess otherwise; one header line; no formulas."""
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([spreadsheet_text(_plain(row.get(column))) for column in columns])
    headers = {"Content-Disposition": f'attachment; filename="{name}.csv"'}
    return Response(text.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers)


def json_response(rows: Iterable[Mapping[str, object]]) -> Response:
    """The rows as a JSON array; texts are cleaned as on pages."""
    cleaned = [{name: _clean(value) for name, value in row.items()} for row in rows]
    return Response(json.dumps(cleaned, ensure_ascii=True), media_type="application/json")


def _plain(value: object) -> object:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return "; ".join(str(one) for one in value)
    return json.dumps(value, sort_keys=True) if isinstance(value, Mapping) else value


def _clean(value: object) -> object:
    if isinstance(value, str):
        return shown(value)
    if isinstance(value, Mapping):
        return {shown(str(name)): _clean(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(one) for one in value]
    return value
