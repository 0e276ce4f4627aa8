"""Benchmarks that a person runs with ``make bench``; never part of the tests."""
