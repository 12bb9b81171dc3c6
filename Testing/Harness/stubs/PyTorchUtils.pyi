"""The extension PyTorch, which `Installer` asks to install torch."""

from types import ModuleType

class PyTorchUtilsLogic:
    def installTorch(self, askConfirmation: bool, torchVersionRequirement: str) -> ModuleType | None: ...
