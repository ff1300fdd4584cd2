"""What pyproject.toml cannot say yet: the fan-out's innermost loop is in C where there is a compiler."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("service.hub._send_row", ["service/hub/send_row.c"], optional=True)])
