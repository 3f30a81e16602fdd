"""`lta data check`: validate and label a log as a run would, and report the problems without writing anything.

`file` reads the log, `counts` adds up what its lines hold, `warnings` decides what will train a poor policy, and
`report` is the result.
"""

from learntoask.labeling.check.file import CheckSettings, check_file
from learntoask.labeling.check.report import CheckReport, FieldCoverage
from learntoask.labeling.check.warnings import NO_SESSION, why_no_session

__all__ = ["NO_SESSION", "CheckReport", "CheckSettings", "FieldCoverage", "check_file", "why_no_session"]
