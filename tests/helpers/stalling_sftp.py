"""The server's side of SFTP, which stops answering when a client has sent as many bytes as the file `limit` says.

    python stalling_sftp.py SFTP_SERVER FOLDER

`limit` lies in the folder; without it, nothing is special. The file `stalled` says that it happened, the file `ended`
that the client has gone and all that it sent before is on disk.
"""

import os
import subprocess
import sys
from pathlib import Path

BLOCK = 2**16


def main(program: str, folder: Path) -> None:
    """Hand the client's bytes on, up to the limit; then swallow them."""
    if not (folder / "limit").exists():
        os.execv(program, [program])
    left = int((folder / "limit").read_text())
    with subprocess.Popen([program], stdin=subprocess.PIPE, bufsize=0) as server:
        assert server.stdin
        while left:
            block = os.read(0, min(left, BLOCK))
            if not block:
                return
            server.stdin.write(block)
            left -= len(block)
        (folder / "stalled").touch()
        while os.read(0, BLOCK):
            pass
    (folder / "ended").touch()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
