"""Reports on a validation, and the signed evidence of it. Pure functions of plain documents; no numpy, no framework.

``Report`` is made once, from the document of ``vru evaluate`` or from a stored run; each format is a function of it.
"""

from vru.reports.documents import report_of_evaluation, report_of_run
from vru.reports.model import Report
from vru.reports.rendering import FORMATS, Format

__all__ = ["FORMATS", "Format", "Report", "report_of_evaluation", "report_of_run"]
