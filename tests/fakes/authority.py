"""A certificate authority for tests, made by the `openssl` program, and the two ends of TLS that trust it."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from attrs import frozen

_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")


@frozen
class Authority:
    """Of `localhost` and 127.0.0.1. `certificate`: the file whom to trust."""

    certificate: Path
    _pair: tuple[Path, Path]

    def server(self) -> ssl.SSLContext:
        """Speaks HTTP/1.1 and 2, as most do."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*self._pair)
        context.set_alpn_protocols(["h2", "http/1.1"])
        return context

    def client(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.certificate))
        context.set_alpn_protocols(["http/1.1"])
        return context


def make_authority(directory: Path) -> Authority:
    """Skips the test where there is no `openssl`."""
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("needs the openssl program")

    def certificate(name: str, *options: str) -> tuple[Path, Path]:
        files = directory / f"{name}.pem", directory / f"{name}.key"
        argv = [program, "req", "-x509", *_KEY, "-subj", f"/CN={name}", "-out", str(files[0]), "-keyout", str(files[1]), *options]
        subprocess.run(argv, check=True, capture_output=True)
        return files

    root, key = certificate("root")
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    pair = certificate(
        "leaf", "-CA", str(root), "-CAkey", str(key), "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"
    )
    return Authority(root, pair)
