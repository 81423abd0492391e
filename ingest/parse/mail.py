"""Mail that kreuzberg finds nothing in, such as the parts of an S/MIME message that name no type."""

from email import message_from_bytes, policy
from email.message import EmailMessage


def plain_body(data: bytes) -> str:
    """The plain text parts of a message, in order; empty when there are none."""
    message = message_from_bytes(data, policy=policy.default)
    parts = (part for part in message.walk() if part.get_content_type() == "text/plain" and not part.is_attachment())
    bodies = [_content(part) for part in parts]
    return "\n\n".join(body.strip() for body in bodies if body.strip())


def _content(part: EmailMessage) -> str:
    try:
        return str(part.get_content())
    except (LookupError, ValueError):  # a charset that nobody knows
        return ""
