"""A certificate authority for one run of the tests, with certificates for a server and for a client."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path
from urllib.parse import urlencode

from servers import HOST

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2")


class Certificates:
    """PEM files in a folder: `ca.pem`, `server.pem`, `client.pem`, their `.key`; `other.pem`, another authority."""

    def __init__(self, root: Path) -> None:
        self.root = root
        usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
        for name in ("ca", "other"):
            _openssl(
                root,
                "req",
                "-x509",
                *_KEY,
                "-keyout",
                f"{name}.key",
                "-out",
                f"{name}.pem",
                "-subj",
                f"/CN={name}",
                *usage,
            )
        for name in ("server", "client"):
            text = f"subjectAltName=DNS:localhost,IP:{HOST}\nbasicConstraints=CA:FALSE\n"
            (root / f"{name}.ext").write_text(text, encoding="ascii")
            _openssl(root, "req", *_KEY[:-2], "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
            signed = ("-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", f"{name}.ext")
            _openssl(root, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.pem")

    def path(self, name: str) -> str:
        """The path of a file."""
        return str(self.root / name)

    @property
    def options(self) -> str:
        """The options of a URL for a client that has a certificate."""
        files = {"ca": "ca.pem", "certificate": "client.pem", "key": "client.key"}
        return urlencode({option: self.path(name) for option, name in files.items()}, safe="/")

    def of_a_server(self, *, asks: bool = True) -> ssl.SSLContext:
        """TLS for a server; it wants a certificate of its clients, if it `asks`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.path("server.pem"), self.path("server.key"))
        if asks:
            context.load_verify_locations(self.path("ca.pem"))
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _openssl(root: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=root, check=True, capture_output=True)
