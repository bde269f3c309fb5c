"""Real servers in which one module is changed as it is imported: an older one, a broken one."""

from pathlib import Path

_SITE = """
import importlib.util, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name != {module!r}:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            exec({code!r}, vars(module))
        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Finder())
"""


def changed(folder: Path, module: str, code: str) -> dict[str, str]:
    """The environment of a Python in which `code` is run at the end of that module."""
    place = folder / "changed"
    place.mkdir()
    (place / "sitecustomize.py").write_text(_SITE.format(module=module, code=code))
    return {"PYTHONPATH": str(place)}
