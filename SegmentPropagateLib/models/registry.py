"""The models that have a name: what they are, and where their files lie."""

from __future__ import annotations

import difflib
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from SegmentPropagateLib.errors import CheckpointError, InputError
from SegmentPropagateLib.files import drop_link, is_there, writing
from SegmentPropagateLib.networks.families import FAMILIES

META = "https://dl.fbaipublicfiles.com/segment_anything_2/092824/"
MEDSAM2 = "https://huggingface.co/wanglab/MedSAM2/resolve/main/"
MEDSAM2_PAGE = "https://huggingface.co/wanglab/MedSAM2"

FILE_ENDINGS = (".pt", ".pth", ".safetensors")
"""Of the model files that can be opened, for dialogs; what a file is, its bytes say."""


@dataclass(frozen=True)
class NamedModel:
    """A model that can be asked for by name.

    Args:
        name: what the user types.
        about: one line for lists.
        family: a name of `families.FAMILIES`; "classical" is no network.
        licence: of the weights.
        forbids: what that licence does not allow; where there is something, the user confirms it before a download.
        licence_url: where the licence is told; set where something is forbidden.
        file_name: name of the file in the package (`url` is None) or in the cache; None where no file is needed.
        url: where the file is published.
        size_bytes: of the file, None where not known to us.
        sha256: of the file, None where not known to us: then the first download's digest is kept and later ones must
            equal it.
    """

    name: str
    about: str
    family: str
    licence: str
    file_name: str | None = None
    url: str | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    forbids: str = ""
    licence_url: str = ""

    @property
    def image_size(self) -> int | None:
        """Side of the square that the network sees, in pixels; None where there is no network."""
        family = FAMILIES.get(self.family)
        return None if family is None else family.image_size_of(self.file_name or "") or family.image_size

    @property
    def path(self) -> Path | None:
        """Where the file is, or would be put; None for a model without a file."""
        if self.file_name is None:
            return None
        return (cache_folder() if self.url else bundled_folder()) / self.file_name

    @property
    def is_ready(self) -> bool:
        """Whether the model can be used without a download."""
        return self.path is None or self.path.is_file()

    @property
    def by_hand(self) -> str:
        """What a user can do where no download succeeds."""
        return f"or fetch {self.url} with a browser and put it at {self.path}"

    @property
    def awaits_consent(self) -> bool:
        """Whether a download has to wait until the user confirms the licence."""
        return bool(self.forbids) and not self.is_ready and not self._consent.is_file()

    @property
    def _consent(self) -> Path:
        return cache_folder() / f"{self.file_name}.licence"

    def accept_licence(self) -> None:
        """Remember beside the model's file, for every program of this user, that the licence was confirmed.

        Raises:
            InputError: the folder of downloads cannot be written to.
        """
        if not self.forbids or self._consent.is_file():
            return
        try:
            self._consent.parent.mkdir(parents=True, exist_ok=True)
            drop_link(self._consent)
            with writing(self._consent) as file:
                file.write(f"{self.name}: {self.licence}, see {self.licence_url}; confirmed.\n".encode())
        except OSError as error:
            raise unusable_folder(self._consent.parent, error) from error


def _meta(size: str, file_name: str, size_bytes: int, sha256: str) -> NamedModel:
    # Digests and sizes: published alike by Meta's own server and by huggingface.co/facebook/sam2.1-hiera-*.
    about = f"SAM 2.1 {size} by Meta, trained on photographs and videos"
    return NamedModel(f"sam2.1-{size}", about, "sam2.1", "Apache-2.0", file_name, META + file_name, size_bytes, sha256)


def _medsam2(name: str, file_name: str, about: str) -> NamedModel:
    return NamedModel(
        *(name, about, "sam2.1", "research and education only", file_name, MEDSAM2 + file_name),
        forbids="commercial or clinical use",
        licence_url=MEDSAM2_PAGE,
    )


REGISTRY: Mapping[str, NamedModel] = MappingProxyType(
    {
        model.name: model
        for model in (
            NamedModel(
                "starter",
                "small SLM-SAM 2 of this project, trained on drawn volumes; works at once",
                "starter",
                "Apache-2.0",
                "starter.pt",
            ),
            NamedModel(
                "classical",
                "registration and region growing, no network; needs no torch",
                "classical",
                "Apache-2.0",
            ),
            _meta(
                "tiny",
                "sam2.1_hiera_tiny.pt",
                156_008_466,
                "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
            ),
            _meta(
                "small",
                "sam2.1_hiera_small.pt",
                184_416_285,
                "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
            ),
            _meta(
                "base+",
                "sam2.1_hiera_base_plus.pt",
                323_606_802,
                "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
            ),
            _meta(
                "large",
                "sam2.1_hiera_large.pt",
                898_083_611,
                "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
            ),
            _medsam2("medsam2-latest", "MedSAM2_latest.pt", "MedSAM2, the authors' recommended file"),
            _medsam2("medsam2-2411", "MedSAM2_2411.pt", "MedSAM2 of November 2024"),
            _medsam2("medsam2-ct-lesion", "MedSAM2_CTLesion.pt", "MedSAM2 tuned for CT lesions"),
            _medsam2(
                "medsam2-mri-liver-lesion",
                "MedSAM2_MRI_LiverLesion.pt",
                "MedSAM2 tuned for liver lesions in MR",
            ),
            _medsam2("medsam2-us-heart", "MedSAM2_US_Heart.pt", "MedSAM2 tuned for heart ultrasound"),
        )
    }
)


def cache_folder() -> Path:
    """Folder of downloaded model files: `SEGMENTPROPAGATE_HOME`, else the platform's cache folder.

    Raises:
        InputError: it is not told, and the user has no home folder; a folder that all share would let others in.
    """
    chosen = os.environ.get("SEGMENTPROPAGATE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser()
        if sys.platform == "win32":
            base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
        elif sys.platform == "darwin":
            base = Path.home() / "Library" / "Caches"
        else:
            base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise InputError(
            "There is no home folder for downloaded models: set SEGMENTPROPAGATE_HOME to a folder you may write to."
        ) from error
    return base / "segment-propagate"


def unusable_folder(folder: Path, error: OSError) -> CheckpointError:
    """What to say where the folder of downloads cannot be used."""
    return CheckpointError(
        f"The model folder {folder} cannot be used ({error.strerror or error}): make room, or set "
        "SEGMENTPROPAGATE_HOME to a folder you may write to."
    )


def bundled_folder() -> Path:
    """Folder of the model files that come with the package."""
    return Path(__file__).resolve().parent.parent / "bundled"


def model_folders() -> tuple[Path, ...]:
    """Where the base of a delta may lie: with the package, and where downloads are kept."""
    with suppress(InputError):
        return bundled_folder(), cache_folder()
    return (bundled_folder(),)


def find(name: str) -> NamedModel:
    """Return the model of that name.

    Raises:
        InputError: no model has the name; the message lists the closest, else all there are.
    """
    if name not in REGISTRY:
        names = difflib.get_close_matches(name, REGISTRY) or list(REGISTRY)
        raise InputError(f"There is no model or model file '{name}': give a file, or one of {', '.join(names)}.")
    return REGISTRY[name]


def resolve(name_or_path: str | Path) -> NamedModel | Path:
    """Tell names from paths, in one way for every command.

    A name of `REGISTRY` means that model, even where a file or folder is called so too: give that as `./NAME`, or from
    Python as a `Path`.

    Raises:
        InputError: it is neither a name nor the path of something that exists.
    """
    path = Path(name_or_path)
    is_path = isinstance(name_or_path, Path) or name_or_path not in REGISTRY
    return path if is_path and is_there(path) else find(str(name_or_path))
