"""What the single binary runs: agentctl, or a child that its own daemon started from it."""

from __future__ import annotations

import sys

CHILDREN = ("_function", "_llama")  # what agentd.main takes as its first argument instead of options

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in CHILDREN:
        from agentctl.embedded import run_daemon

        sys.exit(run_daemon(sys.argv[1:]))
    from agentctl.main import main

    sys.exit(main())
