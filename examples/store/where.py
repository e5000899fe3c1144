"""Where the examples keep their data: a file here, or what `HOLDFAST_URL` says."""

import os

URL = os.environ.get("HOLDFAST_URL", "sqlite:///example.db")
