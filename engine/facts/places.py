"""Names for the ninths of the picture."""

_COLUMNS = ("left", "middle", "right")
_ROWS = ("upper", "middle", "lower")


def place(x: float, y: float) -> str:
    """Name the ninth in which a point lies; ``x`` and ``y`` are shares of the width and the height, 0..1."""
    row, column = _ROWS[min(2, int(3 * y))], _COLUMNS[min(2, int(3 * x))]
    if row == column:
        return "centre"
    return f"{row} {column}" if row != "middle" else f"{column} side"
