"""Django REST framework: DataPunt's view sets, which tell ``request.audit_log`` what was looked for, found and changed.

from auditmw.contrib.datapunt_rest_framework import AuditLogViewSet  # was: django_audit_log.rest_framework.viewsets
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rest_framework.filters import SearchFilter
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ModelViewSet, ReadOnlyModelViewSet

from auditmw.contrib.datapunt.problems import problems


class AuditLogReadOnlyViewSet(ReadOnlyModelViewSet):  # type: ignore[misc]  # REST framework has no types
    """Tells what is retrieved and listed. `audit_log_list_response`: whether a list's results are in the line."""

    audit_log_list_response = False

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Retrieve an object."""
        response = super().retrieve(request, *args, **kwargs)
        self._tell(request, "Retrieve {}", self._get_lookup_kwargs, response.data)
        return response

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """List objects."""
        response = super().list(request, *args, **kwargs)
        results = response.data if self.audit_log_list_response else None
        self._tell(request, "List {}", lambda: self._get_filter_kwargs(request), results)
        return response

    def _tell(
        self, request: Request, message: str, looked_for: Callable[[], dict[str, Any]] | None, results: Any
    ) -> None:
        audit_log = getattr(request, "audit_log", None)
        if audit_log is None:  # an exempt URL
            return
        try:
            model = self._get_model_name()
            if looked_for is not None:
                audit_log.set_filter(object_name=model, kwargs=looked_for())
            if results is not None:
                audit_log.set_results(results)
            audit_log.info(message.format(model))
        except Exception as error:
            problems.count("views", "DataPunt's audit line lacks what the view did", error)

    def _get_lookup_kwargs(self) -> dict[str, Any]:
        return {self.lookup_field: self.kwargs.get(self.lookup_url_kwarg or self.lookup_field, "")}

    def _get_filter_kwargs(self, request: Request) -> dict[str, Any]:
        """The search terms, under the text of the list of searched fields, as the original has it."""
        searches = [backend() for backend in self.filter_backends if issubclass(backend, SearchFilter)]
        terms = [term for search in searches for term in search.get_search_terms(request)]
        return {str(getattr(self, "search_fields", [])): terms}

    def _get_model_name(self) -> str:
        return str(self.get_queryset().model.__name__)


class AuditLogViewSet(AuditLogReadOnlyViewSet, ModelViewSet):  # type: ignore[misc]
    """Tells what is created, updated and destroyed too."""

    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Create an object."""
        response = super().create(request, *args, **kwargs)
        self._tell(request, "Created {} object", None, response.data)
        return response

    def update(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Update an object, or a part of it."""
        message = "Partial update of {}" if kwargs.get("partial", False) else "Update of {}"
        response = super().update(request, *args, **kwargs)
        self._tell(request, message, self._get_lookup_kwargs, response.data)
        return response

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Destroy an object."""
        response = super().destroy(request, *args, **kwargs)
        self._tell(request, "Destroy {}", self._get_lookup_kwargs, response.data)
        return response
