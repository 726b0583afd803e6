"""Where a command of a cluster is typed: runs are handed out, waited for and collected from their directories."""

import json
import os
import signal
import time
from contextlib import nullcontext

from equidiff_cli.cluster import slurm
from equidiff_cli.cluster.watch import from_beside, watching
from equidiff_cli.engine.interrupt import deferred
from equidiff_cli.errors import Failed, Stopped, WrongRequest
from equidiff_cli.files import whole
from equidiff_cli.request.launchers import here, launch
from equidiff_cli.runs import names
from equidiff_cli.runs.parse import last_line

POLL = (1.0, 10.0)  # seconds between two looks at the queue: the first, and the longest, to which it grows
AGAIN = 5  # times that runs are submitted again whose jobs Slurm took away without queuing them again itself
LOST = ("PREEMPTED", "TIMEOUT", "NODE_FAIL", "BOOT_FAIL")  # how it says so, depending on what it noticed first
LATE = 3  # looks for the files of a job that has left the queue: a shared file system may show them late


def front(asked, name, say):
    """Have everything done that is `asked`; returns the failures, `name`s each finished run in order.

    Args:
        name: called with the directory of a run.
        say: called with a line for who waits.
    """
    todo = [task for run in asked.runs if not names.is_finished(run.directory) for task in run.tasks]
    todo = [task for task in todo if not names.is_finished(task.directory)]
    codes, broken = {}, None
    if todo and asked.engine == "slurm":
        for _ in range(1 + AGAIN):
            if not in_queue(asked, todo, say):
                return []
            todo = [task for task in todo if not there(task) and lost(asked, task)]
            if not todo:
                break
            say(f"{len(todo)} runs lost their job and are submitted again")
    elif todo:
        asked.prepare()
        codes, broken = launched(asked, todo)
    return collect(asked, name, codes, broken)


def launched(asked, todo):
    """Have tasks done by an engine of Hydra's; the exit codes of the jobs, by task, or why the engine broke down."""
    jobs = chunks(todo, asked.cluster["chunk"])
    try:
        with nullcontext() if here(asked.cluster) else from_beside(asked.runs):
            codes = launch(asked.cluster, asked.sweep, asked.sweep / names.JOBS_LOGS, jobs)
    except KeyboardInterrupt:
        raise Stopped(signal.SIGINT, again=asked.again) from None
    except Failed as error:
        return {}, error
    return {key(asked, task): code for code, tasks in zip(codes, jobs, strict=True) for task in tasks}, None


def chunks(tasks, size):
    """Lists of at most `size` neighbours."""
    return [tasks[i : i + size] for i in range(0, len(tasks), size)]


def in_queue(asked, todo, say):
    """Submit what no job of a queue has, and wait for all of it; whether it has ended, and not only been submitted."""
    known = given(asked)
    still = slurm.queue(set(known.values())) if known else {}
    if still is None:
        raise Failed("cluster=slurm: Slurm does not answer, so it is unknown whether these runs are in work already")
    new, signals = [task for task in todo if known.get(key(asked, task)) not in still], []
    if new:
        jobs = chunks(new, asked.cluster["chunk"])
        slurm.check(asked.cluster, len(jobs))
        asked.prepare()
        with deferred() as signals:  # else jobs would be in the queue that nobody knows of
            ids = slurm.submit(asked.cluster, asked.sweep / names.JOBS_LOGS, jobs)
            known |= {key(asked, task): one for one, tasks in zip(ids, jobs, strict=True) for task in tasks}
            with whole(asked.sweep / names.JOBS) as beside:
                beside.write_text(json.dumps(known, indent=1) + "\n")
    ids = {known[key(asked, task)] for task in todo}
    arrays = ", ".join(dict.fromkeys(one.partition("_")[0] for one in sorted(ids)))
    have = f"{len(new)} runs submitted" if new else "found in the queue"
    say(f"Slurm job {arrays}: {have}; {os.path.relpath(asked.sweep)} fills")
    if not asked.cluster["wait"]:
        say(f"not waiting; the same command with {asked.again} cluster.wait=true collects, scancel {arrays} stops it")
        return False
    try:
        if signals:
            raise KeyboardInterrupt
        wait(asked, ids, say)
    except KeyboardInterrupt:
        said = f"interrupted; jobs go on, scancel {arrays} stops them"
        raise Stopped(signal.SIGINT, said, asked.again) from None
    return True


def lost(asked, task):
    """Whether the job of a task was taken away, so that nothing is wrong with what it did."""
    return slurm.ended(given(asked)[key(asked, task)]).state in LOST


def given(asked):
    """Which job was given each task of an earlier command: key -> id."""
    file = asked.sweep / names.JOBS
    return json.loads(file.read_text()) if file.is_file() else {}


def key(asked, task):
    """How a task is known in the table of jobs."""
    return task.directory.relative_to(asked.sweep).as_posix()


def wait(asked, ids, say):
    """Until no job of `ids` is in the queue; says how far they are."""
    pause, silent = POLL[0], False
    with watching(asked.runs) as watch:
        while (states := slurm.queue(ids)) != {}:
            if states is None:
                if not silent:
                    say("Slurm does not answer; waiting for it")
                silent = True
            else:
                silent = False
                waiting = [reason for reason in states.values() if reason != "running"]
                why = f" ({', '.join(dict.fromkeys(waiting))})" if waiting else ""
                watch.see(f"jobs: {len(states) - len(waiting)} running, {len(waiting)} queued{why}")
            time.sleep(pause)
            pause = min(1.2 * pause, POLL[1])
        watch.see("jobs: none left")


def collect(asked, name, codes, broken):
    """Merge what is shared, `name` finished runs in order; returns a failure for each run that is not.

    Args:
        codes, broken: of `launched`.
    """
    failures, known = [], given(asked)
    for run in asked.runs:
        wrong = [task for task in run.tasks if not there(task)] if not names.is_finished(run.directory) else []
        if asked.engine == "slurm":
            failures += [failure(asked, task, known.get(key(asked, task))) for task in wrong]
        else:
            failures += [reason(asked, task, codes.get(key(asked, task)), broken) for task in wrong]
        if wrong:
            continue
        if run.shared:
            try:
                merged(run.directory)
            except ValueError as error:
                failures.append(Failed(f"{os.path.relpath(run.directory)}: {error}"))
                continue
        name(run.directory)
    asked.note()
    return failures


def there(task):
    """Whether a task is finished, by its files; they are looked for more than once."""
    for look in range(LATE):
        if names.is_finished(task.directory):
            return True
        time.sleep(0.5 * bool(look))
        os.scandir(task.directory.parent).close() if task.directory.parent.is_dir() else None
    return False


def merged(directory):
    """Merge the shards of a run, for which torch is imported."""
    from equidiff_cli.metrics.interval import clopper_pearson
    from equidiff_cli.request.build import recorded
    from equidiff_cli.request.method import method_of
    from equidiff_cli.runs.merge import merge

    def account(run, records):
        method = method_of(recorded(run))
        return method.account(records, clopper_pearson)[0] if hasattr(method, "account") else {}

    merge(directory, account)


def failure(asked, task, job):
    """What to say of a task that did not end well: its directory, and why by Slurm's book or the end of its log."""
    book = slurm.ended(job) if job else slurm.Ended()
    where, killed = os.path.relpath(task.directory), None
    if book.state not in (None, "FAILED", "COMPLETED"):
        killed = book.state
    elif book.code and book.code > 2:
        killed = f"ended with exit code {book.code}"
    if killed:  # from outside, so its log does not say why
        return Failed(f"{where}: {killed} (Slurm job {job}); the same command with {asked.again} goes on")
    # submitit keeps what a job says on standard error
    said = told(task.directory / names.LOG) or (job and told(asked.sweep / names.JOBS_LOGS / f"{job}_0_log.err"))
    return by_code(book.code)(f"{where}: {said or 'did not finish, and left no log'}")


def reason(asked, task, code, broken):
    """The same where an engine of Hydra's did it: by the end of its log, or what the engine broke down with."""
    where = os.path.relpath(task.directory)
    if broken:
        return Failed(f"{where}: {broken}; the same command with {asked.again} goes on")
    said = told(task.directory / names.LOG)
    return by_code(code)(f"{where}: {said or f'did not finish; {asked.sweep / names.JOBS_LOGS} has what was said'}")


def by_code(code):
    """The failure that ends with an exit code, as far as it is known."""
    return WrongRequest if code == WrongRequest.code else Failed


def told(log):
    """How a log ends, without what a logger puts before it; "" if there is none."""
    return last_line(log).rpartition("equidiff: ")[2].strip()
