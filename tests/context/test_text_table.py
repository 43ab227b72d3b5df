"""The text tables: what a wrong row says, and that the shipped ones hold together."""

import pytest

from interceptor.context.text_matcher import parse_text_tables
from interceptor.context.text_table import TABLE_NAMES, TextTableError
from tests.support.text_tables import shipped_matcher, text_files


def problems_with(name: str, row: str) -> tuple[str, ...]:
    """Return what is said about the shipped tables with one more *row* in *name*."""
    files = dict(text_files())
    files[name] += row + "\n"
    with pytest.raises(TextTableError) as caught:
        parse_text_tables(files)
    return caught.value.problems


@pytest.mark.parametrize(
    ("name", "row", "said"),
    [
        ("terms_oncology.csv", "xx,tumour,,,,", "label: 'tumour' is not one of"),
        ("terms_oncology.csv", "xx,cancer,,,,moonlight", "needs: 'moonlight' is not one of"),
        ("terms_symptom.csv", "{nowhere} pain,pain,,,,", "no set 'nowhere'"),
        ("cues.csv", "xx,negation,sideways,item,all", "direction or labels"),
        ("cues.csv", "no,history,forward,item,all", "given twice"),
        ("onset.csv", "xx,days,soon", "value: 'soon' is not a number"),
        ("organs.csv", "xx", "1 columns instead of 3"),
        ("sets.csv", "xx,a||b", "an empty set or alternative"),
    ],
)
def test_a_wrong_row_is_named_with_its_file_and_line(name: str, row: str, said: str) -> None:
    line_count = len(text_files()[name].splitlines()) + 1
    (problem,) = problems_with(name, row)
    assert problem.startswith(f"{name}:{line_count}: ")
    assert said in problem


def test_missing_and_unknown_files_are_all_named_at_once() -> None:
    files = dict(text_files())
    del files["organs.csv"]
    files["organ.csv"] = ""
    with pytest.raises(TextTableError) as caught:
        parse_text_tables(files)
    assert caught.value.problems == ("organs.csv: missing", "organ.csv: unknown file")


def test_the_folder_holds_the_tables_and_nothing_else() -> None:
    assert sorted(text_files()) == sorted(TABLE_NAMES)


def test_removing_a_term_removes_its_mention() -> None:
    files = dict(text_files())
    files["terms_symptom.csv"] = files["terms_symptom.csv"].replace("\nlbp,pain,,,,\n", "\n")
    assert [m.words for m in shipped_matcher().read("LBP").mentions] == ["LBP"]
    assert not parse_text_tables(files).read("LBP").mentions
