# SPDX-License-Identifier: MIT
"""``python -m asgiserver`` is the command ``casgi``."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="casgi")
