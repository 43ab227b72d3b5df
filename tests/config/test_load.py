"""The configuration is refused with every problem at once, each at its line."""

from pathlib import Path

import pytest

from interceptor.config.load import ConfigError, find_warnings, load_config

MINIMAL = """\
[node]
data_directory = "data"

[route.main]
listen = "127.0.0.1:2575"
destination = "ris"

[destination.ris]
address = "127.0.0.1:2576"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "interceptor.toml"
    path.write_text(text, encoding="utf-8")
    return path


def problems_of(folder: Path, text: str) -> list[str]:
    """The problems as printed, without the file's name in front."""
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return [str(problem).removeprefix(str(path)) for problem in caught.value.problems]


def test_the_smallest_file_shadows_and_relays(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    route = config.route["main"]
    assert (route.mode, route.custody, route.on_filler_down, route.strict_inbound) == ("shadow", "relay", "wait", False)
    assert str(route.listen) == "127.0.0.1:2575"
    assert str(config.metrics.listen) == "127.0.0.1:9464"
    assert config.hold.deadline_business_hours == 4.0


def test_relative_paths_start_at_the_files_folder_not_at_the_working_folder(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL))
    assert config.node.data_directory == tmp_path / "data"
    assert config.control_socket == tmp_path / "data" / "control" / "control.sock"


def test_every_problem_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = """\
[node]
drain_seconds = 500
nam = "x"

[route.main]
listen = "127.0.0.1:2575"
destination = "riss"
mode = "shadw"
allowed_addresses = [
    "10.0.0.1",
    "10.0.0.300",
]
strict_inbound = "yes"

[route.main.tolerances]
empty_frames = false

[destination.ris]
address = "127.0.0.1:70000"
connections_max = 0
"""
    assert problems_of(tmp_path, text) == [
        ":1: node.data_directory: missing",
        ":2: node.drain_seconds: 500 is not 0 to 300",
        ':3: node.nam: unknown key; did you mean "name"?',
        ":7: route.main.destination: there is no [destination.riss] (known: ris)",
        ':8: route.main.mode: "shadw" is not one of shadow, annotate, enforce',
        ':9: route.main.allowed_addresses.[2]: "10.0.0.300" is not an address or a network such as "10.1.0.0/16"',
        ':13: route.main.strict_inbound: "yes": input should be a valid boolean',
        ':16: route.main.tolerances.empty_frames: unknown key; did you mean "empty_frame"?',
        ':19: destination.ris.address: port "70000" is not 0-65535',
        ":20: destination.ris.connections_max: 0 is not 1 to 100",
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", ": node: missing"),
        ("node = 3", ":1: node: is a table: write [node]"),
        ('[node]\ndata_directory = "d"\n[route]\n', ":3: route: needs at least one [route.NAME] table"),
        ("[node\n", ":1: is not TOML: Expected ']' at the end of a table declaration"),
        ("a = 1\na = 2\n", ":2: is not TOML: Cannot overwrite a value"),
        (MINIMAL + '[destination."Big RIS"]\naddress = "h:1"\n', ":10: destination.Big RIS: is not a name"),
        (
            MINIMAL.replace("ris]", "ris]\nack_timeout_seconds = inf"),
            ":9: destination.ris.ack_timeout_seconds: Infinity",
        ),
        (MINIMAL.replace("2576", "0"), ":9: destination.ris.address: port 0 is not 1-65535"),
        (MINIMAL.replace("127.0.0.1:2576", "0.0.0.0:2576"), ':9: destination.ris.address: "0.0.0.0" is an address to'),
        (MINIMAL.replace("2575", "abc"), ':5: route.main.listen: port "abc" is not 0-65535'),
        (MINIMAL.replace("127.0.0.1:2575", "2575"), ':5: route.main.listen: "2575" is not host:port'),
        (
            MINIMAL.replace("127.0.0.1:2575", "::1:2575"),
            ':5: route.main.listen: "::1:2575": write an IPv6 host in brack',
        ),
        (MINIMAL.replace("127.0.0.1:2575", ":2575"), ':5: route.main.listen: ":2575" names no host'),
    ],
)
def test_a_wrong_value_is_named_with_what_would_be_right(tmp_path: Path, text: str, problem: str) -> None:
    assert any(found.startswith(problem) for found in problems_of(tmp_path, text)), problems_of(tmp_path, text)


@pytest.mark.parametrize(
    ("addition", "problem"),
    [
        (
            '[route.two]\nlisten = "0.0.0.0:2575"\ndestination = "ris"\n',
            ":12: route.two.listen: 0.0.0.0:2575 is taken by route.main.listen",
        ),
        ('[metrics]\nlisten = "127.0.0.1:2575"\n', ":12: metrics.listen: 127.0.0.1:2575 is taken by route.main.listen"),
        (
            '[destination.back]\naddress = "localhost:2575"\n',
            ":12: destination.back.address: is the listener of route.main: orders would run in a circle",
        ),
        ('[notices]\ndestination = "ehr"\n', ":12: notices.destination: there is no [destination.ehr] (known: ris)"),
        (
            '[notices]\ndestination = "ris"\n',
            ":12: notices.destination: is where route.main sends orders; notices are for the placer",
        ),
        (
            "[hold]\ndeadline_hours_max = 2\n",
            ":12: hold.deadline_hours_max: deadline_business_hours (4.0) is more than deadline_hours_max (2)",
        ),
    ],
)
def test_keys_that_contradict_each_other_are_refused(tmp_path: Path, addition: str, problem: str) -> None:
    assert problems_of(tmp_path, MINIMAL + "\n" + addition) == [problem]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (
            "connections_max = 10",
            ":5: route.main.connections_max: connections_per_address_max (50) is more than connections_max (10)",
        ),
        (
            "lookup_budget_seconds = 2",
            ":5: route.main.lookup_budget_seconds: lookup_budget_seconds (2) is more than decision_budget_seconds (1.0)",
        ),
    ],
)
def test_limits_that_contradict_each_other_are_refused(tmp_path: Path, line: str, problem: str) -> None:
    assert problems_of(tmp_path, MINIMAL.replace("[route.main]", f"[route.main]\n{line}")) == [problem]


def test_two_listeners_may_both_ask_for_a_free_port(tmp_path: Path) -> None:
    text = MINIMAL.replace("2575", "0") + '[route.two]\nlisten = "127.0.0.1:0"\ndestination = "ris"\n'
    assert set(load_config(write(tmp_path, text)).route) == {"main", "two"}


def test_a_file_that_cannot_be_read_is_one_problem(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.toml: cannot be read: No such file or directory"):
        load_config(tmp_path / "absent.toml")
    latin = tmp_path / "latin.toml"
    latin.write_bytes(b"# \xe4\n")
    with pytest.raises(ConfigError, match=r"is not UTF-8 text \(byte 2\)"):
        load_config(latin)


def test_what_works_but_should_be_known_is_a_warning(tmp_path: Path) -> None:
    text = (
        MINIMAL.replace('listen = "127.0.0.1:2575"', 'listen = "0.0.0.0:2575"\nmode = "enforce"')
        + '[destination.spare]\naddress = "spare:2576"\n'
    )
    path = write(tmp_path, text)
    warnings = [str(warning).removeprefix(str(path)) for warning in find_warnings(path, load_config(path))]
    assert [warning.split(": ")[0:2] for warning in warnings] == [
        [":5", "route.main.listen"],
        [":5", "route.main.listen"],
        [":6", "route.main.mode"],
        [":11", "destination.spare"],
    ]
    quiet = write(tmp_path, MINIMAL)
    assert find_warnings(quiet, load_config(quiet)) == ()
