"""What can go wrong, in the client's terms; all of it is a `ClientError`."""


class ClientError(Exception):
    """The service refused, broke its own contract, or was not there."""


class Refused(ClientError):
    """The service refused a call; ``code`` is its word for why."""

    def __init__(self, status: int, code: str, message: str = "") -> None:
        super().__init__(f"{code}: {message}" if message else code)
        self.status = status
        self.code = code


class Inexact(ClientError):
    """What came does not join up with what came before, or is nothing of the contract; never silently skipped."""


class TooLarge(ClientError):
    """A message is longer than the client takes (``max_message_bytes``)."""


class Unreachable(ClientError):
    """The service could not be reached, or did not answer in time."""


class NotReady(ClientError):
    """An asset cannot be analysed yet; asking for ``asset`` later may help."""

    def __init__(self, asset: str, seconds: float) -> None:
        super().__init__(f"asset {asset} is not ready after {seconds:g} s")
        self.asset = asset
