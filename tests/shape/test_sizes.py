"""Files and functions stay small enough to be read in one go."""

import ast

from tests.shape.tree import ROOT, parse, python_files, relative

MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 45
FOLDERS = ("bitcache_server", "demo", "migrations")


def test_files_are_short() -> None:
    long = {
        relative(path): lines
        for folder in FOLDERS
        for path in python_files(ROOT / folder)
        if (lines := len(path.read_text("utf-8").splitlines())) > MAX_FILE_LINES
    }
    assert long == {}


def test_functions_are_short() -> None:
    long = {
        f"{relative(path)}:{node.name}": length
        for folder in ("bitcache_server", "demo")
        for path in python_files(ROOT / folder)
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}
