"""What goes out: the base of every answer, and why a request was refused (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from types import MappingProxyType
from typing import Final

from aiohttp import web
from pydantic import BaseModel, ConfigDict

PROBLEM_TYPE: Final = "application/problem+json"


class Answer(BaseModel):
    """Base of what goes out."""

    model_config = ConfigDict(use_attribute_docstrings=True, ser_json_inf_nan="null")


class FieldProblem(Answer):
    """One thing that is wrong with what was sent."""

    where: str = ""
    """Path of the value: `cameras.front.source.url`; empty: the whole."""
    reason: str
    line: int | None = None
    """Of a text that was sent, from 1."""


class ProblemAnswer(Answer):
    """Why a request was refused (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    """What is wrong, and what to do."""
    problems: tuple[FieldProblem, ...] = ()


class Refused(Exception):  # noqa: N818 - named for what happened
    """The request cannot be answered as it was meant."""

    def __init__(
        self,
        status: int,
        detail: str,
        problems: tuple[FieldProblem, ...] = (),
        headers: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        super().__init__(detail)
        self.status = HTTPStatus(status)
        self.detail = detail
        self.problems = problems
        self.headers = headers

    def response(self) -> web.Response:
        """Return it as an answer."""
        answer = ProblemAnswer(
            title=self.status.phrase,
            status=self.status,
            detail=self.detail,
            problems=self.problems,
        )
        return web.Response(
            status=self.status,
            body=answer.model_dump_json().encode(),
            content_type=PROBLEM_TYPE,
            headers=dict(self.headers),
        )
