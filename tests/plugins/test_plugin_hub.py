from __future__ import annotations

import importlib.metadata
import os
import sys
import time
import types
from textwrap import dedent
from typing import Annotated, Any

import attrs
import pytest

import bee_core
from bee_core.config import PluginRef
from bee_core.errors import BeeError, ConfigError, PluginError
from bee_core.hookspecs import REGISTER_HOOKS, hookimpl
from bee_core.options import OptionError, Plugin
from bee_core.plugins.hub import PluginHub, parse_disabled
from bee_core.plugins.listing import list_installed
from bee_core.plugins.registered import OBJECT, option_error
from support.plugin_objects import offering
from support.plugin_site import CODEC


@attrs.frozen
class Ref:
    name: str
    options: dict = attrs.field(factory=dict)
    path: str = "bee.rpc.client.calc.codec"


class OneCodec:
    def __init__(self, name="mine"):
        self.name = name

    @hookimpl
    def bee_register_codecs(self, registry):
        registry.add(self.name, lambda: f"{self.name}, made")


# ── loading by name ──


def test_a_plugin_is_found_by_its_entry_point(site):
    site.codec("alpha_codec", "alpha")
    registered = PluginHub().load("codec", "alpha")
    assert (registered.kind, registered.name, registered.distribution, registered.version) == (
        "codec",
        "alpha",
        "dist-alpha_codec",
        "1.0",
    )
    assert registered.factory() == "alpha of alpha_codec"


def test_only_the_plugin_that_is_named_is_imported(site):
    site.codec("alpha_codec", "alpha")
    site.codec("beta_codec", "beta")
    hub = PluginHub()
    assert "alpha_codec" not in sys.modules
    hub.load("codec", "alpha")
    assert "alpha_codec" in sys.modules
    assert "beta_codec" not in sys.modules


def test_a_plugin_is_registered_under_kind_and_name_and_asked_once(site):
    site.codec("alpha_codec", "alpha")
    hub = PluginHub()
    calls = []
    hub.manager.add_hookcall_monitoring(lambda name, *_: calls.append(name), lambda *_: None)
    assert hub.load("codec", "alpha") is hub.load("codec", "alpha")
    assert calls == ["bee_register_codecs"]
    assert hub.manager.has_plugin("codec:alpha")


def test_loading_one_plugin_does_not_call_the_hooks_of_another(site):
    site.module(
        "counting",
        "from bee_core.hookspecs import hookimpl\n"
        "calls = []\n"
        "@hookimpl\n"
        "def bee_register_codecs(registry):\n"
        "    calls.append(1)\n"
        '    registry.add("counting", list)\n',
    )
    site.distribution("counting", {"codec": {"counting": "counting"}})
    site.codec("beta_codec", "beta")
    hub = PluginHub()
    hub.load("codec", "counting")
    hub.load("codec", "beta")
    assert sys.modules["counting"].calls == [1]


def test_the_same_name_in_two_kinds_is_two_plugins(site):
    site.module("alpha_codec", name="both")
    site.module("alpha_fallback", CODEC.replace("codecs", "fallbacks"), name="both")
    site.distribution(
        "two-kinds", {"codec": {"both": "alpha_codec"}, "fallback": {"both": "alpha_fallback"}}
    )
    hub = PluginHub()
    assert hub.load("codec", "both").factory() == "both of alpha_codec"
    assert hub.load("fallback", "both").factory() == "both of alpha_fallback"


def test_one_module_serves_several_entry_points(site):
    site.module(
        "shared",
        dedent(CODEC).replace("{name}", "one")
        + '    registry.add("two", lambda: 2)\n'
        + "\n@hookimpl\n"
        "def bee_register_limiters(registry):\n"
        '    registry.add("one", lambda: 1)\n',
    )
    site.distribution(
        "shared", {"codec": {"one": "shared", "two": "shared"}, "limiter": {"one": "shared"}}
    )
    hub = PluginHub()
    assert hub.load("codec", "two").factory() == 2
    assert hub.load("codec", "one").factory() == "one of shared"
    assert hub.load("limiter", "one").factory() == 1


def test_an_entry_point_may_name_an_object_in_a_module(site):
    site.module(
        "holder",
        """
        from bee_core.hookspecs import hookimpl

        class Plugin:
            @hookimpl
            def bee_register_codecs(self, registry):
                registry.add("held", lambda: "held")

        plugin = Plugin()
        """,
    )
    site.distribution("holder", {"codec": {"held": "holder:plugin"}})
    assert PluginHub().load("codec", "held").factory() == "held"


def test_a_name_that_no_entry_point_promises_comes_with_the_plugin_that_adds_it(site):
    site.module(
        "generous",
        dedent(CODEC).replace("{name}", "promised")
        + '    registry.add("bonus", lambda: "bonus")\n',
    )
    site.distribution("generous", {"codec": {"promised": "generous"}})
    hub = PluginHub()
    hub.load("codec", "promised")
    assert hub.load("codec", "bonus").factory() == "bonus"


def test_two_hubs_share_nothing(site):
    site.codec("alpha_codec", "alpha")
    first, second = PluginHub(plugins=[OneCodec()]), PluginHub()
    first.load("codec", "alpha")
    assert not second.manager.has_plugin("codec:alpha")
    with pytest.raises(PluginError, match="unknown codec 'mine'"):
        second.load("codec", "mine")


def test_entry_points_can_be_handed_in():
    with pytest.raises(PluginError, match="no codec is installed"):
        PluginHub(entry_points=[]).load("codec", "json")


# ── names that cannot be had ──


def test_an_unknown_name_lists_what_is_installed_and_guesses(site):
    site.codec("alpha_codec", "alpha")
    with pytest.raises(
        PluginError,
        match=r"^bee\.x\.codec: unknown codec 'alhpa'; installed: .*alpha.*; did you mean "
        r"'alpha'\?$",
    ):
        PluginHub().load("codec", "alhpa", path="bee.x.codec")


def test_two_distributions_with_one_name_are_an_error_that_names_both(site):
    site.codec("alpha_codec", "alpha", "first-dist")
    site.codec("other_codec", "alpha", "second-dist")
    with pytest.raises(
        PluginError,
        match=r"codec 'alpha' is there more than once: first-dist 1\.0 \(alpha_codec\) and "
        r"second-dist 1\.0 \(other_codec\)",
    ):
        PluginHub().load("codec", "alpha")


def test_a_duplicate_that_nobody_names_harms_nobody(site):
    site.codec("alpha_codec", "alpha", "first-dist")
    site.codec("other_codec", "alpha", "second-dist")
    site.codec("beta_codec", "beta")
    assert PluginHub().load("codec", "beta").name == "beta"


def test_a_plugin_that_adds_the_promised_name_of_another_distribution_is_a_duplicate(site):
    site.codec("alpha_codec", "alpha")
    site.module(
        "thief", dedent(CODEC).replace("{name}", "thief") + '    registry.add("alpha", list)\n'
    )
    site.distribution("thief", {"codec": {"thief": "thief"}})
    with pytest.raises(PluginError, match=r"'alpha'.*dist-alpha_codec.*thief 1\.0"):
        PluginHub().load("codec", "thief")


@pytest.mark.parametrize("blocked", ["alpha", "codec:alpha", " codec:alpha , x"])
def test_a_blocked_name_is_not_loaded(site, monkeypatch, blocked):
    site.codec("alpha_codec", "alpha")
    monkeypatch.setenv("BEE_DISABLE_PLUGINS", blocked)
    with pytest.raises(PluginError, match="codec 'alpha' is blocked by BEE_DISABLE_PLUGINS"):
        PluginHub().load("codec", "alpha")
    assert "alpha_codec" not in sys.modules


def test_a_block_for_another_kind_does_not_block(site):
    site.codec("alpha_codec", "alpha")
    assert PluginHub(disabled={"limiter:alpha"}).load("codec", "alpha").name == "alpha"


def test_a_block_with_a_misspelt_kind_is_an_error():
    with pytest.raises(
        PluginError, match=r"'codek' in 'codek:json' is not a kind of plugin; kinds: codec, "
    ):
        PluginHub(disabled={"codek:json"})


def test_an_explicit_list_of_blocks_replaces_the_variable(site, monkeypatch):
    site.codec("alpha_codec", "alpha")
    monkeypatch.setenv("BEE_DISABLE_PLUGINS", "alpha")
    assert PluginHub(disabled=()).load("codec", "alpha").name == "alpha"


def test_the_variable_is_split_at_commas():
    assert parse_disabled(" codec:json, gzip ,,") == {"codec:json", "gzip"}


# ── plugins that break the rules ──


def test_a_missing_dependency_names_the_extra_to_install(site):
    site.module("needy", "import a_package_that_is_not_there\n")
    site.distribution("bee-needy", {"codec": {"needy": "needy [fancy]"}})
    with pytest.raises(
        PluginError, match=r"a_package_that_is_not_there.*pip install 'bee-needy\[fancy\]'"
    ):
        PluginHub().load("codec", "needy")


def test_a_missing_dependency_without_an_extra_names_the_module(site):
    site.module("needy", "import a_package_that_is_not_there\n")
    site.distribution("bee-needy", {"codec": {"needy": "needy"}})
    with pytest.raises(
        PluginError,
        match=r"bee-needy 1\.0 \(needy\) fails to import \(No module named "
        r"'a_package_that_is_not_there'\)",
    ):
        PluginHub().load("codec", "needy")


def test_an_entry_point_to_a_module_that_is_gone_says_reinstall(site):
    site.distribution("stale", {"codec": {"stale": "stale_module"}})
    with pytest.raises(PluginError, match=r"names a module that is not there.*reinstall stale"):
        PluginHub().load("codec", "stale")


@pytest.mark.parametrize("source", ["1 / 0", "def broken(:"])
def test_a_plugin_that_fails_to_import_is_a_plugin_error(site, source):
    site.module("broken", source)
    site.distribution("broken", {"codec": {"broken": "broken"}})
    with pytest.raises(
        PluginError,
        match=r"codec 'broken' cannot be loaded: broken 1\.0 \(broken\) fails with \w+Error",
    ):
        PluginHub().load("codec", "broken")


def test_a_misspelt_hook_is_named_with_the_right_one(site):
    site.module("typo", CODEC.replace("bee_register_codecs", "bee_register_codec"), name="typo")
    site.distribution("typo", {"codec": {"typo": "typo"}})
    site.codec("alpha_codec", "alpha")
    hub = PluginHub()
    with pytest.raises(
        PluginError,
        match=r"there is no hook 'bee_register_codec'; did you mean 'bee_register_codecs'\?",
    ):
        hub.load("codec", "typo")
    assert hub.load("codec", "alpha").name == "alpha", "the misspelt one does not spoil the hub"


def test_a_promised_name_that_is_not_registered_is_an_error(site):
    site.module("liar", name="other")
    site.distribution("liar", {"codec": {"liar": "liar"}})
    with pytest.raises(
        PluginError,
        match=r"codec 'liar' is promised by liar 1\.0 \(liar\), which does not register it: its "
        r"hook bee_register_codecs must add 'liar'",
    ):
        PluginHub().load("codec", "liar")


def test_a_hook_without_its_mark_is_pointed_out(site):
    site.module(
        "unmarked", "def bee_register_codecs(registry):\n    registry.add('unmarked', list)\n"
    )
    site.distribution("unmarked", {"codec": {"unmarked": "unmarked"}})
    with pytest.raises(
        PluginError, match=r"has no hook of bee; mark bee_register_codecs with @bee_core\.hookimpl"
    ):
        PluginHub().load("codec", "unmarked")


def test_a_hook_of_another_kind_does_not_keep_the_promise(site):
    site.module("wrong_kind", CODEC.replace("codecs", "limiters"), name="wrong")
    site.distribution("wrong-kind", {"codec": {"wrong": "wrong_kind"}})
    with pytest.raises(PluginError, match=r"its hook bee_register_codecs must add 'wrong'"):
        PluginHub().load("codec", "wrong")


def test_a_hook_that_raises_is_a_plugin_error_with_the_cause(site):
    site.module(
        "raising",
        "from bee_core.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def bee_register_codecs(registry):\n"
        "    raise KeyError('oh')\n",
    )
    site.distribution("raising", {"codec": {"raising": "raising"}})
    with pytest.raises(
        PluginError, match=r"its hook bee_register_codecs failed: KeyError: 'oh'"
    ) as caught:
        PluginHub().load("codec", "raising")
    assert isinstance(caught.value.__cause__, KeyError)


def test_a_hook_with_a_wrong_argument_is_a_plugin_error():
    class Wrong:
        @hookimpl
        def bee_register_codecs(self, registrar):
            pass

    with pytest.raises(
        PluginError, match=r"plugins\[0\] \(.*Wrong\) cannot be registered.*registrar"
    ):
        PluginHub(plugins=[Wrong()])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("", list), "needs a name, not ''"),
        ((1, list), "needs a name, not 1"),
        (("x", None), "cannot be called: None"),
        (("x", list, int), "must be an attrs class or None"),
        (("x", list, Ref("an instance")), "must be an attrs class or None"),
    ],
)
def test_what_cannot_be_registered_is_refused_with_the_reason(arguments, words):
    class Odd:
        @hookimpl
        def bee_register_codecs(self, registry):
            registry.add(*arguments)

    with pytest.raises(PluginError, match=words):
        PluginHub(plugins=[Odd()])


def test_one_plugin_that_adds_a_name_twice_is_refused():
    class Twice:
        @hookimpl
        def bee_register_codecs(self, registry):
            registry.add("x", list)
            registry.add("x", dict)

    with pytest.raises(PluginError, match="adds the codec 'x' twice"):
        PluginHub(plugins=[Twice()])


# ── plugin objects ──


def test_a_plugin_object_needs_no_entry_point():
    registered = PluginHub(plugins=[OneCodec()]).load("codec", "mine")
    assert registered.factory() == "mine, made"
    assert registered.distribution == OBJECT


def test_a_module_can_be_handed_over():
    module = types.ModuleType("handmade")

    @hookimpl
    def bee_register_codecs(registry):
        registry.add("handmade", lambda: "handmade")

    module.bee_register_codecs = bee_register_codecs
    assert PluginHub(plugins=[module]).load("codec", "handmade").factory() == "handmade"


def test_an_object_with_the_name_of_an_installed_plugin_is_an_error_that_names_both(site):
    site.codec("alpha_codec", "alpha")
    with pytest.raises(
        PluginError,
        match=r"'alpha' is there more than once: dist-alpha_codec 1\.0 \(alpha_codec\) and "
        r"plugins\[0\] \(OneCodec\)",
    ):
        PluginHub(plugins=[OneCodec("alpha")])


def test_two_objects_with_one_name_are_an_error_that_names_both():
    with pytest.raises(
        PluginError, match=r"plugins\[0\] \(OneCodec\) and plugins\[1\] \(OneCodec\)"
    ):
        PluginHub(plugins=[OneCodec(), OneCodec()])


def test_one_object_twice_is_an_error():
    plugin = OneCodec()
    with pytest.raises(PluginError, match=r"plugins\[1\] .*already registered"):
        PluginHub(plugins=[plugin, plugin])


@pytest.mark.parametrize(
    "thing",
    [object(), types.ModuleType("empty"), "json", 7],
    ids=["object", "module", "text", "number"],
)
def test_an_object_without_a_hook_is_an_error_that_lists_the_hooks(thing):
    with pytest.raises(
        PluginError, match=r"has no hook of bee; it must implement one of: bee_register_codecs, "
    ):
        PluginHub(plugins=[thing])


def test_none_is_not_a_plugin():
    with pytest.raises(PluginError, match=r"plugins\[0\] \(NoneType\)"):
        PluginHub(plugins=[None])


def test_a_class_is_an_error_that_says_to_make_an_instance():
    with pytest.raises(PluginError, match=r"is a class; .*OneCodec\(\)"):
        PluginHub(plugins=[OneCodec])


class Property:
    @property
    def anything(self):
        raise RuntimeError("no")


class NoDir(Property):
    def __dir__(self):
        raise SystemExit("no dir")


class NoAttributes:
    def __getattr__(self, name):
        raise RuntimeError(f"no {name}")


class NoHash:
    def __hash__(self):
        raise SystemExit("no hash")


@pytest.mark.parametrize("cls", [Property, NoDir, NoAttributes, NoHash])
def test_an_object_that_raises_when_it_is_looked_at_is_an_error_that_names_it(cls):
    with pytest.raises(PluginError, match=rf"plugins\[0\] \({cls.__name__}\)"):
        PluginHub(plugins=[cls()])


# ── making objects ──


class Made:
    """A codec that tells what its factory was handed."""

    def __init__(self, *handed):
        self.handed = handed

    def bind(self, signature):
        return self


@attrs.frozen
class Options:
    level: int = 3


class Maker:
    def __init__(self, factory, options=None):
        self.factory, self.options = factory, options

    @hookimpl
    def bee_register_codecs(self, registry):
        registry.add("made", self.factory, options=self.options)


def test_a_factory_without_options_gets_the_context_alone():
    hub = PluginHub(plugins=[Maker(Made)])
    assert hub.create(Ref("made"), "codec", 1, 2).handed == (1, 2)


def test_a_factory_with_options_gets_them_last():
    hub = PluginHub(plugins=[Maker(Made, Options)])
    made = hub.create(Ref("made", {"level": "7"}), "codec", "context")
    assert made.handed == ("context", Options(7))
    assert hub.create(Ref("made"), "codec").handed == (Options(3),)


def test_wrong_options_are_config_errors_with_the_path():
    hub = PluginHub(plugins=[Maker(lambda options: options, Options)])
    with pytest.raises(
        ConfigError, match=r"bee\.rpc\.client\.calc\.codec\.options\.levle: .*did you mean 'level'"
    ):
        hub.create(Ref("made", {"levle": "7"}), "codec")
    with pytest.raises(ConfigError, match=r"bee\.rpc\.client\.calc\.codec\.options\.level: "):
        hub.create(Ref("made", {"level": "2.7"}), "codec")


def test_options_for_a_plugin_that_takes_none_are_a_config_error():
    hub = PluginHub(plugins=[Maker(list)])
    with pytest.raises(ConfigError, match="takes no options; remove them") as caught:
        hub.create(Ref("made", {"level": 1}), "codec")
    assert caught.value.path == "bee.rpc.client.calc.codec.options.level"


def failing(error):
    def factory():
        raise error

    return PluginHub(plugins=[Maker(factory)])


def test_a_factory_that_refuses_a_value_is_a_config_error_with_the_path():
    with pytest.raises(ConfigError, match="codec 'made': no such thing") as caught:
        failing(ValueError("no such thing")).create(Ref("made"), "codec")
    assert caught.value.path == "bee.rpc.client.calc.codec"


def test_a_factory_that_names_the_option_gives_its_path_and_the_nearest_line():
    lines = {"bee.rpc.client.calc.codec": 7}
    with pytest.raises(ConfigError, match="codec 'made': no such file") as caught:
        failing(OptionError("cert", "no such file")).create(Ref("made"), "codec", origin=lines.get)
    assert (caught.value.path, caught.value.line) == ("bee.rpc.client.calc.codec.options.cert", 7)


def test_the_error_of_a_factory_holds_the_names_of_the_options_and_not_what_they_say():
    error = option_error(
        "no", ValueError("no"), "bee.rpc.server.transport", {"key_password": "s3cret"}
    )
    assert error.value == ["key_password"]
    assert "s3cret" not in repr(vars(error))


@pytest.mark.parametrize(
    "error",
    [RuntimeError("boom"), TypeError("boom"), ImportError("boom"), OSError("boom")],
    ids=repr,
)
def test_a_factory_that_fails_is_a_plugin_error_with_the_path_and_the_cause(error):
    with pytest.raises(
        PluginError, match=r"^bee\.rpc\.client\.calc\.codec: codec 'made' .*boom"
    ) as caught:
        failing(error).create(Ref("made"), "codec")
    assert caught.value.__cause__ is error


def test_errors_of_bee_come_through_as_they_are():
    error = BeeError("mine")
    with pytest.raises(BeeError) as caught:
        failing(error).create(Ref("made"), "codec")
    assert caught.value is error


def test_a_dependency_that_is_missing_only_when_it_is_used_names_the_extra(site):
    site.module(
        "late",
        "from bee_core.hookspecs import hookimpl\n"
        "@hookimpl\n"
        "def bee_register_codecs(registry):\n"
        "    registry.add('late', make)\n"
        "def make():\n"
        "    import a_package_that_is_not_there\n",
    )
    site.distribution("bee-late", {"codec": {"late": "late [x]"}})
    with pytest.raises(PluginError, match=r"pip install 'bee-late\[x\]'"):
        PluginHub().create(Ref("late"), "codec")


def test_a_memory_registry_that_was_not_handed_over_is_told_how():
    with pytest.raises(PluginError) as caught:
        bee_core.build_client(
            {"bee": {"rpc": {"registry": {"protocol": "memory"}, "client": {"calc": {}}}}}
        )
    assert "bee_core.testing.MemoryRegistry" in str(caught.value)
    assert "plugins=[registry]" in str(caught.value)


def test_an_unknown_name_in_the_configuration_is_reported_with_its_path():
    with pytest.raises(PluginError, match=r"^bee\.rpc\.client\.calc\.codec: unknown codec 'nope'"):
        PluginHub().create(Ref("nope"), "codec")


def test_a_plugin_that_is_a_default_has_no_path_to_report():
    with pytest.raises(PluginError, match=r"^codec 'made' .*boom"):
        failing(RuntimeError("boom")).create(Ref("made", path=""), "codec")


# ── the listing ──


def test_the_listing_says_what_is_loadable_and_why_not(site):
    site.codec("alpha_codec", "alpha")
    site.module("needy", "import a_package_that_is_not_there\n")
    site.distribution("bee-needy", {"limiter": {"needy": "needy [fancy]"}}, version="2.1")
    hub = PluginHub(plugins=[OneCodec()], disabled={"failfast"})
    rows = {(row.kind, row.name): row for row in list_installed(hub)}
    assert rows["codec", "alpha"].loadable
    assert rows["codec", "mine"].distribution == OBJECT
    needy = rows["limiter", "needy"]
    assert (needy.distribution, needy.version, needy.loadable) == ("bee-needy", "2.1", False)
    assert "pip install 'bee-needy[fancy]'" in needy.reason
    if ("fault_tolerance", "failfast") in rows:
        assert "blocked" in rows["fault_tolerance", "failfast"].reason


def test_the_listing_shows_every_one_of_the_duplicates(site):
    site.codec("alpha_codec", "alpha", "first-dist")
    site.codec("other_codec", "alpha", "second-dist")
    rows = [row for row in list_installed(PluginHub()) if row.name == "alpha"]
    assert [(row.distribution, row.loadable) for row in rows] == [
        ("first-dist", False),
        ("second-dist", False),
    ]


def test_a_distribution_without_metadata_is_named_by_its_folder(site):
    site.codec("alpha_codec", "alpha")
    (site.root / "dist_alpha_codec-1.0.dist-info" / "METADATA").unlink()
    row = next(row for row in list_installed(PluginHub()) if row.name == "alpha")
    assert (row.distribution, row.version, row.loadable) == ("dist_alpha_codec-1.0", "", True)


def settled(site):
    """Make the site look as if nothing was installed there lately."""
    long_ago = time.time() - 3600
    os.utime(site.root, (long_ago, long_ago))


def test_distributions_are_read_once_for_all_clients(site, monkeypatch):
    site.codec("alpha_codec", "alpha")
    settled(site)
    opened = []
    read = importlib.metadata.PathDistribution.read_text

    def counted(distribution, name):
        opened.append(name)
        return read(distribution, name)

    monkeypatch.setattr(importlib.metadata.PathDistribution, "read_text", counted)
    PluginHub()
    assert "entry_points.txt" in opened
    opened.clear()
    assert PluginHub().load("codec", "alpha").name == "alpha"
    assert "entry_points.txt" not in opened


@pytest.mark.parametrize("lately", [True, False])
def test_what_is_installed_later_is_found_by_the_next_client(site, lately):
    site.codec("alpha_codec", "alpha")
    if not lately:
        settled(site)
    assert ("codec", "beta") not in PluginHub().offers
    site.codec("beta_codec", "beta")
    assert PluginHub().load("codec", "beta").name == "beta"


class Finder:
    """An import hook with distributions of its own, such as those of an archive."""

    __slots__ = ("folders",)  # so that the next one is likely to get its place in memory

    def __init__(self, *folders):
        self.folders = folders

    def find_spec(self, fullname, path=None, target=None):
        return None

    def find_distributions(self, context=None):
        return [importlib.metadata.PathDistribution(folder) for folder in self.folders]


def test_a_finder_in_the_place_of_one_that_is_gone_is_asked(site, monkeypatch):
    site.codec("alpha_codec", "alpha")
    (folder,) = site.root.glob("*.dist-info")
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path != str(site.root)])
    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Finder()])
    # As when nothing was installed anywhere lately.
    monkeypatch.setattr("bee_core.plugins.entry_points._SETTLED", -3600.0)
    assert ("codec", "alpha") not in PluginHub().offers
    gone = id(sys.meta_path.pop())
    others = []  # each has a place of its own
    while len(others) < 1000 and (not others or id(others[-1]) != gone):
        others.append(Finder(folder))
    sys.meta_path.append(others[-1])
    assert ("codec", "alpha") in PluginHub().offers


def test_a_client_cannot_change_what_the_next_one_finds(site):
    settled(site)
    PluginHub().offers.clear()
    PluginHub().offers["codec", "json"].clear()
    assert PluginHub().load("codec", "json").name == "json"


def test_a_distribution_whose_entry_points_cannot_be_read_hides_no_others(site):
    site.codec("alpha_codec", "alpha")
    folder = site.root / "odd-1.0.dist-info"
    folder.mkdir()
    (folder / "entry_points.txt").write_text("[bee.codec]\nodd codec\n")
    with pytest.warns(UserWarning, match=r"odd-1\.0\.dist-info are not seen"):
        hub = PluginHub()
    assert hub.load("codec", "alpha").name == "alpha"
    assert hub.load("codec", "json").name == "json"


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("import a_package_that_is_not_there", False),
        ("from bee_core.interfaces import NoSuchContract", True),
        ("import bee_core.no_such_module", True),
    ],
)
def test_a_plugin_that_wants_another_bee_is_wrong_and_one_that_lacks_a_package_is_not(
    site, line, wrong
):
    site.module("needy", line + "\n")
    site.distribution("bee-needy", {"limiter": {"needy": "needy"}})
    row = next(row for row in list_installed(PluginHub()) if row.name == "needy")
    assert (row.loadable, row.wrong) == (False, wrong)


def test_an_entry_point_without_its_module_is_wrong(site):
    site.distribution("bee-gone", {"limiter": {"gone": "gone_module"}})
    row = next(row for row in list_installed(PluginHub()) if row.name == "gone")
    assert (row.loadable, row.wrong) == (False, True)


def test_the_listing_leaves_the_hub_as_it_was(site):
    site.codec("alpha_codec", "alpha")
    hub = PluginHub()
    list_installed(hub)
    assert not hub.manager.has_plugin("codec:alpha")


# ── bee's own plugins ──


OWN = {
    "codec": ["json"],
    "compressor": ["gzip"],
    "transport": ["tcp", "unix", "memory"],
    "registry": ["direct"],
    "balancer": ["random", "round-robin"],
    "fault_tolerance": ["failfast", "failtry", "failover"],
}


@pytest.mark.parametrize(
    ("kind", "name"), [(kind, name) for kind, names in OWN.items() for name in names]
)
def test_what_bee_brings_comes_in_by_the_same_door(kind, name):
    registered = PluginHub(disabled=()).load(kind, name)
    assert registered.distribution == "bee-rpc"


def test_every_kind_has_a_hook():
    hub = PluginHub(entry_points=[])
    assert all(hasattr(hub.manager.hook, hook) for hook in REGISTER_HOOKS.values())


@pytest.mark.parametrize(
    ("codec", "error", "where"),
    [
        ("jsn", PluginError, ":6: bee.rpc.client.calc.codec: unknown codec 'jsn'"),
        (
            "{name: msgpack, options: {x: 1}}",
            ConfigError,
            ":6: bee.rpc.client.calc.codec.options.x: ",
        ),
    ],
)
def test_what_is_wrong_with_a_plugin_is_told_with_the_file_and_the_line(
    tmp_path, codec, error, where
):
    path = tmp_path / "bee.yml"
    path.write_text(
        f"bee:\n  rpc:\n    client:\n      calc:\n        address: calc:1\n        codec: {codec}\n"
    )
    with pytest.raises(error) as caught:
        bee_core.build_client(path)
    assert str(caught.value).startswith(f"{path}{where}")


def test_what_a_factory_refuses_is_told_with_the_file_and_the_line(tmp_path):
    path = tmp_path / "bee.yml"
    path.write_text(
        "bee:\n"
        "  rpc:\n"
        "    server:\n"
        "      name: calc\n"
        "      address: tls://127.0.0.1:0\n"
        "      transport: {name: tls, options: {cert: missing.pem}}\n"
    )
    with pytest.raises(ConfigError) as caught:
        bee_core.build_server(path)
    assert str(caught.value).startswith(f"{path}:6: bee.rpc.server.transport.options.cert: ")


# ── options that are plugins ──


class Zone:
    """A balancer that asks another one."""

    settle = None

    def __init__(self, options):
        self.options = options

    def update(self, ready):
        self.options.within.update(ready)

    def pick(self, *asked):
        return self.options.within.pick(*asked)


@attrs.frozen
class ZoneOptions:
    within: Annotated[Any, Plugin("balancer")] = "random"
    behind: Annotated[Any, Plugin("balancer")] | None = None
    others: tuple[Annotated[Any, Plugin("fault_tolerance")], ...] = ()


def zone_of(**options):
    hub = PluginHub(plugins=[offering("balancer", "around", Zone, ZoneOptions)], disabled=())
    path = "bee.rpc.client.calc.balancer"
    return hub, hub.create(PluginRef("around", options, path), "balancer").options


def test_an_option_that_is_a_plugin_is_handed_over_made():
    hub, options = zone_of(
        within={"name": "around", "options": {"within": "round-robin"}},
        others=["failfast", {"name": "failtry", "options": {"cap": "2s"}}],
    )
    assert hub.origin_of(options.within).title == "balancer 'around'"
    assert hub.origin_of(options.within.options.within).title == "balancer 'round-robin'"
    assert [hub.origin_of(one).name for one in options.others] == ["failfast", "failtry"]
    assert options.behind is None


def test_the_default_of_an_option_that_is_a_plugin_is_a_name_and_none_is_none():
    hub, options = zone_of(behind="none")
    assert hub.origin_of(options.within).title == "balancer 'random'"
    assert options.behind is None


@pytest.mark.parametrize(
    ("options", "path", "problem"),
    [
        ({"within": "rnadom"}, "within", "unknown balancer 'rnadom'"),
        ({"within": {"name": "random", "options": {"x": 1}}}, "within.options.x", "no options"),
        ({"others": ["failfast", "failover2"]}, "others[1]", "unknown fault_tolerance"),
        ({"within": 7}, "within", "7"),
        ({"within": {"nmae": "random"}}, "within.nmae", "unknown key"),
    ],
)
def test_what_is_wrong_with_an_inner_plugin_is_told_with_its_path(options, path, problem):
    with pytest.raises(BeeError) as caught:
        zone_of(**options)
    assert f"bee.rpc.client.calc.balancer.options.{path}" in str(caught.value)
    assert problem in str(caught.value)


def test_a_plugin_that_is_its_own_default_is_an_error_and_no_crash():
    endless = attrs.make_class(
        "Endless",
        {"within": attrs.field(default="around", type=Annotated[Any, Plugin("balancer")])},
        frozen=True,
    )
    hub = PluginHub(plugins=[offering("balancer", "around", Zone, endless)], disabled=())
    with pytest.raises(PluginError, match="may name the plugin itself"):
        hub.create(PluginRef("around"), "balancer")


# ── shared objects ──


def test_a_plugin_that_is_named_twice_with_the_same_options_is_one_object():
    @attrs.frozen
    class Watched:
        level: int = 0

    class Watcher:
        def __init__(self, options):
            self.level = options.level

        def call_ended(self, state, record): ...

    hub = PluginHub(plugins=[offering("observer", "w", Watcher, Watched)], disabled=())
    one, same, other = (
        PluginRef("w"),
        PluginRef("w", {}, "elsewhere"),
        PluginRef("w", {"level": 2}),
    )
    made = hub.share([one, same, other], "observer", None)
    assert [watcher.level for watcher in made] == [0, 2]
    assert hub.share([other, one], "observer", None) == [made[1], made[0]]


def test_a_frozen_application_is_told_the_options_to_be_built_with(monkeypatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(importlib.metadata, "entry_points", importlib.metadata.EntryPoints)
    hub = PluginHub()
    with pytest.raises(
        PluginError, match=r"--copy-metadata bee-rpc --collect-submodules bee_plugins"
    ):
        hub.load("registry", "direct")
