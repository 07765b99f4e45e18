"""How a run is shown: templates and values → one HTML file that opens from the disk and loads nothing."""

from twin.page.chart import chart
from twin.page.sheet import sheet

__all__ = ["chart", "sheet"]
