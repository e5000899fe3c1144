"""Something must be set up first, or whoever asks may not."""

from __future__ import annotations

from holdfast.contract.errors.base import StoreError
from holdfast.contract.errors.codes import ErrorCode
from holdfast.contract.errors.facts import Fact


class AdapterRequired(StoreError, code=ErrorCode.ADAPTER_REQUIRED):
    """The builder needs an adapter.

    Next: give the builder an adapter before `build()`.
    """


class ServiceRequired(StoreError, code=ErrorCode.SERVICE_REQUIRED):
    """The builder needs a service name.

    Next: give the builder a service name before `build()`.
    """


class ScopeRequired(StoreError, code=ErrorCode.SCOPE_REQUIRED):
    """A required scope is missing.

    Next: open the scope that the message names first.
    """


class EnvironmentRequired(StoreError, code=ErrorCode.ENVIRONMENT_REQUIRED):
    """The call needs a server environment.

    Next: call it where that environment is.
    """


class InvalidScopeKey(StoreError, ValueError, code=ErrorCode.INVALID_SCOPE_KEY):
    """The scope key was not declared.

    Next: declare the scope with the builder, or correct the key.
    """


class InvalidScopeIdentifier(StoreError, ValueError, code=ErrorCode.INVALID_SCOPE_IDENTIFIER):
    """The scope identifier is empty or of the wrong type.

    Next: give a text that is not empty.
    """


class FeatureDisabled(StoreError, code=ErrorCode.FEATURE_DISABLED):
    """The feature is switched off.

    Next: switch the feature on in the configuration.
    """


class PermissionDenied(StoreError, code=ErrorCode.PERMISSION_DENIED):
    """Whoever asks may not do that.

    Next: ask as a user who may, or have the rule changed.
    """

    path: Fact[str | None] = Fact("the file")


class Unauthenticated(StoreError, code=ErrorCode.UNAUTHENTICATED):
    """Whoever asks is not known.

    Next: sign in and try again.
    """
