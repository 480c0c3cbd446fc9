"""What is configured of models, as values."""

from __future__ import annotations

import pytest

from agentwire.config_models import DEFAULT_MODELS, ParametersConfig, ProviderConfig, ProvidersConfig


def test_pool() -> None:
    """All keys of a provider, each once, the plain one first."""
    assert ProviderConfig(api_key="a", api_keys=("b", "a", "c")).pool == ("a", "b", "c")
    assert ProviderConfig().pool == ()


@pytest.mark.parametrize("field", ["api_key", "base_url", "path"])
def test_usable(field: str) -> None:
    """A key, an address or a class makes a provider one that can be asked; the embedded model always is."""
    value = {"api_key": "k", "base_url": "http://h", "path": "a:B"}[field]
    providers = ProvidersConfig(qwen=ProviderConfig(**{field: value}))  # type: ignore[arg-type]
    assert providers.usable == ("qwen", "local")
    assert not ProviderConfig(context=2000).usable


def test_every_vendor_has_a_default_model() -> None:
    """One of its own."""
    assert [*DEFAULT_MODELS] == [*ProvidersConfig().remote, "local"]
    assert all(model.startswith(f"{name}/") for name, model in DEFAULT_MODELS.items())


def test_what_is_told_of_a_model() -> None:
    """Only what is said, also what is said to be nothing."""
    assert ParametersConfig().told == {}
    assert ParametersConfig(thinking=False, extra={}, temperature=0).told == {"thinking": False, "extra": {}, "temperature": 0.0}


def test_wrong_values_cannot_be_built() -> None:
    """Not by code either."""
    with pytest.raises(ValueError, match="expected one of"):
        ProviderConfig(dialect="telnet")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="visible ASCII"):
        ProviderConfig(api_keys=("a b",))
