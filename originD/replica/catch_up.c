#include "originD/replica/catch_up.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/cluster/ring.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "originD/replica/compare.h"
#include "originD/replica/copy_session.h"
#include "originD/stats.h"

#define TICK_MS 50
#define LOAD_WAIT_MS 3000 /* so long a peer may take to read a recording's tracks */

/* A session that a peer has more of. */
struct lack {
        char id[SESSION_ID_MAX + 1], stream[STREAM_ID_MAX + 1], peer[NODE_ID_MAX + 1];
        int64_t epoch_us;
        bool live;
        bool exact; /* somebody asked for this one: to be looked at now, and to the last chunk */
        bool again; /* it was asked for while it was being copied */
        bool told;  /* by the last list of this peer */
        bool foreign; /* not to be here: only known */
        int64_t not_before_us;
        unsigned failures;
        struct copy_session *copy; /* under way */
        struct catch_up *catch_up;
        struct lack *next, *next_of_bucket;
};
#define LACK_BUCKETS 1024 /* by stream: for every question that waits it is asked what lacks, fifty times a second */

struct partner {
        char id[NODE_ID_MAX + 1];
        int64_t incarnation_us;
        bool up, compared; /* compared: in full, since it came up */
        bool heard_of_live; /* since it came up: of each session that is live here it has told what it is there */
        int64_t heard_us;  /* it answered last */
        enum { ASKS_NOTHING, ASKS_ENDED, ASKS_LIVE, ASKS_ONE } asking; /* the list that is being fetched */
        char (*untold)[SESSION_ID_MAX + 1]; /* live here, not there: asked for one by one, the last one first */
        size_t untold_count;
        uint64_t since;    /* what ended there is known up to this change of its */
        bool more;         /* than could be noted: it stays there until there is room */
        bool pages_left;   /* of what ended: what is live is looked at in between */
        bool forgotten;    /* what it told; an answer that is on its way does not know that */
        bool starts;       /* it does not know itself yet what it has: nobody waits for that */
        int64_t asked_us, asked_live_us;
        struct catch_up *catch_up;
        uint8_t *text;
        size_t len;
};

struct catch_up {
        uv_loop_t *loop;
        uv_timer_t timer;
        struct store *store;
        struct peer_link *link;
        struct catch_up_options options;
        struct catch_up_events events;
        struct ring *ring; /* all origins seen since the start, this one too; their nodes are strings */
        bool settled, caught_up, stopping;
        int64_t opened_us;
        struct partner partners[PEERS_UP_MAX];
        size_t partner_count;
        struct lack *lacks; /* live ones first, then by epoch, the newest first */
        struct lack *by_stream[LACK_BUCKETS]; /* in the same order */
        size_t lack_count, foreign_count, copying;
        struct lack *copies[CATCH_UP_COPIES_MAX]; /* those of them that are copied now, in any order */
        struct catch_up_wait *waits;
};

/* ---- what is lacking ---------------------------------------------------------------------------------------------- */

static bool before(const struct lack *a, const struct lack *b)
{
        if (a->exact != b->exact)
                return a->exact;
        return a->live != b->live ? a->live : a->epoch_us > b->epoch_us;
}

static size_t bucket(const char *stream)
{
        return XXH3_64bits(stream, strlen(stream)) % LACK_BUCKETS;
}

static struct lack *find_lack(const struct catch_up *r, const char *id, const char *stream, const char *peer)
{
        struct lack *l = r->by_stream[bucket(stream)];
        while (l && (strcmp(l->id, id) != 0 || strcmp(l->peer, peer) != 0))
                l = l->next_of_bucket;
        return l;
}

static void link_lack(struct catch_up *r, struct lack *l)
{
        struct lack **at = &r->lacks;
        while (*at && !before(l, *at))
                at = &(*at)->next;
        l->next = *at;
        *at = l;
        at = &r->by_stream[bucket(l->stream)];
        while (*at && !before(l, *at))
                at = &(*at)->next_of_bucket;
        l->next_of_bucket = *at;
        *at = l;
}

static void unlink_lack(struct catch_up *r, struct lack *l)
{
        struct lack **at = &r->lacks;
        while (*at != l)
                at = &(*at)->next;
        *at = l->next;
        at = &r->by_stream[bucket(l->stream)];
        while (*at != l)
                at = &(*at)->next_of_bucket;
        *at = l->next_of_bucket;
}

static void count_lack(struct catch_up *r, const struct lack *l, int n)
{
        *(l->foreign ? &r->foreign_count : &r->lack_count) += (size_t)n;
        stat_set(STAT_BEHIND, (int64_t)r->lack_count);
}

static void forget_lack(struct catch_up *r, struct lack *l)
{
        unlink_lack(r, l);
        count_lack(r, l, -1);
        free(l);
}

/* NULL: there are too many. */
static struct lack *note_lack(struct catch_up *r, const char *peer, const char *id, const char *stream, int64_t epoch_us,
                              bool live, bool foreign)
{
        struct lack *l = find_lack(r, id, stream, peer);
        if (!l && (foreign ? r->foreign_count >= CATCH_UP_FOREIGN_MAX : r->lack_count >= CATCH_UP_LACKS_MAX))
                return NULL;
        if (!l) {
                l = mem_alloc(sizeof(*l));
                *l = (struct lack){.catch_up = r, .epoch_us = epoch_us, .live = live, .foreign = foreign};
                snprintf(l->id, sizeof(l->id), "%s", id);
                snprintf(l->stream, sizeof(l->stream), "%s", stream);
                snprintf(l->peer, sizeof(l->peer), "%s", peer);
                link_lack(r, l);
                count_lack(r, l, 1);
        }
        count_lack(r, l, -1);
        l->foreign = foreign;
        count_lack(r, l, 1);
        return l;
}

/* ---- copying ------------------------------------------------------------------------------------------------------ */

static void start_copies(struct catch_up *r);

static bool being_looked_at(const struct catch_up *r, const char *id)
{
        for (const struct lack *l = r->lacks; l; l = l->next)
                if (strcmp(l->id, id) == 0 && (l->copy || (l->exact && !l->not_before_us))) /* and has not failed since */
                        return true;
        return false;
}

static void answer_waits(struct catch_up *r, bool all)
{
        struct catch_up_wait *todo = r->waits;
        int64_t now = clock_mono_us();
        r->waits = NULL;
        while (todo) {
                struct catch_up_wait *w = todo;
                todo = w->next;
                bool over = !being_looked_at(r, w->session);
                if (all || over || now >= w->deadline_us) {
                        w->done(w, all ? ERR_CANCELED : over ? 0 : ERR_NOT_YET);
                } else {
                        w->next = r->waits;
                        r->waits = w;
                }
        }
}

static bool is_up(const struct catch_up *r, const char *id)
{
        for (size_t i = 0; i < r->partner_count; i++)
                if (strcmp(r->partners[i].id, id) == 0)
                        return r->partners[i].up;
        return false;
}

/* NULL: a free one. */
static struct lack **copy_slot(struct catch_up *r, const struct lack *l)
{
        struct lack **at = r->copies;
        while (*at != l)
                at++;
        return at;
}

static void copied(void *arg, int status)
{
        struct lack *l = arg;
        struct catch_up *r = l->catch_up;
        *copy_slot(r, l) = NULL;
        l->copy = NULL;
        r->copying--;
        if (status && !is_up(r, l->peer)) {
                forget_lack(r, l); /* what it has is looked at when it is back */
        } else if (status) {
                l->not_before_us = clock_mono_us() + (CATCH_UP_BEHIND_US << (l->failures < 4 ? l->failures : 4));
                l->failures++;
        } else if (!l->again) {
                forget_lack(r, l);
        } else {
                l->again = false;
        }
        answer_waits(r, false);
        start_copies(r);
}

static bool session_is_copied(const struct catch_up *r, const char *id)
{
        for (const struct lack *l = r->lacks; l; l = l->next)
                if (l->copy && strcmp(l->id, id) == 0)
                        return true;
        return false;
}

static void start_copies(struct catch_up *r)
{
        int64_t now = clock_mono_us();
        size_t old = 0;
        if (r->stopping)
                return;
        for (size_t i = 0; i < CATCH_UP_COPIES_MAX; i++)
                old += r->copies[i] && !r->copies[i]->live;
        for (struct lack *l = r->lacks; l && r->copying < CATCH_UP_COPIES_MAX; l = l->next) {
                if (l->copy || l->foreign || now < l->not_before_us || (!l->live && old >= CATCH_UP_OLD_COPIES_MAX) ||
                    session_is_copied(r, l->id))
                        continue;
                l->copy = copy_session_start(r->store, r->link, l->peer, l->id, l->exact, l->failures > 0, r->options.old, copied, l);
                if (!l->copy)
                        continue;
                *copy_slot(r, NULL) = l;
                r->copying++;
                old += !l->live;
        }
}

/* ---- comparing ---------------------------------------------------------------------------------------------------- */

static bool removed_here(const struct catch_up *r, const struct peer_session *p)
{
        size_t tracks = p->whole ? p->track_count : p->sum.tracks;
        return p->ended && (tracks == 0 || !retention_wants(r->store, p->stream, p->ended_wall_us, clock_real_us()));
}

static bool owned(const struct catch_up *r, const char *stream)
{
        void *owners[PEERS_UP_MAX];
        size_t max = r->options.replicas < PEERS_UP_MAX ? r->options.replicas : PEERS_UP_MAX;
        size_t n = ring_walk(r->ring, stream, NULL, owners, max);
        for (size_t i = 0; i < n; i++)
                if (strcmp(owners[i], r->options.self) == 0)
                        return true;
        return false;
}

static bool lacks(const struct catch_up *r, const struct peer_session *theirs)
{
        struct session *s = store_session(r->store, theirs->id);
        if (s && compare_end(s, theirs) == END_NOW)
                s->over_elsewhere = true;
        return s ? !s->ending && compare_lacks(s, theirs, false) : !removed_here(r, theirs);
}

/* It was known as live, and is no more: or it would be missed among those that are. */
static void note_end(struct catch_up *r, struct lack *l)
{
        l->live = false;
        unlink_lack(r, l);
        link_lack(r, l);
}

static void compare_with(struct partner *p, const struct catalog *list)
{
        struct catch_up *r = p->catch_up;
        bool live = p->asking == ASKS_LIVE;
        for (struct lack *l = r->lacks; l; l = l->next)
                if (live && l->live && strcmp(l->peer, p->id) == 0)
                        l->told = false;
        for (size_t i = 0; i < list->count; i++) {
                const struct peer_session *t = &list->sessions[i];
                if (!lacks(r, t))
                        continue;
                bool foreign = !store_session(r->store, t->id) && !owned(r, t->stream);
                struct lack *l = note_lack(r, p->id, t->id, t->stream, t->epoch_us, !t->ended, foreign);
                if (l) {
                        l->told = true;
                        if (l->live && t->ended)
                                note_end(r, l);
                } else if (!foreign) {
                        p->more = true;
                }
        }
        for (struct lack *l = r->lacks, *next; l; l = next) {
                next = l->next;
                if (!l->told && !l->copy && !l->exact && strcmp(l->peer, p->id) == 0)
                        forget_lack(r, l);
        }
}

static void check_settled(struct catch_up *r)
{
        int64_t now = clock_mono_us();
        size_t up = 0, waiting = 0;
        bool open = false; /* what has ended elsewhere could be claimed */
        if (r->settled)
                return;
        for (size_t i = 0; i < r->partner_count; i++) {
                const struct partner *p = &r->partners[i];
                int64_t since_us = p->heard_us > r->opened_us ? p->heard_us : r->opened_us;
                if (p->starts) /* as if it were not up yet */
                        continue;
                up += p->up;
                waiting += p->up && !p->compared;
                open |= p->up && !p->heard_of_live && now - since_us < CATCH_UP_SETTLED_US;
        }
        bool alone = !up && (!r->link || now - r->opened_us > CATCH_UP_ALONE_US);
        if (!alone && !(up && !waiting) && (open || now - r->opened_us < CATCH_UP_SETTLED_US))
                return;
        r->settled = true;
        log_info("msg=\"settled\" peers=%zu not_compared=%zu behind=%zu", up, waiting, r->lack_count);
        r->events.settled(r->events.arg);
}

/* Not what was asked for just now: of that nobody knows yet whether anything is lacking. */
static bool live_behind(const struct catch_up *r)
{
        for (const struct lack *l = r->lacks; l; l = l->next)
                if (l->live && l->told && !l->foreign)
                        return true;
        return false;
}

static void check_caught_up(struct catch_up *r)
{
        if (r->caught_up || !r->settled || (live_behind(r) && clock_mono_us() - r->opened_us < CATCH_UP_READY_US))
                return;
        r->caught_up = true;
        r->events.caught_up(r->events.arg);
}

static void ask_list(struct partner *p);

static void ask(struct partner *p, int what)
{
        free(p->text);
        p->text = NULL;
        p->len = 0;
        p->asking = what;
        p->forgotten = false;
        if (what == ASKS_LIVE)
                p->asked_live_us = clock_mono_us();
        if (what != ASKS_NOTHING)
                ask_list(p);
}

/* What ended comes in pages, and over a long way many of them take a minute; nobody who watches something live waits for that. */
static void take_ended(struct partner *p, const struct catalog *list)
{
        p->pages_left = !p->more && list->more && list->next > p->since;
        if (!p->more) /* what could not be noted is read again when there is room */
                p->since = list->next;
        bool live_is_due = clock_mono_us() - p->asked_live_us > CATCH_UP_SILENT_US;
        ask(p, p->pages_left && !live_is_due ? ASKS_ENDED : ASKS_LIVE);
}

static bool tells(const struct catalog *list, const char *id)
{
        for (size_t i = 0; i < list->count; i++)
                if (strcmp(list->sessions[i].id, id) == 0)
                        return true;
        return false;
}

/* What is live here and not there may have ended there: among many recordings that would be heard last, and until then it would
 * be claimed again here. */
static void note_untold(struct partner *p, const struct catalog *list)
{
        const struct store *st = p->catch_up->store;
        free(p->untold);
        p->untold = mem_alloc((st->live + 1) * sizeof(*p->untold));
        p->untold_count = 0;
        for (const struct session *s = st->first_live; s; s = s->older)
                if (!tells(list, s->id))
                        strcpy(p->untold[p->untold_count++], s->id);
}

/* true: it is on its way. */
static bool ask_untold(struct partner *p)
{
        if (p->heard_of_live || !p->untold_count) {
                p->heard_of_live = true;
                return false;
        }
        ask(p, ASKS_ONE);
        return true;
}

static void take_list(struct partner *p, const struct catalog *list)
{
        compare_with(p, list);
        if (p->asking == ASKS_LIVE && !p->heard_of_live)
                note_untold(p, list);
        else if (p->asking == ASKS_ONE)
                p->untold_count--;
        if (p->forgotten) {
                ask(p, ASKS_ENDED);
        } else if (p->asking == ASKS_ENDED) {
                take_ended(p, list);
        } else if (ask_untold(p)) {
                return;
        } else if (p->pages_left) {
                ask(p, ASKS_ENDED);
        } else {
                p->compared = true;
                ask(p, ASKS_NOTHING);
        }
}

/* answered: the peer said so. */
static void list_over(struct partner *p, int status, bool answered)
{
        struct catch_up *r = p->catch_up;
        struct catalog list = {0};
        p->starts = answered && status == ERR_NOT_YET && p->asking != ASKS_ONE;
        if (!status)
                status = catalog_read(&list, (const char *)p->text, p->len);
        else if (answered && p->asking == ASKS_ONE) /* of this one it cannot tell, which is not to be waited for */
                status = 0;
        if (!status) {
                take_list(p, &list);
                catalog_free(&list);
        } else {
                if (status != ERR_CANCELED && status != ERR_CLOSED && !p->starts)
                        log_warn("peer=%s msg=\"cannot compare\" error=\"%s\"", p->id, err_text(status));
                ask(p, ASKS_NOTHING);
        }
        if (r->stopping)
                return;
        check_settled(r);
        start_copies(r);
}

static void on_list(void *arg, int err, const struct fetch_reply *m, struct buf *bytes)
{
        struct partner *p = arg;
        int status = err ? err : m->status;
        p->heard_us = err ? p->heard_us : clock_mono_us();
        if (!status && bytes && p->len + bytes->len <= CATALOG_MAX_BYTES) {
                p->text = mem_resize(p->text, p->len + bytes->len);
                memcpy(p->text + p->len, bytes->data, bytes->len);
                p->len += bytes->len;
        } else if (!status) {
                status = bytes ? ERR_LIMIT : ERR_PROTO;
        }
        if (status || m->flags & FETCH_COMPLETE)
                list_over(p, status, !err);
        else
                ask_list(p);
}

static void ask_list(struct partner *p)
{
        struct fetch m = {.offset = p->len, .hops = FETCH_HOPS_MAX, .wait_ms = p->asking == ASKS_ONE ? LOAD_WAIT_MS : 0};
        struct catch_up *r = p->catch_up;
        if (p->asking == ASKS_LIVE)
                strcpy(m.key, "/peer/live");
        else if (p->asking == ASKS_ONE)
                snprintf(m.key, sizeof(m.key), "/peer/session/%s", p->untold[p->untold_count - 1]);
        else
                snprintf(m.key, sizeof(m.key), "/peer/ended/%" PRIu64, p->since);
        if (r->stopping || r->link->ops->fetch(r->link, p->id, &m, on_list, p))
                list_over(p, ERR_CLOSED, false);
}

static void begin_comparing(struct partner *p)
{
        struct catch_up *r = p->catch_up;
        p->asked_us = clock_mono_us();
        p->pages_left = false;
        if (r->lack_count < CATCH_UP_LACKS_MAX / 2)
                p->more = false;
        ask(p, p->more ? ASKS_LIVE : ASKS_ENDED);
}

/* The caller puts a new one on the ring. */
static struct partner *partner_of(struct catch_up *r, const char *id)
{
        struct partner *unused = NULL;
        for (size_t i = 0; i < r->partner_count; i++) {
                if (strcmp(r->partners[i].id, id) == 0)
                        return &r->partners[i];
                if (!r->partners[i].up && !r->partners[i].asking)
                        unused = &r->partners[i];
        }
        if (r->partner_count < PEERS_UP_MAX)
                unused = &r->partners[r->partner_count++];
        if (unused) {
                ring_remove(r->ring, unused->id); /* of one that has not been up for long */
                free(unused->untold);
                *unused = (struct partner){.catch_up = r};
                memcpy(unused->id, id, strlen(id) + 1);
        }
        return unused;
}

/* From here on it has to tell again what ended: it counts anew, or what it told is forgotten. */
static void read_anew(struct partner *p)
{
        p->heard_of_live = false;
        p->since = 0;
        p->forgotten = true;
}

static void forget_lacks_of(struct catch_up *r, const char *peer)
{
        for (struct lack *l = r->lacks, *next; l; l = next) {
                next = l->next;
                if (!l->copy && strcmp(l->peer, peer) == 0)
                        forget_lack(r, l);
        }
}

/* What it told before it started anew may not be so any more, and what it has now may be another writer's. */
static void stop_copies_of(struct catch_up *r, const char *peer)
{
        struct copy_session *old[CATCH_UP_COPIES_MAX];
        size_t n = 0;
        for (struct lack *l = r->lacks; l; l = l->next)
                if (l->copy && strcmp(l->peer, peer) == 0)
                        old[n++] = l->copy;
        while (n) /* each may begin another one */
                copy_session_stop(old[--n]);
}

void catch_up_peers_changed(struct catch_up *r)
{
        struct peer_node up[PEERS_UP_MAX];
        size_t n = r->link && !r->stopping ? r->link->ops->up(r->link, up) : 0;
        for (size_t i = 0; i < r->partner_count; i++)
                r->partners[i].up = false;
        for (size_t i = 0; i < n; i++) {
                struct partner *p = partner_of(r, up[i].id);
                if (!p)
                        continue;
                p->up = true;
                ring_add(r->ring, p->id, up[i].zone, p->id);
                if (p->incarnation_us != up[i].incarnation_us) {
                        stop_copies_of(r, p->id);
                        p->compared = false;
                        read_anew(p);
                }
                p->incarnation_us = up[i].incarnation_us;
        }
        for (size_t i = 0; i < r->partner_count; i++) {
                struct partner *p = &r->partners[i];
                p->compared &= p->up;
                if (!p->up) {
                        read_anew(p);
                        forget_lacks_of(r, p->id);
                }
                if (p->up && !p->compared && !p->asking)
                        begin_comparing(p);
        }
}

static bool any_silent(const struct catch_up *r, int64_t now)
{
        for (const struct session *s = r->store->first_live; s; s = s->older)
                if (!s->ending && now - s->heard_mono_us > COMPARE_SILENT_US)
                        return true;
        return false;
}

static bool is_due(const struct catch_up *r, const struct partner *p, int64_t now)
{
        int64_t since = now - p->asked_us;
        if (!p->up || p->asking || since <= CATCH_UP_SILENT_US)
                return false;
        return since > (r->lacks || !p->compared ? CATCH_UP_BEHIND_US : CATCH_UP_EVERY_US) || any_silent(r, now);
}

static void ticked(uv_timer_t *timer)
{
        struct catch_up *r = timer->data;
        int64_t now = clock_mono_us();
        for (size_t i = 0; i < r->partner_count; i++) {
                if (is_due(r, &r->partners[i], now))
                        begin_comparing(&r->partners[i]);
        }
        check_settled(r);
        check_caught_up(r);
        answer_waits(r, false);
        for (size_t i = 0; i < CATCH_UP_COPIES_MAX; i++)
                if (r->copies[i])
                        copy_session_tick(r->copies[i]->copy);
        start_copies(r);
}

/* ---- others ------------------------------------------------------------------------------------------------------- */

void catch_up_session_changed(struct catch_up *r, const struct session *s)
{
        for (size_t i = 0; i < CATCH_UP_COPIES_MAX; i++)
                if (r->copies[i])
                        copy_session_changed(r->copies[i]->copy, s);
}

static bool look_at(struct catch_up *r, const struct session *s)
{
        bool any = false;
        for (size_t i = 0; i < r->partner_count && !r->stopping; i++) {
                struct partner *p = &r->partners[i];
                struct lack *l = p->up ? note_lack(r, p->id, s->id, s->stream, s->epoch_us, true, false) : NULL;
                if (!l)
                        continue;
                l->exact = true;
                l->again = l->copy != NULL;
                l->not_before_us = 0;
                unlink_lack(r, l);
                link_lack(r, l);
                any = true;
        }
        return any;
}

void catch_up_look(struct catch_up *r, const struct session *s)
{
        if (look_at(r, s))
                start_copies(r);
}

bool catch_up_wait(struct catch_up *r, const struct session *s, struct catch_up_wait *w,
                 void (*done)(struct catch_up_wait *w, int status))
{
        if (!look_at(r, s))
                return false;
        *w = (struct catch_up_wait){.deadline_us = clock_mono_us() + CATCH_UP_HOLD_US, .done = done, .next = r->waits};
        strcpy(w->session, s->id);
        r->waits = w;
        start_copies(r);
        return true;
}

const char *catch_up_elsewhere(const struct catch_up *r, const struct key *key, const struct session *than, unsigned *nth)
{
        for (const struct lack *l = r->by_stream[bucket(key->stream)]; l; l = l->next_of_bucket)
                if (strcmp(l->stream, key->stream) == 0 && (key->kind == KEY_ENTRY || strcmp(l->id, key->session) == 0) &&
                    (!than || session_newer(l->epoch_us, l->id, than)) && !(*nth)--)
                        return l->peer;
        return NULL;
}

void catch_up_open(struct catch_up **out, uv_loop_t *loop, struct store *st, const struct catch_up_options *options,
                 const struct catch_up_events *events)
{
        struct catch_up *r = mem_alloc(sizeof(*r));
        *r = (struct catch_up){.loop = loop, .store = st, .options = *options, .events = *events, .opened_us = clock_mono_us()};
        r->ring = ring_new();
        ring_add(r->ring, options->self, options->zone, (void *)(uintptr_t)options->self);
        uv_timer_init(loop, &r->timer);
        r->timer.data = r;
        uv_timer_start(&r->timer, ticked, 0, TICK_MS);
        *out = r;
}

void catch_up_link(struct catch_up *r, struct peer_link *link)
{
        r->link = link;
        r->opened_us = clock_mono_us();
        catch_up_peers_changed(r);
}

void catch_up_stop(struct catch_up *r)
{
        r->stopping = true;
        uv_timer_stop(&r->timer);
        for (struct lack *l = r->lacks, *next; l; l = next) {
                next = l->next;
                if (l->copy)
                        copy_session_stop(l->copy);
        }
        answer_waits(r, true);
}

static void on_closed(uv_handle_t *handle)
{
        free(handle->data);
}

void catch_up_close(struct catch_up *r)
{
        assert(!r->copying);
        while (r->lacks)
                forget_lack(r, r->lacks);
        for (size_t i = 0; i < r->partner_count; i++) {
                free(r->partners[i].text);
                free(r->partners[i].untold);
        }
        ring_free(r->ring);
        uv_close((uv_handle_t *)&r->timer, on_closed);
}
