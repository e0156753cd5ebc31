"""The application over real HTTP, in this process."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import app
from infra.local import server


@contextmanager
def served() -> Iterator[int]:
    """The port at which the application is, until the block ends."""
    serving = server.make(app.app, host="127.0.0.1", port=0)
    thread = threading.Thread(target=serving.server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield serving.server.server_address[1]
    serving.shutdown()
    serving.server.server_close()
    thread.join()
