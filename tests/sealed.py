"""Files of a folder, and such with a right checksum and another content, made as docs/architecture.md says."""

import hashlib
import json
from pathlib import Path


def contents(folder):
    """The bytes of every file, by its path."""
    return {file.relative_to(folder): file.read_bytes() for file in Path(folder).rglob("*") if file.is_file()}


def sealed(content, mark):
    return content.replace(mark, mark.replace(b"0" * 64, hashlib.sha256(content).hexdigest().encode()), 1)


def seal_tensors(content, place=""):
    """A safetensors file's bytes with the checksum of that place."""
    size, mark = int.from_bytes(content[:8], "little"), f"sha256:{'0' * 64} of {place};"
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = header.get("__metadata__", {}) | {"checksum": mark}
    text = json.dumps(header, ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return sealed(len(text).to_bytes(8, "little") + text + content[8 + size :], mark.encode())


def write_json(path, content, place=""):
    """Write a JSON object with the checksum of that place."""
    mark = f"sha256:{'0' * 64} of {place};"
    path.write_bytes(sealed(json.dumps(content | {"checksum": mark}).encode(), mark.encode()))
