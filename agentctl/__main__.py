"""`python -m agentctl`."""

from __future__ import annotations

import sys

from agentctl.main import main

sys.exit(main())
