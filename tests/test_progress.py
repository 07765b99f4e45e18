"""Progress of many small things is a line for each on a terminal, and ten in a log."""

import pytest

from twin.progress import teller


@pytest.mark.parametrize(("total", "lines"), [(3, 3), (10, 10), (37, 10), (200, 10)])
def test_a_log_has_a_line_at_every_tenth_of_the_way_and_the_last(
    total: int, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    tell = teller(total)
    for _ in range(total):
        tell()
    said = capsys.readouterr().out.splitlines()
    assert len(said) == lines
    assert said[-1] == f"reply {total}/{total}  0:00 left"
