#!/bin/bash
# A real Slurm on this one machine, for tests: munged, mariadbd + slurmdbd (accounting, for sacct), slurmctld and
# NODES x slurmd, all on 127.0.0.1, started by hand (no systemd), all files below ONE folder. Needs root (apt and daemons).
#
#   bash start.sh [FOLDER]      # default ${TMPDIR:-/tmp}/equidiff-slurm; a second call finds everything running and does nothing
#   . FOLDER/env.sh                   # SLURM_CONF for sbatch, srun, sinfo, sacct ... and so for submitit
#   bash stop.sh [FOLDER]       # stops what this script started, by process id
#
# ACCOUNTING=0: no database; sacct then fails with "Slurm accounting storage is disabled", as on a minimal cluster.
# NODES=2 CPUS=1: how many nodes of how many CPUs Slurm shall believe in. Wiping FOLDER/state, FOLDER/mysql forgets jobs.
set -euo pipefail
ROOT=$(realpath -m "${1:-${TMPDIR:-/tmp}/equidiff-slurm}")
NODES=${NODES:-2} CPUS=${CPUS:-1} ACCOUNTING=${ACCOUNTING:-1} PORT=${PORT:-27017}  # PORT ... PORT+2, PORT+10+node
HOST=$(hostname -s)

# 1. packages; policy-rc.d or a missing systemd keep Debian from starting the daemons, which is fine: they are started below
packages=(slurm-wlm munge)
[ "$ACCOUNTING" = 1 ] && packages+=(slurmdbd mariadb-server)
missing=()
for p in "${packages[@]}"; do [ "$(dpkg-query -W -f='${Status}' "$p" 2>/dev/null)" = "install ok installed" ] || missing+=("$p"); done
if [ ${#missing[@]} -gt 0 ]; then
    apt=(apt-get -o DPkg::Lock::Timeout=600 -qq -y)
    "${apt[@]}" update
    DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends "${missing[@]}" >"/tmp/apt-slurm.$$.log" 2>&1 ||
        { tail -20 "/tmp/apt-slurm.$$.log" >&2; exit 1; }
fi

alive() { local pid; pid=$(cat "$ROOT/$1.pid" 2>/dev/null) && [ -n "$pid" ] && kill -0 "$pid" 2>/dev/null &&
    grep -qa "$2" "/proc/$pid/cmdline"; }  # pid file, word in the command line: a pid may have been given to another process
wait_for() { local what=$1; shift; for _ in $(seq 150); do "$@" >/dev/null 2>&1 && return; sleep 0.2; done
    echo "start.sh: $what did not come up; see $ROOT/*.log" >&2; exit 1; }

mkdir -p "$ROOT/state" "$ROOT/munge" && chmod 755 "$ROOT" "$ROOT/munge" && cd "$ROOT"
export SLURM_CONF=$ROOT/slurm.conf

# 2. munge: a key of our own, a socket of our own
[ -s munge/munge.key ] || { head -c 1024 /dev/urandom >munge/munge.key; chmod 600 munge/munge.key; }
alive munged munged || munged --force --key-file="$ROOT/munge/munge.key" --socket="$ROOT/munge/socket" \
    --pid-file="$ROOT/munged.pid" --log-file="$ROOT/munged.log" --seed-file="$ROOT/munge/seed" --num-threads=2
wait_for munged bash -c "munge -n -S '$ROOT/munge/socket' | unmunge -S '$ROOT/munge/socket'"

# 3. configuration
storage=accounting_storage/none
[ "$ACCOUNTING" = 1 ] && storage=accounting_storage/slurmdbd
cat >slurm.conf.new <<CONF
ClusterName=test
SlurmctldHost=$HOST(127.0.0.1)
SlurmctldPort=$PORT
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$ROOT/munge/socket,cred_expire=${CRED_EXPIRE:-5}
CredType=cred/munge
StateSaveLocation=$ROOT/state
SlurmdSpoolDir=$ROOT/spool.%n
SlurmctldPidFile=$ROOT/slurmctld.pid
SlurmdPidFile=$ROOT/slurmd.%n.pid
SlurmctldLogFile=$ROOT/slurmctld.log
SlurmdLogFile=$ROOT/slurmd.%n.log
MailProg=/bin/true
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SwitchType=switch/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=bf_interval=2,sched_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
KillWait=2
MinJobAge=3600
SlurmdTimeout=20
ReturnToService=2
OverTimeLimit=0
GresTypes=gpu
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=5
AccountingStorageType=$storage
AccountingStorageHost=127.0.0.1
AccountingStoragePort=$((PORT + 1))
AccountingStoragePass=$ROOT/munge/socket
NodeName=n[1-$NODES] NodeHostname=$HOST NodeAddr=127.0.0.1 Port=[$((PORT + 11))-$((PORT + 10 + NODES))] CPUs=$CPUS RealMemory=8000 Gres=gpu:1 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES DefaultTime=60 MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=${GRACE:-2}
PartitionName=fragile Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=CANCEL
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
CONF
[ "$ACCOUNTING" = 1 ] || sed -i '/^AccountingStorage\(Host\|Port\|Pass\)/d' slurm.conf.new
mv slurm.conf.new slurm.conf
echo "NodeName=n[1-$NODES] Name=gpu File=/dev/null" >gres.conf  # a GPU that is none, so that --gpus-per-node=1 is granted
cat >env.sh <<ENV
export SLURM_CONF=$ROOT/slurm.conf
ENV

# 4. accounting
if [ "$ACCOUNTING" = 1 ]; then
    if ! alive mariadbd mariadbd; then
        [ -d mysql/mysql ] || mariadb-install-db --no-defaults --datadir="$ROOT/mysql" --user=root --skip-test-db \
            --auth-root-authentication-method=normal >mariadb-install.log 2>&1
        mariadbd --no-defaults --user=root --datadir="$ROOT/mysql" --socket="$ROOT/mysql.sock" --pid-file="$ROOT/mariadbd.pid" \
            --bind-address=127.0.0.1 --port=$((PORT + 2)) --innodb-buffer-pool-size=64M --innodb-lock-wait-timeout=900 \
            --log-error="$ROOT/mariadbd.log" </dev/null >/dev/null 2>&1 &
        disown
    fi
    sql() { mariadb --no-defaults --socket="$ROOT/mysql.sock" --user=root -e "$1"; }
    wait_for mariadbd sql "select 1"
    sql "create database if not exists slurm_acct_db; create user if not exists slurm@127.0.0.1 identified by 'slurm';
         grant all on slurm_acct_db.* to slurm@127.0.0.1"
    cat >slurmdbd.conf <<CONF
AuthType=auth/munge
AuthInfo=socket=$ROOT/munge/socket
DbdHost=$HOST
DbdAddr=127.0.0.1
DbdPort=$((PORT + 1))
CommunicationParameters=NoInAddrAny
SlurmUser=root
LogFile=$ROOT/slurmdbd.log
PidFile=$ROOT/slurmdbd.pid
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=$((PORT + 2))
StorageUser=slurm
StoragePass=slurm
StorageLoc=slurm_acct_db
CONF
    chmod 600 slurmdbd.conf
    alive slurmdbd slurmdbd || slurmdbd >>slurmdbd.out 2>&1 </dev/null
    wait_for slurmdbd sacctmgr -n show cluster
    [ -n "$(sacctmgr -n show cluster test)" ] || sacctmgr -i add cluster test >/dev/null
fi

# 5. controller and nodes
alive slurmctld slurmctld || slurmctld -f "$SLURM_CONF" >>slurmctld.out 2>&1 </dev/null
wait_for slurmctld scontrol ping
for i in $(seq "$NODES"); do
    mkdir -p "spool.n$i"
    alive "slurmd.n$i" "slurmd" || slurmd -N "n$i" -f "$SLURM_CONF" >>"slurmd.n$i.out" 2>&1 </dev/null
done
idle() { [ "$(sinfo -h -N -p main -t idle,mixed,allocated,completing -o %N | sort -u | wc -l)" = "$NODES" ]; }
back() { idle || { scontrol update nodename="n[1-$NODES]" state=resume; false; }; }  # down since the last stop
wait_for "a node" back
wait_for "a job" srun --quiet -p urgent -n1 true
[ "$ACCOUNTING" != 1 ] || wait_for accounting bash -c '[ -n "$(sacct -X -n)" ]'  # a new cluster takes seconds to register
echo "Slurm $(slurmd -V | cut -d' ' -f2), nodes $(sinfo -h -p main -o '%N %t'); now: . $ROOT/env.sh"
