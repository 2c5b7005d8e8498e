"""`fengsui decode beidou`: one sentence for each line or frame, and exactly why one is not valid."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.beidou.explain import TO_DO, explain
from drivers.beidou.wire import Dialect, Feedback, Outcome, build_report
from drivers.beidou.wire.fields import xor
from tests.test_beidou_wire_vectors import BAD, GOOD


@pytest.mark.parametrize("row", GOOD)
def test_every_good_row_is_explained(row: str) -> None:
    (item,) = explain(row)
    assert item["valid"]
    assert not item["what"][0].islower()
    assert json.loads(json.dumps(item)) == item


def test_the_whole_file_at_once() -> None:
    items = explain("\n".join(GOOD + BAD))
    assert [item["valid"] for item in items].count(True) == len(GOOD)
    assert [item["valid"] for item in items].count(False) == len(BAD)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$BDBSI,02,03,2,4,3*62", "checksum 46 expected, 62 found: this one counts the $"),
        ("$CCICI,0,00*83", "checksum 73 expected, 83 found"),
        ("$BDICI,4207733,0,0,3,60,2", "no checksum (*hh) at its end: cut off"),
        ("24 49 43 4A 43 00 0C 00 00 00", "cut off: 10 of 12 bytes"),
        ("24 49 43 4A 43 00 0C 00 00 00 00 2C", "check byte 2B expected, 2C found"),
        ("24 49 43 4A 43 00 0D 00 00 00 00 2C", "ICJC of 13 bytes"),
        ("24 49 43 4A 44 00 0C 00 00 00 00 2B", "no 4.0 frame has the name ICJD"),
        ("BDICI,4207733,0,0,3,60,2,N,22*3A", "the $ before it is missing"),
        ("$BDFKI,TXA,Q,Y,0,0000*1B", "executed is 'Q', not one of Y, N"),
        ("hello", "no sentence and no frame begins here"),
        ("$JJZH", "destroys the card"),
    ],
)
def test_why_not(text: str, words: str) -> None:
    (item,) = explain(text)
    assert not item["valid"]
    assert words in item["what"]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_a_refusal_comes_with_what_to_do(outcome: Outcome) -> None:
    (item,) = explain(build_report(Feedback(Dialect.BINARY40, "TXSQ", outcome)).hex(" "))
    told = Outcome(item["fields"]["outcome"])
    assert TO_DO[told] in item["what"]
    assert told is outcome or outcome in (Outcome.SILENT, Outcome.NO_PERMISSION)  # 4.0 has no flags for these


def test_what_a_technician_reads() -> None:
    assert explain("$BDICI,0241636,24000000,1933442,6,60,3,N,0*30") == [
        {
            "valid": True,
            "what": "Card 241636 is in, level 3, one message every 60 s, 628 bits a message: 77 bytes of packet",
            "fields": {
                "address": 241636,
                "broadcast": 1933442,
                "period_s": 60.0,
                "level": 3,
                "user_class": 6,
                "encrypted": False,
                "serial": "24000000",
                "subordinates": 0,
            },
            "dialect": "2.1",
        }
    ]
    (item,) = explain("$BDFKI,DWA,N,Y,0,0058*16")
    assert item["what"].endswith("wait, then send the same again; the next one in 58 s")
    (item,) = explain("$CCTXA,0967760,1,2,A43132335F414243BABAD7D6*77")
    assert item["fields"]["text"] == "123_ABC汉字"


def test_an_order_to_destroy_the_card_is_named() -> None:
    body = b"CCZHS,1"
    (item,) = explain(f"${body.decode()}*{xor(body):02X}")
    assert item["valid"]
    assert "destroys the card" in item["what"]
    order = b"$JJZH\x00\x0c\x00\x00\x00\x00"
    (item,) = explain((order + bytes([xor(order)])).hex())
    assert item["valid"]
    assert "Fengsui has no way to send it" in item["what"]


@given(st.one_of(st.text(max_size=80), st.text("0123456789ABCDEF \n", max_size=80)))
def test_any_text_is_explained(text: str) -> None:
    for item in explain(text):
        assert set(item) == {"valid", "what", "fields", "dialect"}
        json.dumps(item)
