"""`interceptor check --unmapped`: the site's mapping worklist, from the journal of a node that ran."""

from pathlib import Path

from tests.support.command import run_command
from tests.support.node import filler, node_config, node_of, placer_of
from tests.support.orders import CHEST_FILM, order


async def test_each_unmapped_code_is_listed_with_its_count_and_a_name(tmp_path: Path) -> None:
    """The most frequent first; a chest film is not of the spine and not on the list."""
    async with filler() as ris:
        config = node_config(tmp_path, filler_port=ris.port)
        async with node_of(config) as node, placer_of(node) as placer:
            for number, procedure in enumerate(
                ("X99^MR SP LTD^L", "X98^MRI SPINE SPECIAL^L", "X99^MR SP LTD^L", CHEST_FILM)
            ):
                await placer.exchange(order(f"P{number}", procedure=procedure, patient=f"{number}"))
    path = tmp_path / "node.toml"
    path.write_text(
        f"""
[node]
data_directory = "{tmp_path}"
[route.orders]
listen = "127.0.0.1:2575"
destination = "ris"
[destination.ris]
address = "127.0.0.1:{ris.port}"
""",
        encoding="utf-8",
    )
    listed = run_command("check", "--unmapped", "--json", "-c", path)
    assert listed.code == 0, listed.errors
    assert [(row["code"], row["name"], row["orders"]) for row in listed.json_lines] == [
        ("X99", "MR SP LTD", 2),
        ("X98", "MRI SPINE SPECIAL", 1),
    ]
