#include "common/cluster/peers.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cluster/nng_clock.h"
#include "common/cluster/ring.h"
#include "common/daemon/log.h"
#include "common/daemon/metrics.h"
#include "common/err.h"
#include "common/magic.h"
#include "common/mem.h"

#define NAMES_MAX 64
#define ADDRESSES_MAX 128 /* of one name */
#define HOST_MAX 255

#define TWIN_LOOKS 3 /* PEERS_RESOLVE_MS apart */

#define NAME_MAGIC 0x4e414d45

/* One configured host:port and the addresses it had at the last answer. */
struct name {
        uint32_t magic;
        struct peers *peers;
        char host[HOST_MAX + 1], port[6];
        uv_getaddrinfo_t lookup;
        bool looking, failed; /* failed: logged already */
        char (*addresses)[64];
        size_t address_count;
};

struct node {
        struct peer peer; /* first: what callers hold */
        struct peers *owner;
        enum peer_state counted; /* in freshet_peers */
        bool wrong_role;         /* logged already */
        unsigned twin_looks;     /* how often in a row its id was another live node's too */
};

#define PEERS_MAGIC 0x50454552

struct peers {
        uint32_t magic;
        uv_loop_t *loop;
        uv_timer_t timer;
        const struct node_identity *self;
        enum node_role expected;
        peers_changed *changed;
        void *arg;
        struct ring *ring; /* id → node */
        struct name names[NAMES_MAX];
        size_t name_count;
        struct node *nodes[PEERS_MAX];
        size_t node_count;
        bool closing, full;
        int pending; /* handles and lookups that still refer to this */
        struct peers *next_open;
};

static struct peers *all_open; /* not closing: for peers_json() */

#define STATES(role)                                                                                                   \
        ROW(role, "connecting"), ROW(role, "live"), ROW(role, "draining"), ROW(role, "dead")
#define ROW(role_name, state_name)                                                                                     \
        {.name = "freshet_peers", .type = METRIC_GAUGE, .help = "Nodes this one talks to, by role and state.",        \
         .labels = "role=\"" role_name "\",state=\"" state_name "\""}
#define STATE_COUNT 4
static struct metric gauges[] = {STATES("ingestd"), STATES("transcoderd"), STATES("originD"), STATES("edged")};

static struct metric apart[] = {
        {.name = "freshet_peer_clocks_apart_seconds", .type = METRIC_GAUGE, .scale = 1e-6,
         .help = "The most that a live peer's wall clock differs from this node's, by HELLO's round trips; 0: by nothing that "
                 "can be told."},
};

static struct metric *gauge(const struct peers *p, enum peer_state state)
{
        return &gauges[(p->expected - ROLE_INGESTD) * STATE_COUNT + (int)state];
}

/* ---- names ------------------------------------------------------------------------------------------------------ */

/* One host:port at *list, which moves behind it. A numeric IPv6 host stands in brackets. */
static int parse_name(const char **list, char host[HOST_MAX + 1], char port[6])
{
        size_t len = strcspn(*list, ",");
        const char *s = *list, *end = s + len, *colon = memrchr(s, ':', len);
        *list = end + (*end == ',');
        if (!colon)
                return ERR_CONFIG;
        const char *host_end = colon;
        if (*s == '[' && colon > s + 2 && colon[-1] == ']') {
                s++;
                host_end = colon - 1;
        } else if (memchr(s, ':', (size_t)(colon - s))) {
                return ERR_CONFIG;
        }
        size_t host_len = (size_t)(host_end - s), port_len = (size_t)(end - colon - 1);
        if (host_len == 0 || host_len > HOST_MAX || port_len == 0 || port_len > 5 ||
            strspn(colon + 1, "0123456789") < port_len || memchr(s, ' ', host_len))
                return ERR_CONFIG;
        snprintf(host, HOST_MAX + 1, "%.*s", (int)host_len, s);
        snprintf(port, 6, "%.*s", (int)port_len, colon + 1);
        int number = atoi(port);
        return number >= 1 && number <= 65535 ? 0 : ERR_CONFIG;
}

int peers_check_names(const void *value, char *why, size_t why_cap)
{
        const char *list = *(char *const *)value;
        char host[HOST_MAX + 1], port[6];
        size_t count = 0;
        while (*list) {
                if (parse_name(&list, host, port) != 0 || ++count > NAMES_MAX) {
                        snprintf(why, why_cap, "allowed: host:port[,host:port…], at most %d, port 1 to 65535", NAMES_MAX);
                        return ERR_CONFIG;
                }
        }
        return 0;
}

/* ---- one peer --------------------------------------------------------------------------------------------------- */

static bool usable(const struct node *n)
{
        return (n->peer.info.state == PEER_LIVE || n->peer.info.state == PEER_DRAINING) && !n->wrong_role;
}

static void count_state(struct node *n, enum peer_state state)
{
        metric_add(gauge(n->owner, n->counted), -1);
        metric_add(gauge(n->owner, state), 1);
        n->counted = state;
}

/* The ring's node for id is the best of those that have it: a node that came back under another address has two entries
 * until the old one is forgotten. */
static void refresh_ring(struct peers *p, const char *id)
{
        struct node *best = NULL;
        if (!*id)
                return;
        for (size_t i = 0; i < p->node_count; i++) {
                struct node *n = p->nodes[i];
                if (strcmp(n->peer.info.id, id) == 0 && !n->wrong_role &&
                    (!best || (usable(n) && (!usable(best) || n->peer.info.state < best->peer.info.state))))
                        best = n;
        }
        if (best)
                ring_add(p->ring, id, best->peer.info.zone, best);
        else
                ring_remove(p->ring, id);
}

static void judge_role(struct node *n)
{
        bool wrong = n->peer.info.role != 0 && n->peer.info.role != n->owner->expected;
        if (wrong && !n->wrong_role)
                log_error("peer=%s peer_id=%s role=%s msg=\"configured as %s: never used\"", n->peer.address,
                          n->peer.info.id, node_role_name(n->peer.info.role), node_role_name(n->owner->expected));
        n->wrong_role = wrong;
}

/* Two processes that go by one id. A node that is reached by two addresses is one. */
static bool are_twins(const char *id, int64_t incarnation_us, const struct node *n)
{
        return usable(n) && strcmp(n->peer.info.id, id) == 0 && n->peer.info.incarnation_us != incarnation_us;
}

static bool has_twin(const struct peers *p, const struct node *n)
{
        if (n->owner->expected == p->self->role && are_twins(p->self->id, p->self->incarnation_us, n))
                return true;
        for (size_t i = 0; i < p->node_count; i++) {
                if (usable(n) && are_twins(n->peer.info.id, n->peer.info.incarnation_us, p->nodes[i]))
                        return true;
        }
        return false;
}

/* To the ring they are one node, so each of them is asked for what the other one has. The one before, of a node that started
 * again elsewhere, is not taken for dead at once: only what lasts is told. */
static void look_for_twins(struct peers *p)
{
        for (size_t i = 0; i < p->node_count; i++) {
                struct node *n = p->nodes[i];
                n->twin_looks = has_twin(p, n) ? n->twin_looks + 1 : 0;
                if (n->twin_looks == TWIN_LOOKS)
                        log_error("peer=%s peer_id=%s msg=\"another node has the same id: give each its own, what they store is "
                                  "mixed up\"",
                                  n->peer.address, n->peer.info.id);
        }
}

/* Of all tiers. */
static void look_at_clocks(void)
{
        int64_t most_us = 0;
        for (const struct peers *p = all_open; p; p = p->next_open) {
                for (size_t i = 0; i < p->node_count; i++) {
                        struct clock_ahead a = rpc_client_clock(p->nodes[i]->peer.rpc);
                        int64_t apart_us = usable(p->nodes[i]) ? llabs(clock_ahead_wrong_us(&a, 0)) : 0;
                        most_us = apart_us > most_us ? apart_us : most_us;
                }
        }
        metric_set(&apart[0], most_us);
}

static void on_changed(void *arg, const struct peer_info *info)
{
        struct node *n = arg;
        struct peers *p = n->owner;
        char old_id[64];
        memcpy(old_id, n->peer.info.id, sizeof(old_id));
        n->peer.info = *info;
        judge_role(n);
        count_state(n, info->state);
        if (strcmp(old_id, info->id) != 0)
                refresh_ring(p, old_id);
        refresh_ring(p, info->id);
        if (p->changed)
                p->changed(p->arg, &n->peer);
}

static struct node *find_address(struct peers *p, const char *address)
{
        for (size_t i = 0; i < p->node_count; i++) {
                if (strcmp(p->nodes[i]->peer.address, address) == 0)
                        return p->nodes[i];
        }
        return NULL;
}

static void add_peer(struct peers *p, const char *address)
{
        if (find_address(p, address))
                return;
        if (p->node_count == PEERS_MAX) {
                if (!p->full)
                        log_error("msg=\"more than %d peers; the rest is left out\"", PEERS_MAX);
                p->full = true;
                return;
        }
        struct node *n = mem_alloc(sizeof(*n));
        n->owner = p;
        snprintf(n->peer.address, sizeof(n->peer.address), "%s", address);
        int err = rpc_client_open(&n->peer.rpc, p->loop, address, p->self, on_changed, n);
        if (err != 0) {
                log_error("peer=%s msg=\"cannot be dialed\" error=\"%s\"", address, err_text(err));
                free(n);
                return;
        }
        n->counted = PEER_CONNECTING;
        metric_add(gauge(p, PEER_CONNECTING), 1);
        p->nodes[p->node_count++] = n;
}

static void free_node(struct node *n)
{
        rpc_client_close(n->peer.rpc); /* calls under way end here and may look at the peer */
        metric_add(gauge(n->owner, n->counted), -1);
        free(n);
}

static bool listed(const struct peers *p, const char *address)
{
        for (size_t i = 0; i < p->name_count; i++) {
                for (size_t j = 0; j < p->names[i].address_count; j++) {
                        if (strcmp(p->names[i].addresses[j], address) == 0)
                                return true;
                }
        }
        return false;
}

static void forget_peers(struct peers *p)
{
        for (size_t i = 0; i < p->node_count;) {
                struct node *n = p->nodes[i];
                if (n->peer.info.state != PEER_DEAD || listed(p, n->peer.address)) {
                        i++;
                        continue;
                }
                log_info("peer=%s peer_id=%s msg=\"no longer named, forgotten\"", n->peer.address,
                         *n->peer.info.id ? n->peer.info.id : "-");
                char id[64];
                memcpy(id, n->peer.info.id, sizeof(id));
                p->nodes[i] = p->nodes[--p->node_count];
                p->full = false;
                refresh_ring(p, id);
                free_node(n);
                if (p->changed)
                        p->changed(p->arg, NULL);
        }
}

/* ---- resolving -------------------------------------------------------------------------------------------------- */

static void release_peers(struct peers *p)
{
        if (--p->pending > 0)
                return;
        for (size_t i = 0; i < p->name_count; i++)
                free(p->names[i].addresses);
        p->magic = 0;
        free(p);
}

static void address_text(const struct sockaddr *sa, const char *port, char dst[64])
{
        char ip[INET6_ADDRSTRLEN] = "";
        uv_ip_name(sa, ip, sizeof(ip));
        snprintf(dst, 64, sa->sa_family == AF_INET6 ? "[%s]:%s" : "%s:%s", ip, port);
}

static void take_addresses(struct name *name, const struct addrinfo *list)
{
        name->address_count = 0;
        for (const struct addrinfo *ai = list; ai && name->address_count < ADDRESSES_MAX; ai = ai->ai_next) {
                if (ai->ai_family == AF_INET || ai->ai_family == AF_INET6)
                        address_text(ai->ai_addr, name->port, name->addresses[name->address_count++]);
        }
}

static void log_lookup(struct name *name, int status)
{
        bool failed = status != 0;
        if (failed != name->failed && failed)
                log_warn("name=%s msg=\"does not resolve\" error=\"%s\"", name->host, uv_strerror(status));
        else if (failed != name->failed)
                log_info("name=%s msg=\"resolves again\"", name->host);
        name->failed = failed;
}

/* A name that does not exist any more has no addresses; of any other failure nothing is concluded. */
static void on_lookup(uv_getaddrinfo_t *req, int status, struct addrinfo *list)
{
        struct name *name = magic_check(req->data, NAME_MAGIC);
        struct peers *p = name->peers;
        name->looking = false;
        if (!p->closing) {
                log_lookup(name, status);
                if (status == 0 || status == UV_EAI_NONAME || status == UV_EAI_NODATA)
                        take_addresses(name, list);
                for (size_t i = 0; i < name->address_count; i++)
                        add_peer(p, name->addresses[i]);
                forget_peers(p);
        }
        uv_freeaddrinfo(list);
        release_peers(p);
}

static void look_up(struct name *name)
{
        static const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG};
        struct peers *p = name->peers;
        if (name->looking)
                return;
        name->lookup.data = name;
        int rv = uv_getaddrinfo(p->loop, &name->lookup, on_lookup, name->host, NULL, &hints);
        if (rv != 0) {
                log_lookup(name, rv);
                return;
        }
        name->looking = true;
        p->pending++;
}

/* A numeric host is its own only address: known at once, and never asked for. */
static bool take_numeric(struct name *name)
{
        struct sockaddr_storage ss;
        if (uv_ip4_addr(name->host, 0, (struct sockaddr_in *)&ss) != 0 &&
            uv_ip6_addr(name->host, 0, (struct sockaddr_in6 *)&ss) != 0)
                return false;
        address_text((struct sockaddr *)&ss, name->port, name->addresses[0]);
        name->address_count = 1;
        return true;
}

static void on_timer(uv_timer_t *timer)
{
        struct peers *p = magic_check(timer->data, PEERS_MAGIC);
        for (size_t i = 0; i < p->name_count; i++) {
                struct sockaddr_in6 any;
                struct name *name = &p->names[i];
                if (uv_ip4_addr(name->host, 0, (struct sockaddr_in *)&any) != 0 && uv_ip6_addr(name->host, 0, &any) != 0)
                        look_up(name);
        }
        forget_peers(p);
        look_for_twins(p);
        look_at_clocks();
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void open_names(struct peers *p, const char *list)
{
        while (*list && p->name_count < NAMES_MAX) {
                struct name *name = &p->names[p->name_count];
                if (parse_name(&list, name->host, name->port) != 0)
                        continue;
                p->name_count++;
                name->magic = NAME_MAGIC;
                name->peers = p;
                name->addresses = mem_alloc(ADDRESSES_MAX * sizeof(*name->addresses));
                if (take_numeric(name))
                        add_peer(p, name->addresses[0]);
                else
                        look_up(name);
        }
}

int peers_open(struct peers **out, uv_loop_t *loop, const char *names, enum node_role expected,
               const struct node_identity *self, peers_changed *changed, void *arg)
{
        char why[128];
        *out = NULL;
        if (peers_check_names(&names, why, sizeof(why)) != 0)
                return ERR_CONFIG;
        assert(expected >= ROLE_INGESTD && expected <= ROLE_EDGED);
        metrics_register(gauges, sizeof(gauges) / sizeof(gauges[0]));
        metrics_register(apart, 1);
        if (!nng_clock_is_steady())
                log_debug("msg=\"nng goes by the system's clock: when that is set, requests and connections wait for longer "
                          "or shorter\"");
        struct peers *p = mem_alloc(sizeof(*p));
        p->magic = PEERS_MAGIC;
        p->loop = loop;
        p->self = self;
        p->expected = expected;
        p->changed = changed;
        p->arg = arg;
        p->ring = ring_new();
        p->pending = 1; /* the timer */
        uv_timer_init(loop, &p->timer);
        p->timer.data = p;
        uv_timer_start(&p->timer, on_timer, PEERS_RESOLVE_MS, PEERS_RESOLVE_MS);
        p->next_open = all_open;
        all_open = p;
        open_names(p, names);
        *out = p;
        return 0;
}

static void on_timer_closed(uv_handle_t *handle)
{
        release_peers(magic_check(handle->data, PEERS_MAGIC));
}

void peers_close(struct peers *p)
{
        struct peers **link = &all_open;
        while (*link != p)
                link = &(*link)->next_open;
        *link = p->next_open;
        p->closing = true;
        p->changed = NULL;
        while (p->node_count > 0)
                free_node(p->nodes[--p->node_count]);
        ring_free(p->ring);
        p->ring = NULL;
        for (size_t i = 0; i < p->name_count; i++) {
                if (p->names[i].looking)
                        uv_cancel((uv_req_t *)&p->names[i].lookup);
        }
        uv_close((uv_handle_t *)&p->timer, on_timer_closed);
}

/* ---- choice ----------------------------------------------------------------------------------------------------- */

size_t peers_live(const struct peers *p)
{
        size_t count = 0;
        for (size_t i = 0; i < p->node_count; i++)
                count += usable(p->nodes[i]);
        return count;
}

static bool is_live(const void *node)
{
        const struct node *n = node;
        return n->peer.info.state == PEER_LIVE && !n->wrong_role;
}

static bool is_draining(const void *node)
{
        const struct node *n = node;
        return n->peer.info.state == PEER_DRAINING && !n->wrong_role;
}

size_t peers_route(struct peers *p, const char *key, struct peer **out, size_t max)
{
        void *walk[PEERS_MAX];
        if (p->closing)
                return 0;
        size_t found = ring_walk(p->ring, key, is_live, walk, max < PEERS_MAX ? max : PEERS_MAX);
        found += ring_walk(p->ring, key, is_draining, walk + found, (max < PEERS_MAX ? max : PEERS_MAX) - found);
        for (size_t i = 0; i < found; i++)
                out[i] = &((struct node *)walk[i])->peer;
        return found;
}

/* Brings the live owners, or those of them in this node's zone if there are any, to the front of out and returns how many they are. The
 * owners are who the ring says, not who is there now: who stands in for one that is dead may have nothing of the past. */
static size_t bring_owners(struct peers *p, const char *key, size_t owner_count, bool near, struct peer **out, size_t found)
{
        void *owners[PEERS_OWNERS_MAX];
        size_t first = 0, n = ring_walk(p->ring, key, NULL, owners, owner_count < PEERS_OWNERS_MAX ? owner_count : PEERS_OWNERS_MAX);
        for (size_t i = 0; i < found; i++) {
                struct peer *peer = out[i];
                bool owner = false;
                for (size_t j = 0; j < n; j++)
                        owner |= &((struct node *)owners[j])->peer == peer;
                if (!owner || peer->info.state != PEER_LIVE || (near && strcmp(peer->info.zone, p->self->zone) != 0))
                        continue;
                memmove(&out[first + 1], &out[first], (i - first) * sizeof(*out));
                out[first++] = peer;
        }
        return first;
}

size_t peers_route_near(struct peers *p, const char *key, size_t owner_count, struct peer **out, size_t max)
{
        size_t found = peers_route(p, key, out, max);
        if (*p->self->zone && !p->closing)
                bring_owners(p, key, owner_count, true, out, found);
        return found;
}

size_t peers_route_shared(struct peers *p, const char *key, size_t owner_count, const char *object, struct peer **out, size_t max)
{
        size_t found = peers_route(p, key, out, max), first = 0;
        if (*p->self->zone && !p->closing)
                first = bring_owners(p, key, owner_count, true, out, found);
        if (first == 0 && !p->closing)
                first = bring_owners(p, key, owner_count, false, out, found);
        size_t mine = first ? XXH3_64bits(object, strlen(object)) % first : 0;
        struct peer *peer = found ? out[mine] : NULL;
        memmove(&out[1], &out[0], mine * sizeof(*out));
        if (peer)
                out[0] = peer;
        return found;
}

size_t peers_all(struct peers *p, struct peer **out, size_t max)
{
        size_t found = 0;
        for (size_t i = 0; !p->closing && i < p->node_count && found < max; i++) {
                if (usable(p->nodes[i]))
                        out[found++] = &p->nodes[i]->peer;
        }
        return found;
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

static json_t *peer_json(const struct node *n)
{
        const struct peer *p = &n->peer;
        int64_t rtt_us = rpc_client_rtt_us(p->rpc);
        struct clock_ahead clock = rpc_client_clock(p->rpc);
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:o, s:b, s:o, s:o}", "address", p->address, "id", p->info.id, "role",
                         node_role_name(n->owner->expected), "state",
                         n->wrong_role ? "wrong role" : peer_state_name(p->info.state), "zone", p->info.zone, "rtt_us",
                         rtt_us ? json_integer(rtt_us) : json_null(), "far", rpc_client_is_far(p->rpc), "clock_ahead_us",
                         clock.known ? json_integer(clock.ahead_us) : json_null(), "clock_error_us",
                         clock.known ? json_integer(clock.error_us) : json_null());
}

json_t *peers_json(void)
{
        json_t *list = json_array();
        for (const struct peers *p = all_open; p; p = p->next_open) {
                for (size_t i = 0; i < p->node_count; i++)
                        json_array_append_new(list, peer_json(p->nodes[i]));
        }
        return list;
}
