"""The gap that a stored page keeps for what was measured on a machine: page, facts → page.

No value in a page can look like the gap, for every `<` in a value is escaped.
"""

from typing import Final

from markupsafe import Markup

from twin.errors import DataError

GAP: Final = Markup("<!-- measured -->")


def filled(page: str, measured: str) -> str:
    """Return the page with HTML in its gap.

    Raises:
        DataError: the page has no gap.
    """
    if page.count(GAP) != 1:
        raise DataError("metrics/report.html has no gap for what was measured. Make it again with `dvc repro report`.")
    return page.replace(GAP, measured)
