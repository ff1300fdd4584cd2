"""The cases of conformance/, played with the Python client."""

import pytest

from tests.conformance.cases import Case
from tests.conformance.clients import CASES, PythonClient, result


@pytest.mark.parametrize("case", CASES, ids=[f"{case.file}-{case.name}" for case in CASES])
async def test_the_python_client_keeps_the_contract(case: Case):
    assert await result(case, PythonClient()) is None
