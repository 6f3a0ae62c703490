#!/usr/bin/env bash
# Usage: [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [STOP_BEFORE=300] [MAX_RESTARTS=0] [SRUN_ARGS=...] \
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [arguments of tools/train.py]
set -euo pipefail
if [ $# -lt 4 ]; then sed -n 2,3p "$0" >&2; exit 2; fi
PARTITION=$1 JOB_NAME=$2 CONFIG=$3 WORK_DIR=$4
shift 4
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-$((GPUS < 8 ? GPUS : 8))}
# A run that was told to stop, and has saved, writes here whether it is to go on by itself.
export WAMIM_SAVED=$WORK_DIR/.saved
RESUME= RESTARTS=0
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then RESUME=--resume; fi  # a batch job, requeued

while true; do
    rm -f "$WAMIM_SAVED"
    CODE=0
    # SRUN_ARGS is split into words on purpose.
    # shellcheck disable=SC2086
    srun -p "$PARTITION" \
        --job-name="$JOB_NAME" \
        --gres="gpu:$GPUS_PER_NODE" \
        --ntasks="$GPUS" \
        --ntasks-per-node="$GPUS_PER_NODE" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        --signal="USR1@${STOP_BEFORE:-300}" \
        ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$(dirname "$0")/train.py" "$CONFIG" --work-dir "$WORK_DIR" \
        --launcher slurm "$@" $RESUME || CODE=$?
    if [ ! -e "$WAMIM_SAVED" ]; then
        # A mistake on the command line is one the next time too, and a signal means an end.
        case $CODE in 0 | 2 | 130 | 143) exit "$CODE" ;; esac
        RESTARTS=$((RESTARTS + 1))
        if [ "$RESTARTS" -gt "${MAX_RESTARTS:-0}" ]; then exit "$CODE"; fi
        RESUME=--resume
        continue
    fi
    # Its time was up (again), or somebody has ended it.
    if [ "$(cat "$WAMIM_SAVED")" != again ]; then exit 75; fi
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        scontrol requeue "$SLURM_JOB_ID" || echo "saved; go on with --resume" >&2  # no batch job
        exit 75
    fi
    RESUME=--resume
done
