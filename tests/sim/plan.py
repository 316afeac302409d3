"""How many machines an audience needs, and the world that they are: continents, sites, edges, central tiers, origins."""
import dataclasses
import math

from model import Figures, Machine, Station, Stream, World

CPU_SHARE, WIRE_SHARE = 0.6, 0.7  # of a machine that viewers are to need, at most


@dataclasses.dataclass
class Place:
    name: str
    share: float  # of the audience
    sites: int
    rtt_s: float  # to the origins


CONTINENTS = [Place("here", 0.5, 4, 0.01), Place("west", 0.3, 3, 0.09), Place("east", 0.2, 2, 0.2)]


def viewer_s(figures, stream):
    """(seconds of a core, bytes) that one viewer costs a second."""
    pieces = stream.viewer_tracks * stream.pieces / stream.segment_s
    us = stream.viewer_tracks / stream.segment_s * figures.request_us + pieces * figures.piece_us
    return (us + stream.viewer_bytes_s / 1e3 * figures.kb_us) / 1e6, stream.viewer_bytes_s


def room(figures, stream, machine, memory_bytes=256e9):
    """How many viewers one machine carries, and what bounds it."""
    cpu_s, size = viewer_s(figures, stream)
    bounds = {"processor": machine.cores * CPU_SHARE / cpu_s, "network": machine.bytes_s * WIRE_SHARE / size,
              "memory": 0.5 * memory_bytes / (figures.follow_bytes + figures.kernel_bytes), "connections": machine.connections_max}
    what = min(bounds, key=bounds.get)
    return int(bounds[what]), what


def edges_of(viewers, each, spare, continents=None):
    """{continent's name: edges of each of its sites}, so that the others carry all when `spare` is lost: nothing, an edge of each site, a
    site of each continent, the largest continent."""
    continents = continents or CONTINENTS
    out = {}
    most = max(continents, key=lambda place: place.share)
    for place in continents:
        mine = viewers * place.share
        if spare == "continent":  # the largest one is lost, and its viewers go to the others evenly by what they have
            lost = viewers * most.share
            mine += lost * place.share / (1 - most.share) if place is not most else 0
        sites = place.sites - 1 if spare == "site" and place.sites > 1 else place.sites
        per_site = math.ceil(mine / each / sites)
        out[place.name] = per_site + (1 if spare == "edge" else 0)
    return out


class Deployment:
    """A world for so many viewers. siblings: the edges of a site share what they fetch; central: so many a continent between edges and
    origins; edges: of each site of a continent, instead of as many as are needed."""

    def __init__(self, viewers, spare="site", siblings=True, central=2, follows=False, figures=None, stream=None, machine=None,
                 continents=None, edges=None):
        self.viewers, self.continents = viewers, continents or CONTINENTS
        self.figures, self.stream, self.machine = figures or Figures.load(), stream or Stream(), machine or Machine()
        self.each, self.bound_by = room(self.figures, self.stream, self.machine)
        self.per_site = edges or edges_of(viewers, self.each, spare, self.continents)
        self.world = World(self.figures, self.stream, follows=follows)
        self.origins = [self.world.origin(f"origin-{n}", self.machine) for n in (1, 2)]
        self.centrals, self.sites = [], {}
        for place in self.continents:
            above, rtt_s = self.origins, place.rtt_s
            if central:
                above = [self.world.central(f"{place.name}-central-{n}", self.machine, self.origins, place.rtt_s) for n in range(central)]
                self.centrals += above
                rtt_s = 0.01
            for site in range(place.sites):
                name = f"{place.name}-{site + 1}"
                made = [self.world.edge(f"{name}-edge-{n}", name, self.machine, above, rtt_s) for n in range(self.per_site[place.name])]
                for edge in made:
                    edge.siblings = made if siblings else []
                self.sites[name] = made

    def of(self, place):
        return [edge for name, edges in self.sites.items() if name.rpartition("-")[0] == place.name for edge in edges]

    def crowd(self, at_s=2, within_s=30):
        for place in self.continents:
            edges = self.of(place)
            self.world.crowd({edge: self.viewers * place.share / len(edges) for edge in edges}, at_s, within_s)

    def lose(self, what, at_s):
        """An edge, a site, a continent, the largest of each kind; its viewers go to its site, its continent, to all others."""
        largest = max(self.continents, key=lambda place: place.share)
        site = self.sites[f"{largest.name}-1"]
        if what == "edge":
            self.world.lose(site[:1], at_s, 1.0, site[1:] or self.of(largest))
        elif what == "site":
            self.world.lose(site, at_s, 2.0, [edge for edge in self.of(largest) if edge not in site])
        elif what == "continent":
            gone = self.of(largest)
            centrals = [node for node in self.centrals if node.name.startswith(largest.name)]
            self.world.lose(gone + centrals, at_s, 3.0, [edge for edge in self.world.edges if edge not in gone])

    def sees(self):
        """What is printed of it, when it has run."""
        world, edges = self.world, self.world.edges
        tier = lambda nodes: {what: max((node.load()[what] for node in nodes), default=0) for what in ("cpu", "wire", "fetches_s")}
        return {"edges": len(edges), "centrals": len(self.centrals), "edge": tier(edges), "central": tier(self.centrals),
                "origins": {"fetches_s": sum_peak(self.origins), "bytes_s": max(sum(node.wire.work[s] for node in self.origins)
                                                                                 for s in range(int(world.engine.now) + 1))},
                "memory": max(edge.memory() for edge in edges), "most": max(edge.most for edge in edges), "startup": world.startup,
                "lateness": world.lateness, "gap": world.gap, "stalls": world.stalls, "lost": world.lost_for_good,
                "turned": sum(edge.turned for edge in edges)}


def sum_peak(nodes):
    seconds = {second for node in nodes for second in node.fetches}
    return max((sum(node.fetches[second] for node in nodes) for second in seconds), default=0)


# ---- what fits on one machine, and is measured there (tests/bench/sim.py)

ORIGIN_TICK_S = 0.0025  # fake_fetch looks every 5 ms
PLAYER_TICK_S = 0.002   # viewers does every 2


def one_edge(figures, reader_us, players, seconds, arrive_s, size, begins_s, pieces=5):
    """One edge, one core, an origin beside it that has been live for begins_s, players that share one core."""
    stream = Stream(pieces=pieces, tracks=1, all_bytes_s=size, viewer_tracks=1, viewer_bytes_s=size, manifest_bytes=7, init_bytes=1000,
                    spread_s=PLAYER_TICK_S, slices=2)
    world = World(figures, stream, viewer_rtt_s=0.0, connect_rtts=0, origin_tick_s=ORIGIN_TICK_S, reader_us=reader_us)
    origin = world.origin("origin")
    edge = world.edge("edge", "here", Machine(cores=1), [origin])
    edge.reader = Station(1)
    world.crowd({edge: players}, begins_s, arrive_s, every_s=0.01)
    world.run(begins_s + seconds)
    segments = [n for key, n in origin.questions.items() if key[0] == "segment"]
    return {"requests": world.requests, "edge CPU s": sum(edge.cpu.work.values()), "FETCHes": sum(segments),
            "of one segment": max(segments), "startup p50 ms": world.startup.at(0.5) * 1e3, "startup p99 ms": world.startup.at(0.99) * 1e3,
            "lateness p50 ms": world.lateness.at(0.5) * 1e3, "lateness p99 ms": world.lateness.at(0.99) * 1e3, "stalls": world.stalls}
