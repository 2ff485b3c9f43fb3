"""What the tests know of the answers of ``server_apps``, which itself needs an audit directory to be imported."""

FILE_BYTES = 200_000
CHUNKS = [b"hel", b"lo ", b"", b"stream"]
