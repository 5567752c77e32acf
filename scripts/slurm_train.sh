#!/bin/bash
# Trains on a Slurm cluster, on one node or several: every GPU that the job has gets a process.
#   sbatch --nodes=1 --gpus-per-node=8 scripts/slurm_train.sh --id mine --rgbs_feature 1
#   sbatch --nodes=4 --gpus-per-node=8 --time=24:00:00 scripts/slurm_train.sh --id mine --cache /shared/cache
# Start it in the repository's folder, which all nodes must see, as they must the data and ckpt/. Options go to
# scripts/train.sh. Before the time limit, and when the job is preempted, the run saves and the job is put in the queue
# again, which resumes it. It begins the run if there is none; a finished run ends the job.
#SBATCH --job-name=separation
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-gpu=8
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
#SBATCH --signal=B:TERM@300
set -eu
case ${1:-} in # by itself: Slurm runs a copy of this file, far from the others
-h | --help)
    sed -n '2,/^[^#]/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
[ "${SLURM_JOB_ID:-}" ] || {
    echo "error: start this with sbatch; --help tells how" >&2
    exit 2
}
root=${SLURM_SUBMIT_DIR:-.}
stopped=$root/slurm-$SLURM_JOB_ID.stopped # there when a signal came, to this script or to a node

# wait_for PID: its exit code, in $code; a signal ends a wait, and the process is waited for again
wait_for() {
    local again=1
    while [ "$again" ]; do
        again='' code=0 signalled=''
        wait "$1" || code=$?
        if [ "$signalled" ]; then again=1; fi
    done
}

if [ "${1:-}" = --node ]; then # on each node, started by srun below
    shift
    trap 'signalled=1; touch "$stopped"' TERM # which Slurm gives to every process here
    "$root/scripts/train.sh" --resume 1 "$@" &
    child=$!
    wait_for "$child"
    exit "$code"
fi

rm -f "$stopped"
python=$("$root/scripts/python.sh") || exit 2
host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
gpus=${SLURM_GPUS_ON_NODE:-1}
cpus=${SLURM_CPUS_ON_NODE:-$gpus}
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs on a node do not meet
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((cpus > gpus ? cpus / gpus : 1))}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-240} # to save in, before Slurm kills
quote="'"
export TRAIN_WITH="'${python//$quote/$quote\\$quote$quote}' -m torch.distributed.run --nnodes=${SLURM_JOB_NUM_NODES:-1} --nproc_per_node=$gpus \
    --max_restarts=3 --rdzv_backend=c10d --rdzv_endpoint=$host:$port --rdzv_id=$SLURM_JOB_ID"

trap 'signalled=1; touch "$stopped"; scancel --signal=TERM "$SLURM_JOB_ID"' TERM # to the nodes: srun would kill them
srun --ntasks-per-node=1 --cpus-per-task="$cpus" "$root/scripts/slurm_train.sh" --node "$@" &
step=$!
wait_for "$step"
if [ "$code" -ne 0 ] && [ -f "$stopped" ]; then
    rm -f "$stopped"
    echo "stopped before the end: job $SLURM_JOB_ID goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
