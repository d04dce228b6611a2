"""No row of the list of hostile inputs is without a test named by its id."""

from __future__ import annotations

import ast
import functools
import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@functools.cache
def ids_tested() -> set[int]:
    """Return the numbers in the names `test_d1_...`, `test_d10_d15_...` of all test functions."""
    trees = [ast.parse(path.read_text()) for path in sorted(TESTS.rglob("test_*.py"))]
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    names = [node.name for tree in trees for node in ast.walk(tree) if isinstance(node, functions)]
    tested = [name for name in names if re.match(r"test_d\d+_", name)]
    return {int(number) for name in tested for number in re.findall(r"(?<=_d)\d+(?=_)", name)}


@pytest.mark.parametrize("number", range(1, 16))
def test_every_decoding_id_has_a_test(number: int) -> None:
    assert number in ids_tested(), f"no test function is named test_d{number}_..."
