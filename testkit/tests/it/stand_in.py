#!/usr/bin/env python3
"""Stands in for the product: up --data DIR --port N, and a word on how to end."""

import json
import os
import pathlib
import signal
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        known = self.headers.get("authorization") == "Bearer oag_key"
        self.send_response(200 if self.path == "/health/ready" or known else 401)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


command, data, port, *rest = sys.argv[1], *sys.argv[3:6:2], *sys.argv[6:]
if "--broken" in rest:
    sys.exit("no disk")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server = HTTPServer(("127.0.0.1", int(port)), Handler)
directory = pathlib.Path(data)
directory.mkdir(parents=True, exist_ok=True)
(directory / "admin.key").write_text("oag_key\n")
address = f"127.0.0.1:{server.server_port}"
partial = directory / "run.json.new"
partial.write_text(json.dumps({"pid": os.getpid(), "address": address}))
partial.rename(directory / "run.json")
print(f"{command}: {os.environ.get('WORD')} console  http://{address}/", flush=True)
server.serve_forever()
