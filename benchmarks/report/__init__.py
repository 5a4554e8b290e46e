"""One run of the benchmark as a page to look at; nothing but the standard library is needed to make it."""

from coke_edge.benchmarks.report.page import write_report

__all__ = ["write_report"]
