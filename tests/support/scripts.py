"""The two scripts as modules."""

import importlib.util
from types import ModuleType

from tests.support.processes import ROOT


def load(name: str) -> ModuleType:
    """`executor` or `submit`, freshly imported: all of it, and nothing shared with another."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    for source in list(getattr(module, "LATER", ())):  # what it compiles when it is needed
        module.load_part(source)
    return module
