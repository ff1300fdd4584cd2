"""Watch streams from Python (`Client`; without asyncio `fanlight.sync`), and the command line.

from fanlight import Client, Delta
"""

from fanlight.client import Analysis, Client
from fanlight.errors import ClientError, Inexact, NotReady, Refused, TooLarge, Unreachable
from fanlight.messages import Delta, Derived, Ending, Reset, Watched
from fanlight.tree import apply_op

__all__ = [
    "Analysis",
    "Client",
    "ClientError",
    "Delta",
    "Derived",
    "Ending",
    "Inexact",
    "NotReady",
    "Refused",
    "Reset",
    "TooLarge",
    "Unreachable",
    "Watched",
    "apply_op",
]
