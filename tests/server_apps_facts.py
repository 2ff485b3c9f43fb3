"""What the tests know of the answers of ``server_apps``, which itself needs an audit directory to be imported."""

FILE_BYTES = 200_000
CHUNKS = [b"hel", b"lo ", b"", b"stream"]
FLOOD_CHUNK_BYTES = 65_536
FLOOD_CHUNKS = 400  # more than the sockets of both ends hold
