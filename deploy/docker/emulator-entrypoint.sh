#!/bin/sh
# The project that `make demo` shows: a model that has seen too little, and what training brings.
set -eu
project=/tmp/edge-impulse
PYTHONPATH=/opt/nxai/tools python -c '
import sys, pathlib, demo
demo.describe_project(pathlib.Path(sys.argv[1]))' "$project"
exec python -m support.edge_impulse --host 0.0.0.0 --project-folder "$project"
