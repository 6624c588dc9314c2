#!/bin/bash
# sbatch docs/recipes/slurm.sh --env celeba --pipelines train
# In the project's folder, which all nodes share, with its .venv, after `kedro run --env celeba --pipelines ingest,preprocess`.
# Three minutes before the time is up training saves and stops, the job goes back into the queue, and the same command
# resumes. Add the --partition and --account of your cluster.
#SBATCH --job-name=celeba_gan
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@180
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail
first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
gpus=${SLURM_GPUS_PER_NODE:-1} # may be h100:8
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
export TORCH_ELASTIC_SHUTDOWN_TIMEOUT=150 # seconds for saving before torchrun kills; 30 otherwise
stopped=no
srun .venv/bin/torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "${gpus##*:}" --rdzv-backend c10d \
    --rdzv-endpoint "$first:$((29500 + SLURM_JOB_ID % 1000))" --rdzv-id "$SLURM_JOB_ID" --max-restarts 3 -m celeba_gan "$@" &
trap 'stopped=yes; kill -TERM %1' USR1
status=0
wait %1 || status=$?
if [ "$stopped" = yes ]; then
    wait %1 || true
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
