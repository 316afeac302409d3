"""A discrete-event model of edges and the tiers above them, for audiences that fit on no machine of ours.

    world = World(Figures.load(), Stream(), seed=1)
    origin = world.origin(machine)                        # ways up: Node.above, Node.siblings
    edge = world.edge("fra-1", site, machine, [origin])
    world.crowd({edge: 20000}, at_s=1, within_s=30)
    world.lose([edge], at_s=60, notice_s=1, to=[…])
    world.run(90)                                         # then: world.startup, lateness, stalls, Node.load()

An event is one node's: a question, an answer, a piece that is there for all who wait at an edge. Viewers are no events of their own: a cohort
is those of one edge who do the same thing in the same moment, and how late the last of them is follows from how long processor and network
card take for all of them. So ten million viewers cost as much as their edges.

What is in it: one chain of FETCHes a node and object, each asked for when the one before was answered (edged/fill.c); pieces that are
streamed while a segment grows; what a request, a piece, a byte, a connection and a FETCH cost the processor, as measured (figures.json);
distance; the queue before a processor and before a network card, first come first served; nodes that die, and how long it takes until
others ask elsewhere. All tracks of a stream come at the same moments, so they are one object here that counts as so many FETCHes.
What is not in it: packets that are lost, TCP's slow beginning, TLS, players that choose another rung, and work that is not for viewers.

Seconds, bytes; a processor's work is in seconds of one core."""
import collections
import dataclasses
import hashlib
import heapq
import itertools
import json
import math
import pathlib

PARTS = 4  # of a cohort, of which each is as late as its middle
HERE = pathlib.Path(__file__).resolve().parent


@dataclasses.dataclass
class Figures:
    """What things cost one core of an edge, in µs, and its memory, in bytes (tests/bench/model.py measures them)."""
    request_us: float   # a hit, without its bytes
    kb_us: float        # 1000 bytes of a body to a viewer
    piece_us: float     # a piece to one of those who follow, without its bytes
    connect_us: float   # a connection, from accept to its first request, and its end
    fetch_us: float     # a FETCH of a node below, answered from the cache
    fetch_kb_us: float  # 1000 bytes of it
    miss_us: float      # a FETCH that is asked for, and what is made of its answer
    rest_bytes: float   # of a connection, in edged
    follow_bytes: float  # of one that follows a growing segment
    kernel_bytes: float  # of one that does not read, at most

    @staticmethod
    def load(path=HERE / "figures.json"):
        return Figures(**json.loads(pathlib.Path(path).read_text())["figures"])


@dataclasses.dataclass
class Stream:
    """What is broadcast, and what of it one viewer takes."""
    segment_s: float = 1.0
    pieces: int = 5
    tracks: int = 6               # that an edge's viewers watch, all together
    all_bytes_s: float = 1.2e6    # of all tracks
    viewer_tracks: int = 2
    viewer_bytes_s: float = 390e3
    manifest_bytes: int = 3000
    init_bytes: int = 1500
    manifest_ttl_s: float = 1.0
    late_s: float = 1.0           # how far a picture is behind the clock
    ahead: int = 2                # a player begins when it has so many pieces, that far behind the clock if need be
    spread_s: float = 0.1         # within so long of a segment's beginning its viewers ask
    slices: int = 2               # cohorts that they are then


@dataclasses.dataclass
class Machine:
    cores: float = 32
    bytes_s: float = 100e9 / 8
    connections_max: int = 1000000


# ---- what takes time


class Engine:
    def __init__(self):
        self.now, self.heap, self.order = 0.0, [], itertools.count()

    def at(self, when, call, *args):
        heapq.heappush(self.heap, (max(when, self.now), next(self.order), call, args))

    def run(self, until):
        while self.heap and self.heap[0][0] <= until:
            self.now, _, call, args = heapq.heappop(self.heap)
            call(*args)
        self.now = until


class Station:
    """Serves in the order in which it was asked, `capacity` units of work a second."""

    def __init__(self, capacity):
        self.capacity, self.free, self.work = capacity, 0.0, collections.Counter()

    def serve(self, now, work):
        """(when it begins with it, when it is done)"""
        begins = max(now, self.free)
        ends = self.free = begins + work / self.capacity
        second = int(begins)
        if ends <= second + 1:
            self.work[second] += work
            return begins, ends
        while second < ends:  # counted in the second in which it is done
            self.work[second] += (min(ends, second + 1) - max(begins, second)) * self.capacity
            second += 1
        return begins, ends

    def peak(self):
        """The largest share of its capacity that it was used in a second."""
        return max(self.work.values(), default=0) / self.capacity


class Tally:
    """Of values that come with a weight: percentiles, by tenths of a millisecond."""

    def __init__(self):
        self.slots, self.weight, self.most = collections.Counter(), 0, 0.0

    def add(self, first, last, weight):
        """Of weight of them, evenly from first to last."""
        parts = PARTS if last - first > 1e-3 else 1
        for i in range(parts):
            self.slots[round((first + (last - first) * (i + 0.5) / parts) * 1e4)] += weight / parts
        self.weight, self.most = self.weight + weight, max(self.most, last)

    def at(self, share):
        seen = 0
        for slot in sorted(self.slots):
            seen += self.slots[slot]
            if seen >= share * self.weight - 1e-9:
                return slot / 1e4
        return 0.0


# ---- objects, and the nodes that have them


@dataclasses.dataclass
class Thing:
    """An object at one node."""
    pieces: int
    have: int = 0
    asked: bool = False                                     # a FETCH of it is under way
    below: list = dataclasses.field(default_factory=list)   # (how many pieces it has, node) that wait for more
    cohorts: list = dataclasses.field(default_factory=list)  # viewers who do


@dataclasses.dataclass
class Cohort:
    count: float
    arrived: float
    has: int = 0
    asked: float = 0.0
    lost: float = None  # when its edge was, of those who move
    joins: bool = False
    late_s: float = 0.0  # of those who began farther behind the clock than others
    then: object = None  # called when it has all of an object


class Node:
    def __init__(self, world, name, machine, above=(), rtt_s=0.0):
        self.world, self.name, self.machine = world, name, machine
        self.above, self.siblings, self.rtt_s = list(above), [], rtt_s  # siblings: with itself, in the ring's order
        self.cpu, self.wire = Station(machine.cores), Station(machine.bytes_s)
        self.things, self.up, self.dead = {}, True, set()  # dead: names that did not answer
        self.fetches = collections.Counter()  # that it was asked for, a second
        self.questions = collections.Counter()  # by object

    def thing(self, key):
        if key not in self.things:
            self.things[key] = Thing(self.world.pieces(key))
        return self.things[key]

    # -- upwards

    def way_up(self, key):
        """(the node to ask, how far it is): the key's owner among siblings, who asks above; of those above the first that lives."""
        for sibling in self.world.ring(key, self.siblings):
            if sibling is self:
                break
            if sibling.name not in self.dead:
                return sibling, self.world.site_rtt_s
        alive = [node for node in self.world.owners(key, self.above) if node.name not in self.dead]
        return (alive or self.above)[0], self.rtt_s

    def want(self, key):
        thing = self.thing(key)
        if thing.asked or thing.have == thing.pieces or not self.up:
            return
        thing.asked = True
        node, rtt_s = self.way_up(key)
        self.world.engine.at(self.world.engine.now + rtt_s / 2, node.asked, key, thing.have, self, rtt_s)

    def again(self, key, dead):
        self.dead.add(dead.name)
        self.thing(key).asked = False
        self.want(key)

    def got(self, key, have):
        thing = self.thing(key)
        thing.asked = False
        if have > thing.have and self.up:
            thing.have = have
            _, ends = self.cpu.serve(self.world.engine.now, self.world.tracks(key) * self.world.figures.miss_us / 1e6)
            self.world.engine.at(ends, self.more, key)
        self.want(key)

    # -- downwards

    def asked(self, key, has, child, rtt_s):
        if not self.up:
            self.world.engine.at(self.world.engine.now + self.world.failover_s, child.again, key, self)
            return
        now = self.world.engine.now
        self.fetches[int(now)] += self.world.tracks(key)
        self.questions[key] += 1
        thing = self.thing(key)
        self.have_now(key, thing)
        if thing.have > has:
            self.answer(key, has, child, rtt_s)
        else:
            thing.below.append((has, child, rtt_s))
            self.want(key)

    def have_now(self, key, thing):
        """Of an origin: what was made until now."""

    def answer(self, key, has, child, rtt_s):
        thing, figures, now = self.thing(key), self.world.figures, self.world.engine.now
        size = self.world.size(key) * (thing.have - has) / thing.pieces
        _, worked = self.cpu.serve(now, (self.world.tracks(key) * figures.fetch_us + size / 1e3 * figures.fetch_kb_us) / 1e6)
        _, sent = self.wire.serve(now, size)
        self.world.engine.at(max(worked, sent) + rtt_s / 2, child.got, key, thing.have)

    def more(self, key):
        """There are more pieces: for those below who wait."""
        thing = self.thing(key)
        waiting, thing.below = thing.below, []
        for has, child, rtt_s in waiting:
            self.answer(key, has, child, rtt_s)

    def die(self):
        self.up = False
        for key, thing in self.things.items():
            for _, child, _ in thing.below:
                self.world.engine.at(self.world.engine.now + self.world.failover_s, child.again, key, self)
            thing.below, thing.cohorts = [], []

    def load(self):
        return {"cpu": self.cpu.peak(), "wire": self.wire.peak(), "fetches_s": max(self.fetches.values(), default=0)}


class Origin(Node):
    def have_now(self, key, thing):
        thing.have = max(thing.have, self.world.made_until(key, self.world.engine.now))

    def want(self, key):
        """Nobody is asked: the next piece will be made."""
        thing = self.thing(key)
        if thing.asked or thing.have == thing.pieces:
            return
        thing.asked = True
        self.world.engine.at(self.world.made_at(key, thing.have) + self.world.origin_tick_s, self.made, key)

    def made(self, key):
        thing = self.thing(key)
        thing.asked = False
        if not self.up:
            return
        self.have_now(key, thing)
        self.more(key)
        if thing.below:
            self.want(key)


class Edge(Node):
    def __init__(self, *args, site="", **options):
        super().__init__(*args, **options)
        self.site, self.viewers, self.watching, self.most, self.turned = site, 0.0, 0.0, 0.0, 0.0
        self.reader = None  # a Station: of viewers that share a processor, what they do with a piece

    # -- a viewer's way in: connection, manifest, init segment, the segment that is being made

    def arrive(self, count, lost=None):
        """Those for whom there is no room are told so, and go where there is."""
        room = self.machine.connections_max - self.viewers
        if count > room or not self.up:
            over = count - max(0, room) if self.up else count
            self.turned += over
            self.world.elsewhere(self, over, lost)
            count -= over
        if count <= 0:
            return
        now, world = self.world.engine.now, self.world
        self.viewers += count
        self.most = max(self.most, self.viewers)
        _, ends = self.cpu.serve(now, count * world.figures.connect_us / 1e6)
        begins = ends + world.connect_rtts * world.viewer_rtt_s
        if lost is None:
            world.engine.at(begins, self.ask, ("manifest", int(begins // world.stream.manifest_ttl_s)),
                            Cohort(count, now, then=self.has_manifest))
        else:
            world.engine.at(begins, self.join, Cohort(count, now, lost=lost))

    def has_manifest(self, cohort, ends):
        cohort = Cohort(cohort.count, cohort.arrived, then=self.has_init)
        self.world.engine.at(ends + self.world.viewer_rtt_s, self.ask, ("init", 0), cohort)

    def has_init(self, cohort, ends):
        self.world.engine.at(ends + self.world.viewer_rtt_s, self.join, Cohort(cohort.count, cohort.arrived))

    def join(self, cohort):
        """It begins with the segment in which its picture is, and goes on to the newest; the next ones it asks for when they begin."""
        stream, now = self.world.stream, self.world.engine.now
        cohort.joins = True
        self.watching += cohort.count if self.up else 0
        self.ask_until(max(0, int((now - stream.late_s) // stream.segment_s)), int(now // stream.segment_s), cohort)

    def ask_until(self, number, newest, cohort):
        if number < newest:
            cohort.then = lambda done, ends: self.world.engine.at(ends, self.ask_until, number + 1, newest,
                                                                  Cohort(done.count, done.arrived, joins=done.joins, late_s=done.late_s))
        self.ask(("segment", number), cohort)

    # -- what viewers ask for, and get

    def ask(self, key, cohort):
        if not self.up:
            return
        now, figures = self.world.engine.now, self.world.figures
        tracks = self.world.stream.viewer_tracks if key[0] != "manifest" else 1
        self.cpu.serve(now, cohort.count * tracks * figures.request_us / 1e6)
        cohort.asked = now
        self.world.requests += cohort.count * tracks
        thing = self.thing(key)
        if thing.have:
            self.deliver(key, cohort, at_once=True)
        if cohort.has < thing.pieces:
            thing.cohorts.append(cohort)
            self.want(key)

    def more(self, key):
        super().more(key)
        thing = self.thing(key)
        for cohort in thing.cohorts:
            self.deliver(key, cohort)
        if thing.have == thing.pieces:
            thing.cohorts = []

    def deliver(self, key, cohort, at_once=False):
        """Those pieces that the cohort has not. What is there when it asks goes with its answer's head."""
        world, thing, now = self.world, self.thing(key), self.world.engine.now
        tracks = world.stream.viewer_tracks if key[0] != "manifest" else 1
        size = world.viewer_size(key) * (thing.have - cohort.has) / thing.pieces
        each_us = (0 if at_once else tracks * world.figures.piece_us) + size / 1e3 * world.figures.kb_us
        began, worked = self.cpu.serve(now, cohort.count * each_us / 1e6)
        _, sent = self.wire.serve(now, cohort.count * size)
        first, last = began + each_us / 1e6, max(worked, sent)
        if self.reader:
            last = max(last, self.reader.serve(first, cohort.count * world.reader_us / 1e6)[1])
        last, missing = max(first, last), cohort.has
        cohort.has = thing.have
        if key[0] == "segment":
            self.seen(key, cohort, missing, first + world.viewer_rtt_s / 2, last + world.viewer_rtt_s / 2)
        if cohort.has == thing.pieces and cohort.then:
            cohort.then(cohort, last)

    def seen(self, key, cohort, missing, first, last):
        """Viewers have what they have not had, from the piece `missing` on: the first of them then, the last of them then."""
        world, stream = self.world, self.world.stream
        newest, since = world.made_at(key, cohort.has - 1), world.made_at(key, missing)
        if cohort.joins and cohort.lost is None:
            if cohort.has >= stream.ahead:
                cohort.joins = False
                cohort.late_s = last - (newest - (stream.ahead - 1) * stream.segment_s / stream.pieces)
                world.startup.add(first - cohort.arrived, last - cohort.arrived, cohort.count)
            return
        if cohort.joins:
            cohort.joins, since = False, cohort.lost
            world.gap.add(first - since, last - since, cohort.count)
        elif newest > cohort.asked:  # one that was there when it was asked for is late by the viewer's own choice
            world.lateness.add(first - newest, last - newest, cohort.count)
        world.stalls += cohort.count * share_above(first - since, last - since, max(cohort.late_s, stream.late_s))

    def segment_begins(self, number):
        """Those who are here ask for it, within a while."""
        stream, engine = self.world.stream, self.world.engine
        if not self.up:
            return
        if self.world.follows and self.watching:
            self.want(("segment", number))
        for i in range(stream.slices if self.watching else 0):
            share = Cohort(self.watching / stream.slices, engine.now)
            engine.at(engine.now + stream.spread_s * (i + 0.5) / stream.slices, self.ask, ("segment", number), share)
        for key in [key for key in self.things if key[0] != "init" and self.world.is_old(key)]:
            del self.things[key]

    def memory(self):
        figures = self.world.figures
        return self.most * (figures.follow_bytes + figures.kernel_bytes)


def share_above(first, last, bound):
    """Of what lies evenly between first and last."""
    return (1.0 if first > bound else 0.0) if last <= first else min(1.0, max(0.0, (last - bound) / (last - first)))


class World:
    def __init__(self, figures, stream=None, follows=False, viewer_rtt_s=0.03, site_rtt_s=0.0005, connect_rtts=2, failover_s=0.25,
                 origin_tick_s=0.0, reader_us=0.0):
        self.figures, self.stream, self.engine = figures, stream or Stream(), Engine()
        self.follows = follows  # an edge that has viewers asks for the next segment before they do
        self.viewer_rtt_s, self.site_rtt_s, self.connect_rtts = viewer_rtt_s, site_rtt_s, connect_rtts  # TCP and TLS
        self.failover_s, self.origin_tick_s, self.reader_us = failover_s, origin_tick_s, reader_us
        self.nodes, self.edges, self.requests, self.stalls, self.lost_for_good = [], [], 0.0, 0.0, 0.0
        self.startup, self.lateness, self.gap = Tally(), Tally(), Tally()
        self.rings = {}

    # -- objects

    def pieces(self, key):
        return self.stream.pieces if key[0] == "segment" else 1

    def tracks(self, key):
        return 1 if key[0] == "manifest" else self.stream.tracks

    def size(self, key):
        return {"segment": self.stream.all_bytes_s * self.stream.segment_s, "manifest": self.stream.manifest_bytes,
                "init": self.stream.init_bytes * self.stream.tracks}[key[0]]

    def viewer_size(self, key):
        return {"segment": self.stream.viewer_bytes_s * self.stream.segment_s, "manifest": self.stream.manifest_bytes,
                "init": self.stream.init_bytes * self.stream.viewer_tracks}[key[0]]

    def made_at(self, key, piece):
        return (key[1] + piece / self.stream.pieces) * self.stream.segment_s if key[0] == "segment" else 0.0

    def made_until(self, key, now):
        if key[0] != "segment":
            return 1
        age = (now - key[1] * self.stream.segment_s) / self.stream.segment_s * self.stream.pieces
        return min(self.stream.pieces, max(0, 1 + math.floor(age + 1e-9)))

    def is_old(self, key):
        return self.engine.now - key[1] * (self.stream.segment_s if key[0] == "segment" else self.stream.manifest_ttl_s) > 5

    def ring(self, key, siblings):
        """Those of one site, which share their list, in the order in which they own key."""
        at = (key, id(siblings))
        if siblings and at not in self.rings:
            self.rings[at] = sorted(siblings, key=lambda node: hashlib.blake2b(f"{key}{node.name}".encode(), digest_size=8).digest())
        return self.rings.get(at, [])

    def owners(self, _key, nodes):
        """Of one live stream: all of its tracks are at the same origins, in the same order."""
        return nodes

    # -- nodes

    def add(self, node):
        self.nodes.append(node)
        return node

    def origin(self, name, machine=None):
        return self.add(Origin(self, name, machine or Machine()))

    def central(self, name, machine, above, rtt_s):
        return self.add(Node(self, name, machine, above, rtt_s))

    def edge(self, name, site, machine, above, rtt_s=0.0):
        edge = self.add(Edge(self, name, machine, above, rtt_s, site=site))
        self.edges.append(edge)
        return edge

    # -- viewers

    def crowd(self, where, at_s, within_s, every_s=0.5):
        """So many at each edge, evenly within a while."""
        steps = max(1, round(within_s / every_s))
        for edge, count in where.items():
            for i in range(steps):
                self.engine.at(at_s + within_s * (i + 0.5) / steps, edge.arrive, count / steps)

    def lose(self, nodes, at_s, notice_s, to, every_s=0.1):
        """They die; their viewers notice it within notice_s, and go to others, evenly."""
        self.engine.at(at_s, self._lose, nodes, notice_s, to, every_s)

    def _lose(self, nodes, notice_s, to, every_s):
        now, count = self.engine.now, sum(getattr(node, "viewers", 0) for node in nodes)
        for node in nodes:
            node.die()
            node.viewers = node.watching = 0.0
        there, steps = [edge for edge in to if edge.up], max(1, round(notice_s / every_s))
        if not there:
            self.lost_for_good += count
            return
        for edge in there:
            for i in range(steps if count else 0):
                self.engine.at(now + notice_s * (i + 0.5) / steps, edge.arrive, count / steps / len(there), now)

    def elsewhere(self, edge, count, lost):
        """To who has most room; nobody has: they give up, counted."""
        with_room = [other for other in self.edges
                     if other.up and other is not edge and other.viewers + count < other.machine.connections_max]
        if with_room:
            best = min(with_room, key=lambda other: other.viewers / other.machine.connections_max)
            self.engine.at(self.engine.now + 2 * self.viewer_rtt_s, best.arrive, count, lost)
        else:
            self.lost_for_good += count

    def run(self, until_s):
        for number in range(int(until_s / self.stream.segment_s) + 1):
            for edge in self.edges:
                self.engine.at(number * self.stream.segment_s, edge.segment_begins, number)
        self.engine.run(until_s)
        return self
