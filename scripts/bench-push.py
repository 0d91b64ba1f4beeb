"""Measures push to running: python3 bench-push.py ROUNDS, with $MUSTER_HOME/env in the environment.

Two series, each by pushing a commit to MUSTER_REPO and asking the public API
every 20 ms:

  new job    a service with one task is added  -> its task is running
  new image  that service's image is changed   -> a task runs the new version

The time begins as `git push` is called, so git's own work and its hooks are in.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

POLL_SECONDS = 0.02
LIMIT_SECONDS = 60

SPEC = """apiVersion: muster/v1
kind: Job
name: {name}
owner: bench@example.com
image: {registry}/example/web:{version}
env:
  QUIET: "1"
resources:
  cpu: 0.05
  memory: 32MiB
  disk: 1MiB
  shm: 1MiB
service:
  capacity:
    desired: 1
  rollout:
    minHealthyTime: 1s
killGrace: 2s
"""


def tasks(job):
    request = urllib.request.Request(
        f"{os.environ['MUSTER_URL']}/api/v1/tasks?job={job}",
        headers={"Authorization": f"Bearer {os.environ['MUSTER_TOKEN']}"},
    )
    with urllib.request.urlopen(request, timeout=5) as answer:
        return json.load(answer)["items"]


def git(clone, *arguments):
    done = subprocess.run(["git", "-C", str(clone), *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"git {arguments[0]} failed: {done.stderr.strip()}")


def push(clone, job, version):
    """Pushes the job with this image version; seconds until a task of that job version runs."""
    before = {task["attempt"] for task in tasks(job)}
    (clone / f"{job}.yaml").write_text(
        SPEC.format(name=job, version=version, registry=os.environ["MUSTER_REGISTRY"])
    )
    git(clone, "add", "-A")
    git(clone, "commit", "-q", "-m", f"{job}: version {version}")
    began = time.monotonic()
    git(clone, "push", "-q")
    seen = []
    while time.monotonic() - began < LIMIT_SECONDS:
        seen = tasks(job)
        if any(
            task["state"] == "running" and task["current_version"] and task["attempt"] not in before
            for task in seen
        ):
            return time.monotonic() - began
        time.sleep(POLL_SECONDS)
    said = [(task["id"], task["state"], task["reason"]) for task in seen]
    sys.exit(f"{job}: not running {LIMIT_SECONDS} s after the push; its tasks: {said}")


def settle(job):
    """Waits until nothing but the one task of the newest version is left."""
    end = time.monotonic() + LIMIT_SECONDS
    while time.monotonic() < end:
        living = [task for task in tasks(job) if task["state"] != "finished"]
        if len(living) == 1 and living[0]["state"] == "running" and living[0]["current_version"]:
            return
        time.sleep(0.1)
    sys.exit(f"{job}: its rollout did not end in {LIMIT_SECONDS} s")


def report(label, times):
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(share * len(times)))]
    print(
        f"push to running, {label:<9}  p50 {at(0.5):.2f} s   p90 {at(0.9):.2f} s   "
        f"max {times[-1]:.2f} s   ({len(times)} rounds)"
    )


def main():
    rounds = int(sys.argv[1])
    # Each round leaves a task of 0.05 CPU, and all of them are to fit two cores.
    if not 1 <= rounds <= 30:
        sys.exit("ROUNDS is a number from 1 to 30")
    with tempfile.TemporaryDirectory() as place:
        clone = pathlib.Path(place) / "clone"
        subprocess.run(["git", "clone", "-q", os.environ["MUSTER_REPO"], str(clone)], check=True)
        git(clone, "config", "user.name", "Bench")
        git(clone, "config", "user.email", "bench@example.com")
        added, changed = [], []
        for n in range(rounds):
            added.append(push(clone, f"bench-{n:03}", 1))
            print(f"  {n + 1}/{rounds}: {added[-1]:.2f} s", file=sys.stderr)
        for n in range(rounds):
            settle(f"bench-{n:03}")
            changed.append(push(clone, f"bench-{n:03}", 2))
            print(f"  {n + 1}/{rounds}: {changed[-1]:.2f} s", file=sys.stderr)
    report("new job", added)
    report("new image", changed)


if __name__ == "__main__":
    main()
