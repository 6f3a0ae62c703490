#!/usr/bin/env bash
# Usage: [MAX_RESTARTS=0] tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test.py]
# On several machines, on each: NNODES=N NODE_RANK=i MASTER_ADDR=first-machine PORT=29500 tools/dist_test.sh ...
set -euo pipefail
if [ $# -lt 3 ]; then sed -n 2,3p "$0" >&2; exit 2; fi
CONFIG=$1 CHECKPOINT=$2 GPUS=$3
shift 3

exec "${PYTHON:-python}" -m wamim_mm.cli.torchrun \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/test.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
