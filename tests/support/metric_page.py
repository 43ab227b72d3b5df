"""Read one number off a metrics page."""

import re

_LABEL = re.compile(r'(\w+)="([^"]*)"')


def sample(page: bytes, name: str, **labels: str) -> float:
    """The value of the series with exactly these labels.

    Raises:
        KeyError: The page has no such series.
    """
    for line in page.decode().splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and dict(_LABEL.findall(series)) == labels:
            return float(value)
    raise KeyError(name, labels)
