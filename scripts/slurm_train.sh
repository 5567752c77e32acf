#!/bin/bash
# Trains on a Slurm cluster, on one node or several: every GPU that the job has gets a process.
#   sbatch --nodes=1 --gpus-per-node=8 scripts/slurm_train.sh --id mine --rgbs_feature 1
#   sbatch --nodes=4 --gpus-per-node=8 --time=24:00:00 scripts/slurm_train.sh --id mine --cache /shared/cache
# Start it in the repository's folder, which all nodes must see, as they must the data and ckpt/. Options go to
# scripts/train.sh. Before the time limit, and when the job is preempted, the run saves and the job is put in the queue
# again, where it goes on. It begins the run if there is none; a finished run ends the job.
#SBATCH --job-name=separation
#SBATCH --ntasks-per-node=1
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log
#SBATCH --signal=B:TERM@300
set -eu
: "${SLURM_JOB_ID:?start this with sbatch}"
root=${SLURM_SUBMIT_DIR:-.}
python=$("$root/scripts/python.sh") || exit 2
if command -v scontrol >/dev/null; then
    host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
else
    host=localhost
fi
gpus=${SLURM_GPUS_ON_NODE:-1}
port=$((20000 + SLURM_JOB_ID % 20000)) # two jobs on a node do not meet
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-$((${SLURM_CPUS_ON_NODE:-$gpus} / gpus > 0 ? ${SLURM_CPUS_ON_NODE:-$gpus} / gpus : 1))}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${TORCH_ELASTIC_SHUTDOWN_TIMEOUT:-270} # to save in, before Slurm kills

stopped=
stop() { # by the time limit, or preempted
    stopped=1
    kill -TERM "$step" 2>/dev/null || true
}
trap stop TERM
TRAIN_WITH="$python -m torch.distributed.run --nnodes=${SLURM_JOB_NUM_NODES:-1} --nproc_per_node=$gpus --max_restarts=3
    --rdzv_backend=c10d --rdzv_endpoint=$host:$port --rdzv_id=$SLURM_JOB_ID" \
    srun --kill-on-bad-exit=1 "$root/scripts/train.sh" --resume 1 "$@" &
step=$!
code=0
wait "$step" || code=$?
while kill -0 "$step" 2>/dev/null; do # the signal ended the first wait
    code=0
    wait "$step" || code=$?
done
if [ "$stopped" ] && [ "$code" -ne 0 ]; then
    echo "stopped before the end: job $SLURM_JOB_ID goes back into the queue"
    scontrol requeue "$SLURM_JOB_ID"
    exit 0
fi
exit "$code"
