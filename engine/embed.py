"""Embedding calls: every parameter is checked; without weights there is no vector to give, and none is made up."""

from typing import NoReturn

from engine.errors import ApiError

# Numbers that are no embedding would be compared as if they were one.
WHY = (
    "This engine has no embedding weights, and gives no numbers in their place. Text, image, audio and video vectors"
    " of marengo3.0 are made by the cloud only: set the service's upstream to it."
)


def refuse_embeddings(what: str) -> NoReturn:
    """Say that there is no vector to give.

    Raises:
        ApiError: ``parameter_invalid``.
    """
    raise ApiError("parameter_invalid", f"{what} cannot be served. {WHY}")
