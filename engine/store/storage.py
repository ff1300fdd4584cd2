"""Room for files: what the data directory may hold, and what the disk still has."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from engine.errors import ApiError

# Left free on the disk, so that the database can still be written.
RESERVE_BYTES = 256 * 1024**2
# A writer asks anew after so many bytes: others may have written, too.
ASK_AGAIN_BYTES = 16 * 1024**2


class Storage:
    """What some directories hold, against what they may.

    It is counted when somebody wants to write, and nothing is kept in step: whatever
    takes files away is right at once.

    Args:
        directories: everything that counts.
        most: bytes in all of them together.
    """

    def __init__(self, directories: Sequence[Path], most: int) -> None:
        self._directories = directories
        self._most = most

    def need(self, size: int) -> None:
        """See that ``size`` more bytes may be written; many writers may pass it by `ASK_AGAIN_BYTES` each.

        Raises:
            ApiError: ``usage_limit_exceeded``, 507: the quota is used up, or the disk is nearly full.
        """
        if sum(self._sizes()) + size > self._most:
            gib = self._most / 1024**3
            raise ApiError(
                "usage_limit_exceeded", f"The engine may keep {gib:,.3g} GiB, and they are used up: delete assets.", 507
            )
        disk = os.statvfs(self._directories[0])
        if disk.f_bavail * disk.f_frsize - size < RESERVE_BYTES:
            raise ApiError("usage_limit_exceeded", "The engine's disk is full.", 507)

    def _sizes(self) -> Iterator[int]:
        waiting = [str(directory) for directory in self._directories]
        while waiting:
            try:
                entries = list(os.scandir(waiting.pop()))
            except OSError:
                continue  # gone meanwhile
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                    continue
                try:
                    yield entry.stat(follow_symlinks=False).st_size
                except OSError:
                    continue
