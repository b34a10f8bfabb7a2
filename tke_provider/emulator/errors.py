"""The one error of the cloud: a documented code and a sentence."""

from __future__ import annotations


class CloudError(Exception):
    """What goes into ``Response.Error``; always sent with HTTP status 200 ([D 1388/114322]).

    :param code: One of the codes documented for the action or common to all actions.
    :param message: The sentence. Clients match on the code; the real cloud localises its messages.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def missing(name: str) -> CloudError:
    """A required parameter is not there. Message: [K]."""
    return CloudError("MissingParameter", f"The request is missing a required parameter `{name}`.")


def unknown(name: str) -> CloudError:
    """A parameter that the metadata does not know. Message: [K]."""
    return CloudError("UnknownParameter", f"The parameter `{name}` is not recognized.")
