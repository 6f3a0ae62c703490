#!/usr/bin/env bash
# Usage: [MAX_RESTARTS=0] tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# On several machines, on each: NNODES=N NODE_RANK=i MASTER_ADDR=first-machine PORT=29500 tools/dist_train.sh ...
set -euo pipefail
if [ $# -lt 2 ]; then sed -n 2,3p "$0" >&2; exit 2; fi
CONFIG=$1 GPUS=$2
shift 2
ADDRESS=${MASTER_ADDR:-127.0.0.1} PORT=${PORT:-29500}

if [ "${MAX_RESTARTS:-0}" -gt 0 ] || [[ ${NNODES:-1} = *:* ]]; then
    # Processes that are started again need a store of their own: torchrun's has the addresses of
    # those that ended.
    export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
    # torchrun would guess which machine the others meet at from the names that it has.
    FIRST=$([ "${NODE_RANK:-0}" = 0 ] && echo true || echo false)
    MEET=(--max-restarts="${MAX_RESTARTS:-0}" --rdzv-backend=c10d --rdzv-endpoint="$ADDRESS:$PORT")
    MEET+=(--rdzv-conf="is_host=$FIRST,join_timeout=${JOIN_TIMEOUT:-600}")
    # One machine needs no name that others can look up.
    if [ "${NNODES:-1}" = 1 ]; then MEET+=(--local-addr="$ADDRESS"); fi
else
    MEET=(--node_rank="${NODE_RANK:-0}" --master_addr="$ADDRESS" --master_port="$PORT")
fi
exec "${PYTHON:-python}" -m wamim_mm.cli.torchrun \
    --nnodes="${NNODES:-1}" \
    "${MEET[@]}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
