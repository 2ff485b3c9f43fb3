"""Does a target of shipping have every event of an audit directory? What is missing, and sending it again."""
