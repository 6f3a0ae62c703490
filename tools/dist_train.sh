#!/usr/bin/env bash
# Usage: [MAX_RESTARTS=0] tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# On several machines, on each: NNODES=N NODE_RANK=i MASTER_ADDR=first-machine PORT=29500 tools/dist_train.sh ...
set -euo pipefail
if [ $# -lt 2 ]; then sed -n 2,3p "$0" >&2; exit 2; fi
CONFIG=$1 GPUS=$2
shift 2

exec "${PYTHON:-python}" -m wamim_mm.cli.torchrun \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
