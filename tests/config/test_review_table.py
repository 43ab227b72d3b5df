"""[review]: what must fit together."""

from pathlib import Path

import pytest

from interceptor.config.load import ConfigError, load_config

BASE = """
[node]
data_directory = "data"
[route.orders]
listen = "127.0.0.1:2575"
destination = "ris"
[destination.ris]
address = "127.0.0.1:2576"
[review]
"""


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('listen = "0.0.0.0:8440"', "review.listen"),
        ('listen = "127.0.0.1:2575"', "review.listen"),
        ('certificate_file = "a.pem"', "review.certificate_file"),
        ("behind_proxy = true", "review"),
        ('behind_proxy = true\npublic_url = "http://127.0.0.1"', "review.public_url"),
        ("change_procedure = true", "review"),
        ('local_users = "none"', "review.local_users"),
        ('release_reasons = { "Bad Code" = "x" }', "review.release_reasons"),
        ('[review.proxy_login]\naddresses = ["10.0.0.1"]', "review.proxy_login"),
        ('[review.oidc]\nissuer = "http://login.example.org"\nclient_id = "x"', "review.oidc.issuer"),
    ],
)
def test_a_table_that_does_not_fit_together_names_the_key(tmp_path: Path, text: str, key: str) -> None:
    file = tmp_path / "c.toml"
    file.write_text(BASE + text)
    with pytest.raises(ConfigError) as found:
        load_config(file)
    assert [problem.key for problem in found.value.problems if problem.key.startswith(key)]


def test_with_review_pages_nothing_is_held_without_a_sign_of_life(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(BASE)
    assert load_config(file).review_heartbeat_seconds == 60.0
    file.write_text(BASE.replace("[review]", "[hold]\nreview_heartbeat_seconds = 5.0\n[review]"))
    assert load_config(file).review_heartbeat_seconds == 5.0
    file.write_text(BASE.replace("[review]", ""))
    assert load_config(file).review_heartbeat_seconds == 0.0


def test_files_of_the_table_start_at_the_folder_of_the_configuration(tmp_path: Path) -> None:
    file = tmp_path / "c.toml"
    file.write_text(BASE + 'certificate_file = "a.pem"\nkey_file = "b.pem"')
    review = load_config(file).review
    assert review is not None
    assert (review.certificate_file, review.key_file) == (tmp_path / "a.pem", tmp_path / "b.pem")
