#!/bin/bash
# Stops what start.sh started below FOLDER (default ${TMPDIR:-/tmp}/equidiff-slurm): jobs first, then each daemon by its pid file.
set -uo pipefail
ROOT=$(realpath -m "${1:-${TMPDIR:-/tmp}/equidiff-slurm}")
export SLURM_CONF=$ROOT/slurm.conf
if [ -s "$ROOT/slurmctld.pid" ] && kill -0 "$(cat "$ROOT/slurmctld.pid")" 2>/dev/null; then
    timeout 20 scancel --full -u "$(id -un)" 2>/dev/null
    timeout 30 bash -c 'while [ -n "$(squeue -h)" ]; do sleep 0.5; done'
fi
stop() {  # pid file without .pid, a word of its command line
    local file=$ROOT/$1.pid pid
    pid=$(cat "$file" 2>/dev/null) && [ -n "$pid" ] || return
    if grep -qa "$2" "/proc/$pid/cmdline" 2>/dev/null; then
        kill -TERM "$pid"
        for _ in $(seq 150); do kill -0 "$pid" 2>/dev/null || break; sleep 0.2; done
        kill -KILL "$pid" 2>/dev/null && echo "stop.sh: $1 ($pid) had to be killed" >&2
    fi
    rm -f "$file"
}
for file in "$ROOT"/slurmd.*.pid; do [ -e "$file" ] && stop "$(basename "$file" .pid)" slurmd; done
stop slurmctld slurmctld
stop slurmdbd slurmdbd
stop mariadbd mariadbd
stop munged munged
echo "Slurm below $ROOT is stopped"
