"""Questions to an audit directory: one query language, pages, counts, charts and journeys, over archive and journal."""

try:
    from auditmw.query.comparison import Comparison, compare, scope_before
    from auditmw.query.context import Context, Found, context, event
    from auditmw.query.count import Count, count
    from auditmw.query.engine import Engine
    from auditmw.query.facets import Facet, Value, facets
    from auditmw.query.histogram import Histogram, histogram
    from auditmw.query.journeys.conditions import UnusableQueryError
    from auditmw.query.journeys.conversion import Conversion, conversion
    from auditmw.query.journeys.funnel import AttemptPage, Funnel, FunnelDefinition, funnel, funnel_units
    from auditmw.query.journeys.paths import Paths, paths
    from auditmw.query.journeys.retention import Retention, retention
    from auditmw.query.language import Query, parse
    from auditmw.query.language.predicate import Predicate, predicate
    from auditmw.query.page import Entry, Page, page, pages
    from auditmw.query.partial import Partial, QueryError
    from auditmw.query.question import Question
    from auditmw.query.scope import EVERYTHING, Scope
    from auditmw.query.summary import Share, Summary, Top, Traffic, summary
    from auditmw.query.timeline import Life, Timeline, Visit, timeline
except ModuleNotFoundError as error:
    if error.name != "duckdb":
        raise
    raise ModuleNotFoundError("queries need DuckDB: pip install 'auditmw[query]'", name="duckdb") from error

__all__ = [
    "EVERYTHING",
    "AttemptPage",
    "Comparison",
    "Context",
    "Conversion",
    "Count",
    "Engine",
    "Entry",
    "Facet",
    "Found",
    "Funnel",
    "FunnelDefinition",
    "Histogram",
    "Life",
    "Page",
    "Partial",
    "Paths",
    "Predicate",
    "Query",
    "QueryError",
    "Question",
    "Retention",
    "Scope",
    "Share",
    "Summary",
    "Timeline",
    "Top",
    "Traffic",
    "UnusableQueryError",
    "Value",
    "Visit",
    "compare",
    "context",
    "conversion",
    "count",
    "event",
    "facets",
    "funnel",
    "funnel_units",
    "histogram",
    "page",
    "pages",
    "parse",
    "paths",
    "predicate",
    "retention",
    "scope_before",
    "summary",
    "timeline",
]
