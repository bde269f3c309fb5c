"""Which files submit.py finds and sends beside a Python program."""

from pathlib import Path

import pytest

from tests.support.submissions import prepared, refused, write

pytestmark = pytest.mark.once


def test_modules_beside_a_python_file(tmp_path: Path) -> None:
    files = {
        "lab.py": "import os, helper as h\nfrom pack import one, two\nimport pack.deep.er\n"
        "import spaces.inner; from far import (  # why\n    a as b,\n    c,\n)\nimport numpy\n",
        "helper.py": "if True: import second\n",
        "second.py": "",
        "pack/__init__.py": "from . import three\nfrom .four import f\n",
        "pack/one.py": "from ..not_there import x\n",
        "pack/three.py": "from .. import helper\n",
        "pack/four.py": "",
        "pack/unused.py": "",
        "pack/deep/__init__.py": "from ..five import (x, y)\n",
        "pack/deep/er.py": "",
        "pack/five.py": "",
        "spaces/inner.py": "",
        "far/c.py": "",
        "unused.py": "",
    }
    sent = prepared(tmp_path, files, "--with", str(tmp_path / "helper.py"), main="lab.py")
    unused = {"lab.py", "pack/unused.py", "unused.py"}
    assert set(sent.body["includes"]) == set(files) - unused
    assert "sources" not in sent.body


def test_a_python_file_may_be_sent_with_others(tmp_path: Path) -> None:
    files = {"lab.py": "import x.\nfrom . import k\nimport \\\n  k\n", "k.py": "", "k.cu": ""}
    sent = prepared(tmp_path, files, "--with", str(tmp_path / "k.cu"), main="lab.py")
    assert sent.body["includes"] == {"k.cu": "", "k.py": ""}


def test_a_module_outside(tmp_path: Path) -> None:
    write(tmp_path, {"up.py": ""})
    words = refused(tmp_path / "lab", {"lab.py": "\nfrom .. import up\n"}, main="lab.py")
    assert words.startswith("lab.py:2: ../up.py lies outside of the folder of lab.py")
