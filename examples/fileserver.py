"""A small file server with an audit journal; needs `pip install auditmw flask waitress`.

    python examples/fileserver.py var        # files and journal go below var/
    auditmw tail var/audit -f                # in another terminal

The app, with what each of its events means, is `auditmw.cli.fileserver`, which `auditmw demo` runs too.
"""

import secrets
import sys
from pathlib import Path

from waitress import serve
from werkzeug.security import generate_password_hash

from auditmw.cli.fileserver import create_app

LISTEN = "127.0.0.1:8000"

home = Path(sys.argv[1] if len(sys.argv) > 1 else "var").absolute()
password = secrets.token_urlsafe(9)
app = create_app(home, {"alice": generate_password_hash(password)})

if __name__ == "__main__":
    print(f"http://{LISTEN}/, user alice, password {password}; the journal is in {home / 'audit'}")
    serve(app, listen=LISTEN)
