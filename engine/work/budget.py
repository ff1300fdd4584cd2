"""What a text takes, and what is left of what an answer may."""

# The API counts tokens of a tokenizer that it does not name: four bytes is a fair measure.
TOKEN_BYTES = 4


def tokens_in(text: str) -> int:
    return -(-len(text.encode()) // TOKEN_BYTES)


class Budget:
    """What is left of ``max_tokens``, in bytes."""

    def __init__(self, max_tokens: int) -> None:
        self._left = max_tokens * TOKEN_BYTES
        self.spent = 0
        self.exhausted = False

    def take(self, text: str) -> str:
        """Return as much of ``text`` as is left, cut between characters."""
        encoded = text.encode()
        if len(encoded) > self._left:
            self.exhausted = True
            encoded = encoded[: self._left]
            text = encoded.decode(errors="ignore")
            self._left = 0
        else:
            self._left -= len(encoded)
        self.spent += len(text.encode())
        return text

    @property
    def tokens(self) -> int:
        return -(-self.spent // TOKEN_BYTES)
