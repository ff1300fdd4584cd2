"""Watch streams from Python (`Client`), and the command line.

from fanlight import Client, Delta
"""

from fanlight.client import (
    Client,
    ClientError,
    Delta,
    Derived,
    Ending,
    Inexact,
    Refused,
    Reset,
    Unreachable,
    apply_op,
)

__all__ = [
    "Client",
    "ClientError",
    "Delta",
    "Derived",
    "Ending",
    "Inexact",
    "Refused",
    "Reset",
    "Unreachable",
    "apply_op",
]
