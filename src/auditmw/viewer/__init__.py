"""The viewer: a web page for the events of an audit directory, to mount in an application or to serve alone.

    viewer = ViewerApp("/var/lib/shop/audit", authorize=lambda request: Viewer("ops") if is_staff(request) else None)
    app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/audit": viewer})  # Flask, or any WSGI application
    app.mount("/audit", ASGIViewerApp(viewer))                             # Starlette, FastAPI

It is closed by default: without `authorize` nobody is let in, unless `open_to_all=True` says that all are.
"""

try:
    from auditmw.viewer.app import ViewerApp
    from auditmw.viewer.asgi import ASGIViewerApp
    from auditmw.viewer.people import Authorize, Viewer
    from auditmw.viewer.token import TokenAccess
except ModuleNotFoundError as error:
    if error.name != "duckdb":
        raise
    raise ModuleNotFoundError("the viewer needs DuckDB: pip install 'auditmw[viewer]'", name="duckdb") from error

__all__ = ["ASGIViewerApp", "Authorize", "TokenAccess", "Viewer", "ViewerApp"]
