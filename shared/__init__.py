"""What every service of Driftline stands on; nothing here imports a service."""

import os

# From 1.29 on, ONNX Runtime's official builds send word of the models they run to Microsoft, unless this is
# set before they are imported (Privacy.md in its package). Whoever has set it already is left alone.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
