#include "edged/http.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/mem.h"
#include "edged/ledger.h"
#include "edged/routes/ask.h"

#define HTTP_TOLD_US (10 * US_PER_S)

/* ---- one request ---------------------------------------------------------------------------------------------- */

static const struct route *const routes[] = {
        [PATH_OBJECT] = &route_object, [PATH_TAIL] = &route_tail, [PATH_TIME] = &route_time,    [PATH_STEERING] = &route_steering, [PATH_LOAD] = &route_load,
        [PATH_VIEWERS] = &route_viewers,
        [PATH_SITE] = &route_site,     [PATH_CMCD] = &route_reports, [PATH_OPTIONS] = &route_unknown,   [PATH_UNKNOWN] = &route_unknown,
        [PATH_BAD] = &route_bad,       [PATH_LONG] = &route_long,
        [PATH_RECORDING] = &route_recording};

static struct ask *ask_of(struct request *r)
{
        return (struct ask *)(void *)r;
}

/* Nothing is looked at of who asks too often, and nothing of a body of his counts. */
static bool asks_too_often(const struct ask *a)
{
        struct addresses *addresses = a->http->parts.addresses;
        const struct request *r = &a->request;
        return !r->conn->turned_away && addresses && !addresses_ask(addresses, r->conn->of_address, r->started_us);
}

/* With the first bytes of a body, or when there is none, with the answer: so what is not answered is not counted either. */
static struct ask *prepare_ask(struct request *r)
{
        struct ask *a = ask_of(r);
        if (a->route)
                return a;
        a->http = wire_arg(r);
        a->result = RESULT_LOCAL;
        a->pass = access_nothing;
        path_parse(r->head.target, &a->path);
        a->route = routes[a->path.kind];
        a->spared = asks_too_often(a);
        if (a->route->prepare && !r->conn->turned_away && !a->spared)
                a->route->prepare(a);
        return a;
}

static void hear_ask(struct request *r, const char *bytes, size_t len)
{
        struct ask *a = prepare_ask(r);
        if (a->route->body)
                a->route->body(a, bytes, len);
}

static void begin_ask(struct request *r)
{
        struct ask *a = prepare_ask(r);
        if (r->conn->turned_away)
                ask_say_error(a, r->conn->turned_why == TURNED_SHARE ? RESPOND_SHARE : RESPOND_FULL);
        else if (a->spared)
                ask_spare(a, SPARED_RATE);
        else if (r->head.method == METHOD_OTHER || (r->head.method == METHOD_POST && !a->route->takes_posts))
                ask_say_error(a, RESPOND_METHOD);
        else if (r->head.method == METHOD_OPTIONS) /* whatever the path: browsers hide the status of a request whose preflight failed */
                ask_say(a, respond_preflight());
        else
                a->route->begin(a);
        a->path.token = NULL; /* it lies in the head, which may move now */
}

static void go_on(struct request *r)
{
        ask_of(r)->route->go_on(ask_of(r));
}

static ssize_t next_piece(struct request *r, struct buf **piece, size_t *off, bool *last)
{
        return ask_of(r)->route->more(ask_of(r), piece, off, last);
}

static bool leave_ask(struct request *r)
{
        return ask_of(r)->route->leave(ask_of(r));
}

static bool reads_what_is_cut(struct request *r)
{
        struct ask *a = ask_of(r);
        return ledger_is_cut(r->out.piece) || (a->route && a->route->lost && a->route->lost(a));
}

static void count_sent(const struct ask *a)
{
        const struct request *r = &a->request;
        if (r->head.method == METHOD_HEAD || !r->out.answer)
                return;
        metric_add(&stats_sent, (int64_t)(r->out.answer->grows ? a->sent_bytes : r->whole ? r->out.answer->len_bytes : r->out.sent));
}

/* A request that is none, or whose body never came, has no route. */
static void end_ask(struct request *r)
{
        struct ask *a = ask_of(r);
        int64_t us = (a->answered_us ? a->answered_us : r->ended_us) - r->started_us;
        bool is_known = a->route && path_is_known(&a->path);
        enum stats_result result = a->route ? a->result : RESULT_LOCAL;
        if (r->status)
                stats_request(result, r->status, us);
        log_debug("client=%d method=%d path=%s status=%u result=%s us=%lld", r->conn->fd, (int)r->head.method,
                  is_known ? a->path.key : "-", r->status, stats_word(WORDS_RESULT, result), (long long)us);
        if (!a->route)
                return;
        count_sent(a);
        if (a->route->end)
                a->route->end(a);
}

/* ---- the threads ------------------------------------------------------------------------------------------------- */

int http_open(struct http **out, const struct http_config *cfg, const struct http_parts *parts)
{
        static const struct wire_ops ops = {.request_bytes = sizeof(struct ask), .body = hear_ask, .begin = begin_ask, .go_on = go_on,
                                            .more = next_piece, .leave = leave_ask, .end = end_ask, .lost = reads_what_is_cut,
                                            .refusal = respond_fault};
        struct http *h = mem_alloc(sizeof(*h) + cfg->threads * sizeof(h->threads[0]));
        struct wire_config wire = {.bind = cfg->bind, .port = cfg->port, .threads = cfg->threads, .connections_max = cfg->connections_max,
                                   .tls = cfg->tls, .tls_port = cfg->tls_port,
                                   .proxy_from = cfg->proxy_from, .addresses = parts->addresses};
        unsigned share = cfg->connections_max / cfg->threads;
        h->cfg = *cfg;
        h->parts = *parts;
        respond_open();
        for (unsigned i = 0; i < cfg->threads; i++) /* the kernel deals connections out by hash, not evenly */
                h->threads[i].tokens = access_memory_open(parts->access, share + share / 4 + 16);
        int err = wire_open(&h->wire, &wire, &ops, h);
        if (err) {
                http_close(h);
                return err;
        }
        *out = h;
        return 0;
}

int http_port(const struct http *h)
{
        return wire_port(h->wire);
}

static void log_closed(const unsigned closed[CLOSES])
{
        for (int why = 0; why < CLOSES; why++) {
                if (closed[why])
                        log_info("msg=\"closed viewers' connections\" reason=%s count=%u",
                                 stats_word(WORDS_CLOSE, (unsigned)why), closed[why]);
        }
}

/* What strangers cause without end is told once in a while, and how often it was. */
static void log_refused(struct http *h, int64_t now_us)
{
        if (now_us - h->told_us < HTTP_TOLD_US)
                return;
        for (int i = 0; i < TOLD; i++) {
                bool is_spared = i < SPARED, is_turned = !is_spared && i < SPARED + TURNED;
                int64_t now = is_spared   ? stats_spared((enum stats_spared)i)
                              : is_turned ? stats_turned((enum stats_turned)(i - SPARED))
                                          : stats_bads();
                if (now == h->told[i])
                        continue;
                if (is_spared && i < SPARED_RATE) /* a viewer's mistake */
                        log_debug("msg=\"viewers asked for what is not there\" reason=%s count=%lld", stats_word(WORDS_SPARED, (unsigned)i),
                                  (long long)(now - h->told[i]));
                else if (i == SPARED_RATE)
                        log_warn("msg=\"requests of addresses that ask too often were refused\" count=%lld", (long long)(now - h->told[i]));
                else if (is_spared)
                        log_warn("msg=\"requests for what may not be there were refused: there were too many\" of=%s count=%lld",
                                 stats_word(WORDS_SPARED, (unsigned)i), (long long)(now - h->told[i]));
                else if (!is_turned)
                        log_warn("msg=\"requests were refused that are not HTTP as it has to be\" count=%lld", (long long)(now - h->told[i]));
                else
                        log_warn("msg=\"viewers' connections were refused\" limit=%s count=%lld connections=%u connections_max=%u",
                                 stats_word(WORDS_TURNED, (unsigned)i - SPARED), (long long)(now - h->told[i]), wire_seats(h->wire),
                                 h->cfg.connections_max);
                h->told[i] = now;
                h->told_us = now_us;
        }
}

void http_sweep(struct http *h, int64_t now_us)
{
        unsigned closed[CLOSES] = {0};
        wire_sweep(h->wire, &h->cfg.limits, now_us, closed);
        log_closed(closed);
        log_refused(h, now_us);
}

void http_end_expired(struct http *h, int64_t real_us)
{
        unsigned closed[CLOSES] = {0};
        wire_end_expired(h->wire, h->parts.access, real_us / US_PER_S, closed);
        log_closed(closed);
}

void http_end_cut(struct http *h)
{
        wire_end_lost(h->wire);
}

void http_drain(struct http *h)
{
        wire_drain(h->wire);
}

void http_quiesce(struct http *h)
{
        wire_quiesce(h->wire);
}

void http_set_load(struct http *h, unsigned permille)
{
        atomic_store(&h->load_permille, permille);
}

size_t http_busy(struct http *h)
{
        return wire_busy(h->wire);
}

void http_close(struct http *h)
{
        if (h->wire)
                wire_close(h->wire);
        for (unsigned i = 0; i < h->cfg.threads; i++) {
                access_memory_close(h->threads[i].tokens);
                listing_close(&h->threads[i].listing);
        }
        respond_close();
        free(h);
}
