"""Cut a byte stream into NDJSON lines, wherever the network cut it."""

BOM = b"\xef\xbb\xbf"


class LineTooLong(Exception):
    """A line, finished or not, passed the cap; ``lines`` holds those before it."""

    def __init__(self, max_line: int, lines: list[bytes]) -> None:
        super().__init__(f"a line is longer than {max_line} bytes")
        self.lines = lines


class LineBuffer:
    """Cut a byte stream into lines; ``\\n`` and ``\\r\\n`` both end one.

    A byte order mark at the very start is dropped. Cuts are made on bytes, so a
    multi-byte character split over two chunks is whole again in its line.

    Attributes:
        is_between: whether a line has ended and no other has begun.

    Args:
        max_line: longest line accepted, in bytes, line end excluded.
    """

    def __init__(self, max_line: int) -> None:
        self._max_line = max_line
        self._parts: list[bytes] = []  # the line in progress, joined once
        self._size = 0
        self._at_start = True
        self.is_between = False

    def feed(self, data: bytes) -> list[bytes]:
        """Return the lines that ``data`` completes, without line ends; keep the rest.

        Raises:
            LineTooLong: lines that came before it are in the exception's ``lines``.
        """
        # Only the new bytes are searched: rescanning a long line at every chunk
        # would let a slow peer cost us O(n**2).
        *whole, rest = data.split(b"\n")
        lines: list[bytes] = []
        if whole:
            if self._parts or self._at_start:
                whole[0] = self._joined(whole[0], lines)
            if b"\r" not in data and max(len(data), len(whole[0])) < self._max_line:
                lines = whole  # none can be too long, or end in a CR but the first
                lines[0] = lines[0].removesuffix(b"\r")
            else:
                self._cut(whole, lines)
        if rest:
            self._keep(rest, lines)
        return lines

    def _cut(self, whole: list[bytes], lines: list[bytes]) -> None:
        for line in whole:
            bare = line.removesuffix(b"\r")
            if len(bare) > self._max_line:
                raise LineTooLong(self._max_line, lines)
            lines.append(bare)

    def end(self) -> bytes:
        """Return the last line, which no newline ended; empty when there is none."""
        last = self._joined(b"", [])
        return last.removesuffix(b"\r")

    def _keep(self, rest: bytes, lines: list[bytes]) -> None:
        # Measured before it is stored. One byte more is let in for the CR of a
        # CRLF whose LF is still on its way, three for a byte order mark.
        size = self._size + len(rest)
        if size > self._max_line + 1 + (len(BOM) if self._at_start else 0):
            raise LineTooLong(self._max_line, lines)
        self._parts.append(rest)
        self._size = size
        self.is_between = False

    def _joined(self, tail: bytes, lines: list[bytes]) -> bytes:
        if self._size + len(tail) > self._max_line + 1 + len(BOM):
            raise LineTooLong(self._max_line, lines)
        line = b"".join([*self._parts, tail])
        self._parts, self._size = [], 0
        self.is_between = True
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BOM)
        return line
