"""Changes the planning, wording and run of core in every small way, and shows what no test notices.

mutmut takes the layout src/ + tests/, so both are copied there: the checkout is left alone.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parent.parent
PLACE = CHECKOUT / ".cache" / "mutants"
MUTMUT = (sys.executable, "-m", "mutmut")

SETTINGS = """
[tool.mutmut]
source_paths = ["src"]
only_mutate = ["src/pgready/core/planning.py", "src/pgready/core/run.py", "src/pgready/core/wording.py"]
pytest_add_cli_args_test_selection = [
  "tests/core/test_planning.py", "tests/core/test_run.py", "tests/core/test_resumption.py",
]
pytest_add_cli_args = ["-p", "no:cacheprovider"]

[tool.pytest.ini_options]
pythonpath = ["src", "tests"]
addopts = "--import-mode=importlib"
"""


def prepare() -> None:
    """An empty place with a copy of the code and of its tests."""
    shutil.rmtree(PLACE, ignore_errors=True)
    shutil.copytree(CHECKOUT / "app", PLACE / "src")
    shutil.copytree(CHECKOUT / "tests" / "core", PLACE / "tests" / "core")
    (PLACE / "pyproject.toml").write_text(SETTINGS)


def mutmut(*arguments: str) -> str:
    ended = subprocess.run([*MUTMUT, *arguments], cwd=PLACE, capture_output=True, text=True, check=True)
    return ended.stdout


def main() -> int:
    prepare()
    subprocess.run([*MUTMUT, "run", *sys.argv[1:]], cwd=PLACE, check=True)
    unnoticed = re.findall(r"(\S+): (?:survived|no tests)", mutmut("results"))
    for name in unnoticed:
        print(mutmut("show", name))
    print(f"{len(unnoticed)} changes go unnoticed; docs/proof.md explains those that are known")
    return 0


if __name__ == "__main__":
    sys.exit(main())
