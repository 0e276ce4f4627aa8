"""Every module says what it is for."""

import ast

import pytest

from tests.shape.tree import ROOT, parse, python_files, relative


@pytest.mark.parametrize("folder", ["bitcache_server", "demo", "migrations", "tests/support"])
def test_each_module_says_what_it_is_for(folder: str) -> None:
    files = python_files(ROOT / folder)
    assert files
    assert [relative(path) for path in files if not ast.get_docstring(parse(path))] == []
