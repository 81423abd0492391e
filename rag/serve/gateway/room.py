"""Room for callers of this server's own models, among those who ask questions."""

from collections.abc import Iterator
from contextlib import contextmanager

from rag.base.types import Lane
from rag.serve.gateway.call import Call


@contextmanager
def room(call: Call, *, n_texts: int, bulk_texts: int) -> Iterator[Lane]:
    """Inside, texts may be read, in the lane that is given. Raises Overloaded and QuotaExceeded, as a question does.

    Up to `bulk_texts` they are work like a question's. More wait behind the questions, in a queue with a bound of its
    own, and would tell wrong of how long a question takes: they are let in like one and not counted as one.
    """
    admission, tenant = call.services.admission, call.principal.tenant
    if n_texts < bulk_texts:
        with admission.admitted(tenant):
            yield "interactive"
    else:
        admission.check(tenant)
        yield "bulk"
