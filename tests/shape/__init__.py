"""Tests about the shape of the project: what should hold for every file, also for the next one."""
