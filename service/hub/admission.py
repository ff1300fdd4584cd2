"""Whether one more run may start: they are counted while they run, in all and by tenant."""

from collections import Counter

from protocol.errors import Refusal


class Admission:
    """Count what runs, and refuse what is too much.

    Args:
        most: runs at once.
        most_per_tenant: of one tenant.

    Attributes:
        draining: the service is going down, and nothing new is begun.
        short_of_memory: so it is as long as there is not enough.
    """

    def __init__(self, most: int, most_per_tenant: int) -> None:
        self._most = most
        self._most_per_tenant = most_per_tenant
        self._running: Counter[str] = Counter()
        self.draining = False
        self.short_of_memory = False

    def change(self, most: int, most_per_tenant: int) -> None:
        """Other bounds count for whoever comes now."""
        self._most, self._most_per_tenant = most, most_per_tenant

    def admit(self, tenant: str) -> None:
        """Count one more; `release` takes it back.

        Raises:
            Refusal: ``draining``, ``overloaded``, ``limit_reached``.
        """
        if self.draining:
            raise Refusal("draining", "the service is shutting down", retry_after_s=1)
        if self.short_of_memory:
            raise Refusal("overloaded", "the service is short of memory", retry_after_s=5)
        if self._running.total() >= self._most:
            raise Refusal("overloaded", "the service runs as many streams as it may", retry_after_s=1)
        if self._running[tenant] >= self._most_per_tenant:
            raise Refusal("limit_reached", "you run as many streams as you may", retry_after_s=1)
        self.count(tenant)

    def count(self, tenant: str) -> None:
        """Count one that runs whatever the limits say, as one does that ran before."""
        self._running[tenant] += 1

    def release(self, tenant: str) -> None:
        """One of the tenant's runs is over."""
        self._running[tenant] -= 1
        if not self._running[tenant]:
            del self._running[tenant]
