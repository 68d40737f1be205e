"""Small transformers for the tests of what is put into them."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

_path = Path(__file__).parent / "transformers.py"
_spec = importlib.util.spec_from_file_location("transformers_of_tests", _path)
assert _spec is not None and _spec.loader is not None
_transformers = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_transformers)


@pytest.fixture(scope="session")
def transformers() -> ModuleType:
    """Makes small transformers of timm; see transformers.py."""
    return _transformers


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test with an argument `transformer` runs for the name of each of them."""
    if "transformer" in metafunc.fixturenames:
        metafunc.parametrize("transformer", list(_transformers.NETWORKS))
