# SPDX-License-Identifier: MIT
"""Other libraries' interfaces over jsrt."""
