from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import bee_core
from bee_core.errors import RemoteError
from shop_api import Figures, Line, Order

if TYPE_CHECKING:
    from conftest import Shop

TEA = [Line("tea", 2)]
APP_PRICE = 450 * 95 // 100


def test_an_order_is_reserved_and_priced(shop: Shop) -> None:
    order = shop.orders.place("1", "guest", [Line("tea", 2), Line("cup", 1)])
    assert order == Order(
        "1", [Line("tea", 2), Line("cup", 1)], 0, 2 * APP_PRICE + 760, estimated=False
    )
    assert (shop.stock.available("tea"), shop.stock.available("cup")) == (98, 19)


def test_an_order_that_is_sent_twice_is_reserved_once(shop: Shop) -> None:
    assert shop.orders.place("1", "guest", TEA) == shop.orders.place("1", "guest", TEA)
    assert shop.stock.available("tea") == 98
    assert shop.orders.Stats.figures() == Figures(placed=1, estimated=0)


def test_baggage_reaches_prices_through_orders(shop: Shop) -> None:
    from_the_web = bee_core.with_options(shop.orders, baggage={"channel": "web"})
    assert shop.orders.place("1", "guest", TEA).total == 2 * APP_PRICE
    assert from_the_web.place("2", "guest", TEA).total == 2 * 450


def test_the_clients_deadline_reaches_prices_through_orders(shop: Shop) -> None:
    in_a_hurry = bee_core.with_options(
        shop.orders, timeout=0.45
    )  # prices begins the look-up of a discount when it has 0.5 s
    assert shop.orders.place("1", "ada", TEA).discount == 10
    assert in_a_hurry.place("2", "ada", TEA).discount == 0


def test_without_prices_the_last_known_ones_are_used_and_the_order_says_so(shop: Shop) -> None:
    exact = shop.orders.place("1", "guest", TEA)
    shop.shut("prices")
    estimated = shop.orders.place("2", "ada", TEA)
    assert (exact.estimated, estimated.estimated) == (False, True)
    assert (estimated.total, estimated.discount) == (2 * APP_PRICE, 0), (
        "the static fallback gives no discount"
    )
    assert shop.orders.Stats.figures() == Figures(placed=2, estimated=1)


def test_a_price_that_was_never_known_is_not_invented(shop: Shop) -> None:
    shop.shut("prices")
    with pytest.raises(RemoteError, match="prices cannot be asked"):
        shop.orders.place("1", "ada", TEA)


def test_prices_are_exact_again_once_their_server_is_back(shop: Shop) -> None:
    shop.orders.place("1", "guest", TEA)
    shop.shut("prices")
    assert shop.orders.place("2", "guest", TEA).estimated
    shop.open("prices")
    assert not shop.orders.place("3", "guest", TEA).estimated


def test_without_stock_nothing_is_placed(shop: Shop) -> None:
    shop.shut("stock")
    with pytest.raises(RemoteError, match="stock cannot be asked") as caught:
        shop.orders.place("1", "guest", TEA)
    assert caught.value.type == "NotPlaced"
    assert shop.orders.Stats.figures() == Figures(0, 0)


def test_what_is_sold_out_cannot_be_ordered(shop: Shop) -> None:
    with pytest.raises(RemoteError, match="1000 tea wanted, 100 left"):
        shop.orders.place("1", "guest", [Line("tea", 1000)])
    assert shop.stock.restock("tea", 900) == 1000
    shop.orders.place("1", "guest", [Line("tea", 1000)])
    assert shop.stock.available("tea") == 0
