"""The two scripts as modules."""

import importlib.util
from types import ModuleType

from tests.support.processes import ROOT


def load(name: str) -> ModuleType:
    """`executor` or `submit`, freshly imported: it shares nothing with an earlier import."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    getattr(module, "load_late", lambda: None)()  # a test may ask for any part of it
    return module
