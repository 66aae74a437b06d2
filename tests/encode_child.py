"""A child process for test_sae_encode.py: encode, and die by SIGKILL when the n-th file of a table is to be written.

Usage: encode_child.py WAREHOUSE SAE TABLE N. Files end after ten non-zeros.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import superact.ingest.encode as encode_module
import superact.store.staging as staging
from superact.concepts.sae import Sae, load_sae
from superact.ingest.encode import encode
from superact.store import Warehouse


def main(root: Path, ref: Path, table: str, at: int) -> None:
    encode_module.SHARD_NONZEROS, Sae.block_rows = 10, 5  # type: ignore[assignment]
    write_file, written = staging.write_file, 0

    def killing(path: Path, schema: Any, groups: Any) -> Any:
        nonlocal written
        if schema.name == table:
            written += 1
            if written == at:
                os.kill(os.getpid(), signal.SIGKILL)
        return write_file(path, schema, groups)

    staging.write_file = killing
    encode(Warehouse(root), load_sae(ref), dataset="toys", model="tiny", layer=1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
