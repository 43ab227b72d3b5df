"""Keys are found on their lines whatever strings, arrays and comments stand between them."""

import tomllib

from interceptor.config.toml_lines import find_key_lines

TEXT = '''\
# [not.a.table]
top = 1
[a."b c"]  # a comment with = and [
text = """
[inside]
fake = 1
"""
list = [
  "x = 1", # ]
  { y = 2 },
]
dotted.key = 'it''s'
[[many]]
x = 1
[[many]]
x = 2
'''.replace("'it''s'", "'it'")


def test_keys_and_tables_are_found_on_their_own_lines() -> None:
    tomllib.loads(TEXT)
    assert find_key_lines(TEXT) == {
        ("top",): 2,
        ("a", "b c"): 3,
        ("a", "b c", "text"): 4,
        ("a", "b c", "list"): 8,
        ("a", "b c", "dotted", "key"): 12,
        ("many",): 13,
        ("many", "x"): 14,
    }
