from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from bee_core.config import (
    AddressConfig,
    ClientConfig,
    MethodConfig,
    PluginRef,
    RegistryConfig,
    ServerConfig,
    reference,
)
from bee_core.config.client_model import CALL_FIELDS
from bee_core.config.fault_model import FaultConfig, ServerFaultConfig
from bee_core.config.fields import keys_of, remarks
from bee_core.config.model import ApplicationConfig

PAGE = Path(__file__).parents[2] / "docs" / "configuration.md"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference.page(), (
        "run: python -m bee_core.config.reference docs/configuration.md"
    )


@pytest.mark.parametrize(
    "cls",
    [
        ApplicationConfig,
        RegistryConfig,
        ServerConfig,
        ClientConfig,
        MethodConfig,
        AddressConfig,
        FaultConfig,
        ServerFaultConfig,
    ],
)
def test_every_field_says_what_it_does_and_every_default_why(cls):
    for attribute in attrs.fields(cls):
        about = remarks(attribute)
        assert about.doc, attribute.name
        assert about.why or attribute.default is attrs.NOTHING or about.key == "-", attribute.name


def test_every_time_and_size_states_its_unit():
    for cls in (RegistryConfig, ServerConfig, ClientConfig):
        for attribute in attrs.fields(cls):
            if attribute.name.endswith(("timeout", "interval")):
                assert remarks(attribute).unit == "seconds", attribute.name
            if attribute.name in {"max_size", "max_inflated", "compress_above"}:
                assert remarks(attribute).unit == "bytes", attribute.name


def test_a_method_has_the_call_fields_of_a_service_and_no_others():
    assert {attribute.name for attribute in attrs.fields(MethodConfig)} == {*CALL_FIELDS, "name"}
    assert "balancer" not in CALL_FIELDS
    assert remarks(attrs.fields(PluginRef).name).doc


def test_the_page_can_be_written_to_a_file_or_printed(tmp_path, capsys):
    reference.main([str(tmp_path / "page.md")])
    reference.main([])
    assert (
        (tmp_path / "page.md").read_text(encoding="utf-8")
        == capsys.readouterr().out
        == reference.page()
    )


def test_the_page_has_a_row_for_every_key_also_for_the_application():
    page = reference.page()
    assert "| `name` | text | — | The program's name." in page
    for cls in (
        ApplicationConfig,
        RegistryConfig,
        ServerConfig,
        ClientConfig,
        AddressConfig,
        FaultConfig,
    ):
        for key in keys_of(cls):
            assert f"`{key}`" in page, key
    assert "| `codecs` or `macher`, `codec` |" in page
