"""Run the notebooks: `python notebooks/run.py` writes their outputs, `python notebooks/run.py --check` writes nothing.

Both read $SUPERACT_WAREHOUSE and $SUPERACT_DATA_ROOT, or what `make demo` leaves. Of a run only what a notebook shows is kept,
no times and no version of the interpreter: another run changes only what has changed. A check runs in an empty folder, and the
first cell that raises ends it.
"""

from __future__ import annotations

import argparse
import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

HERE = Path(__file__).resolve().parent
PLACES = {"SUPERACT_WAREHOUSE": "warehouse", "SUPERACT_DATA_ROOT": "Data"}
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def main() -> int:
    """Run the notebooks that are named, or all; 1 where a cell raised."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all of this folder")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on any error")
    arguments = parser.parse_args()
    for name, folder in PLACES.items():
        # A notebook runs in another folder than this script was called in.
        os.environ[name] = str(Path(os.environ.get(name) or HERE.parent / folder).resolve())
    with tempfile.TemporaryDirectory() as empty:
        for path in arguments.notebooks or sorted(HERE.glob("*.ipynb")):
            try:
                notebook = executed(path, empty if arguments.check else str(path.resolve().parent))
            except CellExecutionError as error:
                print(f"{path.name}: {error}", file=sys.stderr)
                return 1
            if not arguments.check:
                nbformat.write(notebook, path)
            print(f"{path.name}: {sum(cell.cell_type == 'code' for cell in notebook.cells)} cells")
    return 0


def executed(path: Path, folder: str) -> nbformat.NotebookNode:
    """A notebook run in a folder, with nothing in its metadata that says when or where."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        record_timing=False,
        resources={"metadata": {"path": folder}},
        extra_arguments=["--log-level=ERROR"],
    )
    client.execute()
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = nbformat.NotebookNode()
        for output in cell.get("outputs", []):
            if "image/png" in output.get("data", {}):
                output.data["image/png"] = smaller(output.data["image/png"])
    return notebook


def smaller(picture: str) -> str:
    """The same pixels of an opaque PNG in fewer bytes; base64 in, base64 out."""
    image = Image.open(io.BytesIO(base64.b64decode(picture)))
    sink = io.BytesIO()
    image.convert("RGB").save(sink, "PNG", optimize=True)
    return base64.b64encode(sink.getvalue()).decode() + "\n"


if __name__ == "__main__":
    sys.exit(main())
