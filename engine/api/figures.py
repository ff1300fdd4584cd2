"""``/metrics``: how long the row to the model is, in text that both formats of Prometheus allow.

It stands outside the API, where the gateway alone asks; of an engine without a model there is nothing to tell.
"""

from collections.abc import Iterator

from aiohttp import web

from engine.work.turns import Turns


class FiguresRoute:
    """Tell figures.

    Args:
        turns: the turns at the model; None where there is none.
    """

    def __init__(self, turns: Turns | None) -> None:
        self._turns = turns

    def routes(self) -> Iterator[web.RouteDef]:
        """Yield the route."""
        yield web.get("/metrics", self.tell)

    async def tell(self, _: web.Request) -> web.Response:
        """Tell how many calls to the model run, and how many wait."""
        turns = self._turns
        figures = () if turns is None else (("running", turns.running), ("waiting", turns.queued))
        return web.Response(text="".join(_gauge(*each) for each in figures) + "# EOF\n")


def _gauge(state: str, value: int) -> str:
    name = f"fanlight_model_calls_{state}"
    return f"# HELP {name} Calls to the model that are {state}.\n# TYPE {name} gauge\n{name} {value}\n"
