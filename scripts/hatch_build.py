"""Building a wheel builds the console into it, also on a machine without Node (see build_console)."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ConsoleHook(BuildHookInterface):  # type: ignore[type-arg]
    """An editable install is left alone: `make` builds the console for itself."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        script = _load(Path(self.root) / "scripts" / "build_console.py")
        try:
            script.build()
        except script.BuildError as error:
            print(f"The console is not in this wheel: {error}", file=sys.stderr)


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
