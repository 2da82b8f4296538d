"""These tests need verl."""

from verl_environment import pytest_pycollect_makemodule

__all__ = ["pytest_pycollect_makemodule"]
