# SPDX-License-Identifier: MIT
"""Runnable examples: `casgi examples.hello.app:app` from the repository's root, and so on."""
