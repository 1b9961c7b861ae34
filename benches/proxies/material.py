"""Certificates, keys and tokens for one run, made with the openssl command."""

import base64
import hashlib
import hmac
import json
import subprocess
import time
from pathlib import Path

ISSUER = "https://id.example.test"
AUDIENCE = "bench"
KID = "bench"


def openssl(*arguments, data=b""):
    return subprocess.run(
        ["openssl", *arguments], input=data, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ).stdout


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Material:
    """All files of one run, in one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.certificate = folder / "server.pem"
        self.certificate_key = folder / "server.key"
        self.combined = folder / "server.both.pem"
        openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
            "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout", str(self.certificate_key), "-out", str(self.certificate),
        )
        self.combined.write_text(self.certificate.read_text() + self.certificate_key.read_text())
        self.secret = b64(hashlib.sha256(str(time.time_ns()).encode()).digest() * 2)[:64]
        self.key("RS256", "RSA", "rsa_keygen_bits:2048")
        self.key("ES256", "EC", "ec_paramgen_curve:P-256")
        (folder / "HS256.secret").write_text(self.secret)
        for algorithm in ("RS256", "ES256", "HS256"):
            jwks = {"keys": [self.jwk(algorithm)]}
            (folder / f"{algorithm}.jwks.json").write_text(json.dumps(jwks))

    def key(self, algorithm, kind, option):
        private = self.folder / f"{algorithm}.key"
        openssl("genpkey", "-algorithm", kind, "-pkeyopt", option, "-out", str(private))
        openssl("pkey", "-in", str(private), "-pubout", "-out", str(self.public(algorithm)))

    def public(self, algorithm):
        return self.folder / f"{algorithm}.pub.pem"

    def jwk(self, algorithm):
        common = {"alg": algorithm, "kid": KID, "use": "sig"}
        if algorithm == "HS256":
            return {"kty": "oct", "k": b64(self.secret.encode()), **common}
        if algorithm == "RS256":
            text = openssl("rsa", "-pubin", "-in", str(self.public(algorithm)), "-noout", "-modulus").decode()
            return {"kty": "RSA", "n": b64(bytes.fromhex(text.strip().split("=")[1])), "e": "AQAB", **common}
        der = openssl("pkey", "-pubin", "-in", str(self.public(algorithm)), "-outform", "DER")
        return {"kty": "EC", "crv": "P-256", "x": b64(der[-64:-32]), "y": b64(der[-32:]), **common}

    def tokens(self, algorithm, count):
        """Good tokens, each of another subject."""
        return [self.token(algorithm, f"user-{number}") for number in range(count)]

    def token(self, algorithm, subject):
        now = int(time.time())
        header = {"alg": algorithm, "typ": "JWT", "kid": KID}
        claims = {
            "iss": ISSUER, "aud": AUDIENCE, "sub": subject, "preferred_username": subject,
            "iat": now, "exp": now + 7200,
        }
        signed = ".".join(b64(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        return f"{signed}.{b64(self.signature(algorithm, signed.encode()))}"

    def signature(self, algorithm, data):
        if algorithm == "HS256":
            return hmac.new(self.secret.encode(), data, hashlib.sha256).digest()
        der = openssl("dgst", "-sha256", "-sign", str(self.folder / f"{algorithm}.key"), data=data)
        if algorithm == "RS256":
            return der
        # ECDSA-Sig-Value: SEQUENCE { INTEGER r, INTEGER s }, each of up to 33 bytes.
        r_end = 4 + der[3]
        s = der[r_end + 2 :]
        return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (der[4:r_end], s))
