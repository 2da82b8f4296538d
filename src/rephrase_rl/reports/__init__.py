"""Reports made from run directories and nothing else, on any machine, without torch."""

from rephrase_rl.reports.comparison import ComparisonQuestions, write_comparison
from rephrase_rl.reports.comparison_files import ComparisonPaths
from rephrase_rl.reports.pass_rates import write_pass_rate_figure
from rephrase_rl.reports.report import ReportPaths, write_report
from rephrase_rl.reports.rewrites import write_rewrites_page

__all__ = [
    "ComparisonPaths",
    "ComparisonQuestions",
    "ReportPaths",
    "write_comparison",
    "write_pass_rate_figure",
    "write_report",
    "write_rewrites_page",
]
