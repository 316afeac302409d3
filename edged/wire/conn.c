#include "edged/wire/conn.h"

#include <stdlib.h>
#include <sys/socket.h>

#include "common/clock.h"
#include "common/mem.h"
#include "edged/wire/tcp.h"
#include "edged/wire/tls.h"

void conn_list_init(struct conn_list *l)
{
        pthread_mutex_init(&l->lock, NULL);
        l->first = NULL;
}

void conn_list_fini(struct conn_list *l)
{
        pthread_mutex_destroy(&l->lock);
}

/* ---- who rests: under the lock ------------------------------------------------------------------------------------ */

static void rest_conn(struct conn *c)
{
        struct conn_rests *r = c->rests = c->requests == 0 ? &c->list->silent : &c->list->idle;
        c->resting = true;
        c->rested_later = NULL;
        c->rested_before = r->shortest;
        *(r->shortest ? &r->shortest->rested_later : &r->longest) = c;
        r->shortest = c;
}

static void unrest_conn(struct conn *c)
{
        struct conn_rests *r = c->rests;
        if (!r)
                return;
        *(c->rested_later ? &c->rested_later->rested_before : &r->shortest) = c->rested_before;
        *(c->rested_before ? &c->rested_before->rested_later : &r->longest) = c->rested_later;
        c->rests = NULL;
        c->resting = false;
}

/* ---- clients -------------------------------------------------------------------------------------------------------- */

struct conn *conn_new(struct conn_list *l, int fd, int64_t now_us)
{
        struct conn *c = mem_alloc(sizeof(*c));
        c->list = l;
        c->fd = fd;
        conn_admit(c, &access_nothing);
        pthread_mutex_lock(&l->lock);
        c->next = l->first;
        if (c->next)
                c->next->prev = c;
        l->first = c;
        pthread_mutex_unlock(&l->lock);
        conn_enter(c, CONN_HEADERS, now_us);
        return c;
}

void conn_leave(struct conn *c)
{
        pthread_mutex_lock(&c->list->lock);
        unrest_conn(c);
        if (c->next)
                c->next->prev = c->prev;
        *(c->prev ? &c->prev->next : &c->list->first) = c->next;
        pthread_mutex_unlock(&c->list->lock);
}

void conn_free(struct conn *c)
{
        tls_free(&c->tls);
        free(c->saved);
        free(c);
}

void conn_enter(struct conn *c, enum conn_phase phase, int64_t now_us)
{
        atomic_store_explicit(&c->since_us, now_us, memory_order_relaxed);
        atomic_store_explicit(&c->phase, (int)phase, memory_order_relaxed);
        bool rests = phase == CONN_IDLE || phase == CONN_HEADERS;
        if (!rests && !c->resting) /* only this thread changes it */
                return;
        pthread_mutex_lock(&c->list->lock);
        unrest_conn(c);
        if (rests)
                rest_conn(c);
        pthread_mutex_unlock(&c->list->lock);
}

void conn_admit(struct conn *c, const struct access_pass *pass)
{
        if (pass->until_s != INT64_MAX) /* key_bits is read after until_s, and belongs to it */
                atomic_store_explicit(&c->key_bits, pass->key.bits, memory_order_relaxed);
        atomic_store_explicit(&c->until_s, pass->until_s, memory_order_release);
}

size_t conn_list_busy(struct conn_list *l, int64_t now_us)
{
        size_t busy = 0;
        pthread_mutex_lock(&l->lock);
        for (struct conn *c = l->first; c; c = c->next) {
                int phase = atomic_load(&c->phase);
                busy += phase == CONN_SENDING || phase == CONN_HELD ||
                        (phase == CONN_HEADERS && now_us - atomic_load(&c->since_us) < US_PER_S);
        }
        pthread_mutex_unlock(&l->lock);
        return busy;
}

/* ---- the sweep ------------------------------------------------------------------------------------------------ */

/* What the peer acknowledged is measured in windows; a new phase begins a new one. */
static bool reads_too_slowly(struct conn *c, const struct conn_limits *limits, int64_t since_us, int64_t now_us)
{
        uint64_t acked = tcp_acked_bytes(c->fd);
        bool slow = false;
        if (since_us == c->seen_since_us) {
                if (now_us - c->base_us < CONN_RATE_WINDOW_US)
                        return false;
                uint64_t due = limits->min_rate_bytes_s * (uint64_t)(now_us - c->base_us) / 1000000;
                slow = acked - c->base_acked < due && tcp_unsent_bytes(c->fd) > 0;
        }
        c->seen_since_us = since_us;
        c->base_us = now_us;
        c->base_acked = acked;
        return slow;
}

/* CLOSES: it may stay. */
static enum stats_close judge_conn(struct conn *c, const struct conn_limits *limits, int64_t now_us)
{
        int64_t since_us = atomic_load(&c->since_us), age_us = now_us - since_us;
        switch ((enum conn_phase)atomic_load(&c->phase)) {
        case CONN_HEADERS:
                return age_us > (c->turned_away ? CONN_TURNED_US : limits->header_us) ? CLOSE_SLOW_HEADERS : CLOSES;
        case CONN_IDLE: /* the kernel may still be sending what the last answer left in the socket */
                if (age_us > limits->idle_us && tcp_unsent_bytes(c->fd) == 0)
                        return CLOSE_IDLE;
                return age_us > US_PER_S && reads_too_slowly(c, limits, since_us, now_us) ? CLOSE_SLOW_READER : CLOSES;
        case CONN_SENDING: /* since the last piece of a growing object */
                return age_us > US_PER_S && reads_too_slowly(c, limits, since_us, now_us) ? CLOSE_SLOW_READER : CLOSES;
        case CONN_HELD:
        case CONN_CLOSING: /* sweep() itself: that is no limit that was broken */
                return CLOSES;
        }
        return CLOSES;
}

/* To shut both ways would say that the answer is at its end: where nothing else says so, its thread is only told, and resets it. */
static void condemn(struct conn *c, enum stats_close why, unsigned closed[CLOSES])
{
        c->condemned = true;
        stats_close(why);
        closed[why]++;
        shutdown(c->fd, c->unended ? SHUT_RD : SHUT_RDWR);
}

static bool may_go(const struct conn *c)
{
        return !c->condemned && !c->turned_away;
}

/* Of the CONN_LOOKS that have rested for longest the first one of the address that has most, if that has more than *most: then it is
 * *out. */
static void of_most(const struct conn_rests *r, unsigned *most, struct conn **out)
{
        struct conn *c = r->longest;
        for (unsigned looks = 0; c && looks < CONN_LOOKS; c = c->rested_later, looks++) {
                atomic_uint *count = c->of_address;
                unsigned of_address = count ? atomic_load(count) : 0;
                if (may_go(c) && of_address > *most) {
                        *most = of_address;
                        *out = c;
                }
        }
}

/* One whose address has many more than `own`, and most of all; NULL: there is none. Whether it has asked already does not matter: a
 * viewer's third connection, which had no time to ask yet, is not to go for somebody's first while another one has hundreds. */
static struct conn *of_many(const struct conn_list *l, unsigned own)
{
        struct conn *c = NULL;
        unsigned most = 2 * own;
        of_most(&l->silent, &most, &c);
        of_most(&l->idle, &most, &c);
        return c;
}

/* Of these the one that has rested for longest; NULL: nobody has for so long. */
static struct conn *rests_for(const struct conn_rests *r, int64_t least_us, int64_t now_us)
{
        struct conn *c = r->longest;
        while (c && !may_go(c))
                c = c->rested_later;
        return c && now_us - atomic_load(&c->since_us) >= least_us ? c : NULL;
}

struct conn *conn_displace(struct conn_list *l, unsigned own, int64_t now_us, void (*gone)(struct conn *c))
{
        unsigned closed[CLOSES] = {0};
        pthread_mutex_lock(&l->lock);
        struct conn *c = of_many(l, own);
        c = c ? c : rests_for(&l->silent, CONN_SILENT_US, now_us);
        c = c ? c : rests_for(&l->idle, CONN_REST_US, now_us);
        if (c) {
                condemn(c, CLOSE_DISPLACED, closed);
                unrest_conn(c);
                gone(c);
        }
        pthread_mutex_unlock(&l->lock);
        return c;
}

void conn_sweep(struct conn_list *l, const struct conn_limits *limits, int64_t now_us, unsigned closed[CLOSES])
{
        pthread_mutex_lock(&l->lock);
        for (struct conn *c = l->first; c; c = c->next) {
                enum stats_close why = c->condemned ? CLOSES : judge_conn(c, limits, now_us);
                if (why != CLOSES)
                        condemn(c, why, closed);
                if (atomic_load(&c->phase) == CONN_CLOSING && now_us - atomic_load(&c->since_us) > CONN_TURNED_US)
                        shutdown(c->fd, SHUT_RDWR);
        }
        pthread_mutex_unlock(&l->lock);
}

/* until_s and key_bits are two fields, and the next request may set them while we look: since_us tells. */
static enum stats_close judge_pass(struct conn *c, struct access *access, int64_t now_s)
{
        int64_t since_us = atomic_load(&c->since_us), until_s = atomic_load_explicit(&c->until_s, memory_order_acquire);
        struct jwt_key_id key = {atomic_load_explicit(&c->key_bits, memory_order_relaxed)};
        if (until_s == INT64_MAX)
                return CLOSES;
        enum stats_close why = now_s >= until_s                    ? CLOSE_EXPIRED
                               : access_key_is_valid(access, key) ? CLOSES
                                                                   : CLOSE_REVOKED;
        return atomic_load(&c->since_us) == since_us ? why : CLOSES;
}

void conn_end_expired(struct conn_list *l, struct access *access, int64_t now_s, unsigned closed[CLOSES])
{
        pthread_mutex_lock(&l->lock);
        for (struct conn *c = l->first; c; c = c->next) {
                enum stats_close why = c->condemned ? CLOSES : judge_pass(c, access, now_s);
                if (why != CLOSES)
                        condemn(c, why, closed);
        }
        pthread_mutex_unlock(&l->lock);
}
