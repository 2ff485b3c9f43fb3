"""ClickHouse as a store of events that can be asked, as an audit directory can."""
