"""Reports made from run directories and nothing else, on any machine, without torch."""

from rephrase_rl.reports.comparison import ComparisonPaths, write_comparison
from rephrase_rl.reports.report import ReportPaths, write_report

__all__ = ["ComparisonPaths", "ReportPaths", "write_comparison", "write_report"]
