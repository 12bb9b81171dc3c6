"""Writes the pages of the library's API from its docstrings: `python Testing/Harness/tools/api_pages.py [FOLDER]`."""

import pkgutil
import sys
import warnings
from pathlib import Path

import pdoc

import SegmentPropagateLib as library

ROOT = Path(__file__).resolve().parents[3]


def show_all(package):
    """The package loads its public names when they are asked for, and lists no modules: pdoc sees neither by itself."""
    vars(package).update({name: getattr(package, name) for name in package.__all__})
    modules = [module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.startswith("_")]
    package.__all__ = [*package.__all__, *modules]


def main(folder=ROOT / "build" / "docs"):
    warnings.simplefilter("error")  # a module that cannot be imported, a name that cannot be resolved
    show_all(library)
    pdoc.render.configure(docformat="google", footer_text=f"SegmentPropagate {library.__version__}")
    pdoc.pdoc(library.__name__, output_directory=Path(folder))
    print(f"The pages start at {Path(folder) / 'index.html'}")


if __name__ == "__main__":
    main(*sys.argv[1:])
