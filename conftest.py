"""Plugins of pytest that the tests use (pytest takes them from a top-level conftest only)."""

pytest_plugins = ["pytester"]
