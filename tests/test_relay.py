"""Gateway and province face to face in virtual time, over a link that loses, repeats, delays and breaks (see
relay_world for the world): all arrives once, alarms first, and nothing leaves the store before the province has it.
"""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from edge.contract import Sent
from edge.relay import Relay
from sim.province import Province
from sim.virtual import run
from tests.relay_world import (
    ROOT,
    START_MS,
    Gateway,
    Network,
    alarms,
    drained,
    rounds,
    values,
    world,
)


def test_on_a_good_link_everything_arrives_once_and_is_settled(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 60)
        await drained(gateway, 30)
        assert values(network) == list(range(1, 61))
        assert network.province.counts["repeated"] == 0
        assert len(network.sent) < 15, "rounds are packed together"
        assert gateway.times, "the province's time was learnt"

    world(tmp_path, story)


def test_over_a_link_that_loses_and_repeats_nothing_is_lost_and_nothing_arrives_twice(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 200)
        await drained(gateway)
        assert values(network) == list(range(1, 201))
        assert gateway.keeper.account().balanced

    world(tmp_path, story, lost=0.3, repeated=0.3)


def test_an_alarm_overtakes_any_backlog(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        for _ in range(3000):
            gateway.round()
        await asyncio.sleep(60)
        network.up = True
        await asyncio.sleep(10)
        await gateway.alarm()
        await drained(gateway)
        taken_ms, received_ms = alarms(network)[0]
        assert received_ms - taken_ms < 300
        assert values(network) == list(range(1, 3001))

    world(tmp_path, story)


def test_an_alarm_raised_in_the_dark_is_the_first_thing_after_the_sheet(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        network.up = False
        await asyncio.sleep(5)
        await rounds(gateway, 100)
        await gateway.alarm()
        back_ms = START_MS + round(asyncio.get_running_loop().time() * 1000)
        network.up = True
        await drained(gateway)
        assert alarms(network)[0][1] - back_ms < 10_000, "a link that is back is used within 10 s"
        first = network.province._store._db.execute(
            "SELECT kind FROM packets WHERE received_at_ms >= ? ORDER BY id LIMIT 1", (back_ms,)
        ).fetchone()
        assert first == (1,)

    world(tmp_path, story)


def test_an_alarm_goes_out_on_every_link_and_is_stored_once(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await asyncio.sleep(5)
        before = len(network.sent)
        await gateway.alarm()
        await asyncio.sleep(0.04)
        assert sorted(name for _, name, _ in network.sent[before:]) == ["link0", "link1"]
        await drained(gateway, 30)
        assert len(alarms(network)) == 1

    world(tmp_path, story, links=2)


def test_an_alarm_said_in_vain_is_said_again_as_soon_as_the_province_is_heard(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        network.lost = 1.0
        await gateway.alarm()
        dues, now_s = gateway.relay.ways["link0"].dues, asyncio.get_running_loop().time
        while min(dues.due_s.values(), default=0.0) < now_s() + 50.0:  # its pauses are long by now
            await rounds(gateway, 1)
        network.lost, before = 0.0, gateway.relay.receipts
        while gateway.relay.receipts == before:
            await rounds(gateway, 1)
        assert not alarms(network), "it was something else that came first"
        await rounds(gateway, 7)
        assert len(alarms(network)) == 1

    world(tmp_path, story)


def test_two_links_share_the_backlog_without_sending_it_twice(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        for _ in range(3000):
            gateway.round()
        await asyncio.sleep(30)
        network.up = True
        await drained(gateway)
        assert values(network) == list(range(1, 3001))
        assert network.province.counts["repeated"] <= 1

    world(tmp_path, story, links=2)


def test_without_receipts_nothing_leaves_the_store_and_repeats_slow_down(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.receipts_reach_us = False
        await rounds(gateway, 30)
        await gateway.alarm()
        held = gateway.held()
        await asyncio.sleep(3600)
        assert gateway.held() == held
        assert len([1 for at_s, _, _ in network.sent if at_s > 2000]) < 150
        network.receipts_reach_us = True
        await drained(gateway)
        assert values(network) == list(range(1, 31))
        assert len(alarms(network)) == 1

    world(tmp_path, story)


def test_a_link_that_refuses_is_not_hammered(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await asyncio.sleep(5)
        tries = 0
        network.refusing = True
        link = network.links[0]
        send = link.send

        async def counting(packet: bytes) -> Sent:
            nonlocal tries
            tries += 1
            return await send(packet)

        link.send = counting  # type: ignore[method-assign]
        await rounds(gateway, 100)
        assert tries < 40
        network.refusing = False
        await drained(gateway)
        assert values(network) == list(range(1, 101))

    world(tmp_path, story)


@pytest.mark.parametrize("seed", range(5))
def test_killed_again_and_again_over_a_bad_link_nothing_committed_is_lost(tmp_path: Path, seed: int) -> None:
    province = Province(tmp_path / "province.db", lambda _gateway: ROOT, durable=False)
    chance = random.Random(seed)

    async def play() -> None:
        network = Network(province, seed=seed, lost=0.2, repeated=0.2)
        committed: list[int] = []
        for life in range(10):
            network.links.clear()
            gateway = Gateway(tmp_path / "store", network, links=2)
            first = gateway.taken = life * 1000
            await gateway.start()
            for _ in range(chance.randrange(5, 60)):
                network.up = chance.random() > 0.4 if chance.random() < 0.1 else network.up
                gateway.round()
                await asyncio.sleep(1)
            gateway.round()
            await asyncio.sleep(chance.random())
            # What waits for its commit now is lost with the process: that is the one second of commit_every.
            committed += range(first + 1, gateway.taken + 1 - len(gateway.keeper._pending))
            await gateway.die()
        network.up = True
        network.links.clear()
        gateway = Gateway(tmp_path / "store", network)
        await gateway.start()
        await drained(gateway)
        assert values(network) == committed
        assert gateway.keeper.outbox.account(count_rows=True).balanced
        await gateway.die()

    try:
        run(play())
    finally:
        province.close()


def test_a_province_that_forgot_the_sheet_gets_it_again(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        await drained(gateway, 30)
        network.province.close()
        (tmp_path / "province.db").unlink()
        network.province = Province(tmp_path / "province.db", lambda _gateway: ROOT, durable=False)
        await rounds(gateway, 20)
        await drained(gateway)
        assert values(network) == list(range(21, 41))
        network.province.close()

    world(tmp_path, story)


def test_forged_and_replayed_downlink_settles_nothing_and_sets_no_clock(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        heard: list[bytes] = []
        link = network.links[0]
        await asyncio.sleep(1)
        real = link.receive

        def listening(packet: bytes) -> None:
            heard.append(packet)
            real(packet)

        link.receive = listening
        await rounds(gateway, 12)
        await drained(gateway, 30)
        learnt = len(gateway.times)
        network.receipts_reach_us = False
        await rounds(gateway, 12)
        held = gateway.held()
        for packet in heard:
            real(packet)
            for place in range(len(packet)):
                real(packet[:place] + bytes([packet[place] ^ 1]) + packet[place + 1 :])
            real(packet[:-1])
        await asyncio.sleep(20)
        assert gateway.held() == held
        assert len(gateway.times) == learnt
        assert gateway.relay.noise > 100
        assert sum("was refused" in text for text in gateway.said) == 1

    world(tmp_path, story)


def test_a_province_that_signs_for_nothing_is_said_once_and_its_return_too(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.receipts_reach_us = False
        await rounds(gateway, 200)
        assert sum("has signed for nothing" in text for text in gateway.said) == 1
        network.receipts_reach_us = True
        await drained(gateway)
        assert gateway.said[-1] == "province: signs again"

    world(tmp_path, story)


def test_a_restored_card_loses_nothing_new(tmp_path: Path) -> None:
    """The store's file is put back as it was an hour ago: its seqs have been given, and receipted, already."""

    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        await drained(gateway, 30)
        await gateway.die()
        image = (tmp_path / "store" / "outbox.db").read_bytes()
        again = Gateway(tmp_path / "store", network)
        network.links[0] = network.links[-1]
        again.taken = 100
        await again.start()
        await rounds(again, 50)
        await drained(again, 30)
        await again.die()
        (tmp_path / "store" / "outbox.db").write_bytes(image)
        for leftover in (tmp_path / "store").glob("outbox.db-*"):
            leftover.unlink()
        restored = Gateway(tmp_path / "store", network)
        network.links[0] = network.links[-1]
        restored.taken = 200
        await restored.start()
        await rounds(restored, 40)
        await drained(restored, 60)
        assert sum("older copy of itself" in text for text in restored.said) == 1
        assert values(network) == [*range(1, 21), *range(101, 151), *range(201, 241)]
        assert restored.keeper.outbox.account(count_rows=True).balanced
        await restored.die()
        await gateway.start()

    world(tmp_path, story)


def test_an_entry_that_makes_no_sense_is_dropped_counted_and_stands_in_nobodys_way(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        network.up = False
        await rounds(gateway, 20)
        await gateway.alarm()
        db = gateway.keeper.outbox._db
        bodies = [b"", b"\xff" * 40, b"\x80", b"\x82\x01\x02", b"\x82\x83\x01\x02\xf9\x00\x00\x40", b"\x82\x81\x01\x40"]
        for seq, body in enumerate(bodies, start=4):
            db.execute("UPDATE entry SET body = ? WHERE seq = ?", (body, seq))
        db.execute("UPDATE entry SET body = x'00' WHERE kind = 1")
        await gateway.alarm()
        network.up = True
        await drained(gateway)
        account = gateway.keeper.outbox.account(count_rows=True)
        assert account.balanced
        assert account.evicted_entries == len(bodies) + 1
        assert len(values(network)) == 20 - len(bodies)
        assert len(alarms(network)) == 1

    world(tmp_path, story)


def test_an_alarm_is_said_again_at_once_when_the_link_returns(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 5)
        network.lost = 1.0
        await gateway.alarm()
        await asyncio.sleep(300)  # by now it is repeated once a minute
        network.up = False
        await asyncio.sleep(20)
        network.lost = 0.0
        network.up = True
        back_ms = START_MS + round(asyncio.get_running_loop().time() * 1000)
        await asyncio.sleep(12)
        assert alarms(network)[0][1] - back_ms < 10_000

    world(tmp_path, story)


def test_a_relay_that_is_started_again_takes_its_own_entries_for_its_own(tmp_path: Path) -> None:
    async def story(network: Network, gateway: Gateway) -> None:
        await rounds(gateway, 20)
        gateway.tasks[1].cancel()
        await asyncio.sleep(1)
        links = {name: (way.link, way.batch_s) for name, way in gateway.relay.ways.items()}
        say = lambda about, text: gateway.said.append(f"{about}: {text}")  # noqa: E731
        gateway.relay = Relay("g-1", ROOT, links, gateway.keeper, say, lambda *_: None)
        gateway.tasks[1] = asyncio.ensure_future(gateway.relay.run())
        await rounds(gateway, 20)
        await drained(gateway, 60)
        assert not any("older copy" in text for text in gateway.said)
        assert values(network) == list(range(1, 41))

    world(tmp_path, story)
