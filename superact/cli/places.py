"""Where files that a command writes may be."""

from __future__ import annotations

import os
from pathlib import Path

from superact.errors import BadInput


def check_out(out: Path) -> None:
    """Refuse a file inside a warehouse's own folders, where it would replace or stand among published files.

    A folder with a `manifest/` in it is a warehouse. Errors: BadInput.
    """
    from superact.store.layout import MANIFEST, ROOMS, STAGING

    # As the system follows it, where a link of that name itself would be replaced, and as it is typed: a room may be a link.
    spellings = (os.path.realpath(out), Path(os.path.realpath(out.parent), out.name), os.path.normpath(out.absolute()))
    for folder in (folder for spelling in spellings for folder in Path(spelling).parents):
        root = folder.parent
        if not (root / MANIFEST).is_dir():
            continue
        for name in (*ROOMS, MANIFEST, STAGING):
            # Compared as files, because some filesystems take Tables/ for tables/.
            if folder == root / name or ((root / name).exists() and folder.exists() and folder.samefile(root / name)):
                raise BadInput(
                    what=f"--out {out} lies in {name}/ of the warehouse {root}, whose files are published.",
                    remedy="Name a file outside of it.",
                )
