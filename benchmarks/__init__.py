"""Measurements of auditmw: scripts, each run with ``python -m benchmarks.NAME`` or as a file."""
