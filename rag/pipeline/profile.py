"""How answers from the documents are written, by the model or route that writes them."""

from collections.abc import Mapping

from msgspec import Struct
from msgspec.structs import replace

from llm.routing.config import RouteConfig
from rag.base.errors import InvalidInput
from rag.base.template import ANSWERING, SUMMARISING, Template
from rag.pipeline.config import AnswerConfig
from rag.pipeline.prompts import PromptBook


class Profile(Struct, frozen=True, kw_only=True):
    """What holds for one question: the prompt, and what its caller left open. `prompt` is how the settings name it.

    A request may name one of `allowed` instead; `NAME@*` stands for every version and label of a name.
    """

    prompt: str
    template: Template
    allowed: tuple[str, ...]
    context_tokens: int
    max_tokens: int
    temperature: float


class Profiles:
    """The profile of every model: a route's own where it has one, and `[answer]` for what it does not say.

    `exchange` replaces them in one step; a profile that was given out stays as it is.
    """

    def __init__(
        self, answer: AnswerConfig, book: PromptBook | None = None, routes: Mapping[str, RouteConfig] | None = None
    ) -> None:
        self.answer = answer
        self.exchange(book or PromptBook(), routes or {})

    def exchange(self, book: PromptBook, routes: Mapping[str, RouteConfig]) -> None:
        """Goes by other prompts and routes from now on. Raises ConfigError, and then nothing has changed."""
        answer = self.answer
        default = Profile(
            prompt=answer.prompt,
            template=book.template(answer.prompt, ANSWERING, "$.answer.prompt"),
            allowed=_checked(answer.allowed_prompts, book, "$.answer.allowed_prompts"),
            context_tokens=answer.context_tokens,
            max_tokens=answer.max_tokens,
            temperature=answer.temperature,
        )
        by_route = {name: _of_route(name, route, book, default) for name, route in routes.items()}
        self._book, self._default, self._by_route = book, default, by_route

    def of(self, model: str, prompt: str | None = None) -> Profile:
        """How `model` writes, with another prompt if the request names one. Raises InvalidInput for one it may not."""
        profile = self._by_route.get(model, self._default)
        if prompt is None or prompt == profile.prompt:
            return profile
        if prompt not in profile.allowed and f"{prompt.partition('@')[0]}@*" not in profile.allowed:
            may = ", ".join(profile.allowed) or "none"
            raise InvalidInput(
                f"'{model}' may not be asked with the prompt '{prompt}', but with: {may}", pointer="/prompt"
            )
        version = self._book.find(prompt)
        if version is None or version.template.places != ANSWERING:
            raise InvalidInput(f"there is no prompt '{prompt}' to answer with", pointer="/prompt")
        return replace(profile, prompt=prompt, template=version.template)


def summary_prompts(book: PromptBook, routes: Mapping[str, RouteConfig]) -> dict[str, Template]:
    """The prompt of each route that has histories summarised. Raises ConfigError."""
    return {
        name: book.template(route.summary.prompt, SUMMARISING, f"$.routes.{name}.summary.prompt")
        for name, route in routes.items()
        if route.summary is not None
    }


def _of_route(name: str, route: RouteConfig, book: PromptBook, default: Profile) -> Profile:
    path, parameters = f"$.routes.{name}", route.parameters
    changes: dict[str, object] = {
        field: value
        for field in ("context_tokens", "max_tokens", "temperature")
        if (value := getattr(parameters, field)) is not None
    }
    if route.prompt is not None:
        changes["prompt"] = route.prompt
        changes["template"] = book.template(route.prompt, ANSWERING, f"{path}.prompt")
    if route.allowed_prompts is not None:
        changes["allowed"] = _checked(route.allowed_prompts, book, f"{path}.allowed_prompts")
    return replace(default, **changes)


def _checked(allowed: tuple[str, ...], book: PromptBook, path: str) -> tuple[str, ...]:
    for place, reference in enumerate(allowed):
        name, _, which = reference.partition("@")
        if which != "*":
            book.template(reference, ANSWERING, f"{path}[{place}]")
        elif not book.has(name):
            book.template(name, ANSWERING, f"{path}[{place}]")
    return allowed
