"""The cases of conformance/, played with fanlight.js in a browser, over each of its transports."""

import pytest

from tests.conformance.clients import CASES, BrowserClient, result
from tests.fakes.browser import CHROMIUM, Browser

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="Chromium is not installed; scripts/system-packages installs it"
)


# One browser for all cases: to start one takes longer than to play them.
# Over events Node plays them in the quick part.
@pytest.mark.parametrize("transport", ["websocket", pytest.param("events", marks=pytest.mark.slow)])
async def test_the_browser_client_keeps_the_contract(transport: str):
    async with Browser() as browser:
        client = BrowserClient(browser, transport)
        results = {f"{case.file}: {case.name}": await result(case, client) for case in CASES}
    assert {name: why for name, why in results.items() if why is not None} == {}
