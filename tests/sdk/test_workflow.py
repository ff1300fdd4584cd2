"""Every method of the API, driven by the official SDK in one workflow: minutes, on real video."""

import subprocess
import sys

import pytest

from tests.sdk.clips import ROOT


@pytest.mark.slow
def test_every_method_of_the_api_means_what_the_official_sdk_takes_it_for():
    done = subprocess.run([sys.executable, "-m", "tests.sdk.run"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\n60 of 60 methods good" in done.stdout
