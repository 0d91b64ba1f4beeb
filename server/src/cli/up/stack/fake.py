"""Stands for the muster program in the tests of `muster up`: `serve` answers the few
routes that are asked, `agent` only says that it is there. Both end with their input."""

import http.server
import json
import os
import pathlib
import sys
import threading

command, words = sys.argv[1], sys.argv[2:]
home = pathlib.Path(words[words.index("--home") + 1])
stack = home.parent
with open(stack / f"{command}.calls", "a") as calls:
    calls.write(" ".join(words) + "\n")


def end_with_input():
    sys.stdin.read()
    os._exit(0)


if command == "agent":
    if "--join" in words:
        (home / "identity").mkdir(exist_ok=True)
        (home / "identity" / "identity.json").write_text('{"host": "h1"}')
    (stack / "agent.up").write_text(str(os.getpid()))
    end_with_input()

if (stack / "serve.fails").exists():
    sys.exit("the journal is damaged")
(home / "token").write_text("secret\n")
fleet = {
    "cell": "test", "version": "0", "seq": 1, "epoch": 1, "started_at": "2026-11-22T10:00:00Z", "revision": None,
    "repository": "", "branch": "main", "repository_read_at": None, "held_plan": None, "freezes": [], "down": False, "alerts": [],
    "refused": [], "jobs": 1, "tasks": {"running": 2}, "healthy": 2, "hosts": 1, "hosts_reachable": 1,
    "stops_left": 1, "stops_per_minute": 1,
}
nothing = {"cpu": 0, "memory": "0B", "disk": "0B", "network": "0Mbps", "gpu": 0, "containers": 0}
fleet |= {"capacity": nothing, "allocated": nothing}
host = {
    "id": "h1", "name": "alpha", "address": "", "zone": "", "labels": {}, "ready": True, "reason": "", "warnings": [],
    "capacity": nothing, "allocated": nothing, "tasks": 0, "orphans": [], "engine": "", "system": "",
    "agent_version": "", "enrolled_at": "2026-11-22T10:00:00Z", "since": "2026-11-22T10:00:00Z",
}


class Api(http.server.BaseHTTPRequestHandler):
    def answer(self, value, status=200):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def allowed(self):
        if self.headers["Authorization"] == "Bearer secret":
            return True
        self.answer({"code": "unauthorized", "message": "no token", "hint": ""}, 401)
        return False

    def do_GET(self):
        if self.path == "/readyz":
            self.answer({})
        elif not self.allowed():
            pass
        elif self.path.startswith("/api/v1/hosts"):
            there = (stack / "agent.up").exists()
            self.answer({"items": [host | {"reachable": there}], "next": None, "total": 1})
        elif self.path == "/api/v1/fleet":
            self.answer(fleet)
            # The tasks end some looks after the order, and only where an agent hears of it.
            left = fleet["tasks"]["running"]
            if fleet["down"] and left and (stack / "agent.up").exists():
                fleet["tasks"]["running"] = left - 1
        elif self.path.startswith("/api/v1/tasks"):
            self.answer({"items": [], "next": None, "total": 0})
        else:
            self.answer({"code": "not-found", "message": self.path, "hint": ""}, 404)

    def do_POST(self):
        length = int(self.headers["Content-Length"] or 0)
        body = json.loads(self.rfile.read(length) or "null")
        if not self.allowed():
            return
        if self.path == "/api/v1/enrolments":
            self.answer({"token": "t1", "url": "", "expires_at": "2026-11-22T10:10:00Z"}, 201)
        elif self.path == "/api/v1/down":
            fleet["down"] = True
            (stack / "down.reason").write_text(body["reason"])
            self.answer({"seq": 2, "message": "going down"})

    def log_message(self, *_):
        pass


address = words[words.index("--listen") + 1]
server = http.server.ThreadingHTTPServer((address.rsplit(":")[0], int(address.rsplit(":")[1])), Api)
threading.Thread(target=server.serve_forever, daemon=True).start()
end_with_input()
