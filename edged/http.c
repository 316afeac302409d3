#include "edged/http.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "common/mem.h"
#include "common/range.h"
#include "edged/cmcd.h"
#include "edged/cmsd.h"
#include "edged/ledger.h"
#include "edged/listing.h"
#include "edged/path.h"
#include "edged/players.h"
#include "edged/respond.h"
#include "edged/wire/tcp.h"
#include "edged/wire/wire.h"
#include "proto/parts.h"

#define HTTP_TOLD_US (10 * US_PER_S)
#define PLAYLIST_HOLD_US (3 * US_PER_S) /* three target durations (RFC 8216bis, 6.2.5.2) */
#define TOLD (SPARED + TURNED + 1) /* what is told in the log now and then; the last one is bad requests */

/* What a thread remembers from one request to the next. */
struct http_thread {
        struct access_memory *tokens;
        struct listing listing;
};

struct http {
        struct http_config cfg;
        struct http_parts parts;
        struct wire *wire;
        atomic_uint load_permille;
        int64_t told_us; /* when it was logged last that somebody was refused something */
        int64_t told[TOLD];
        struct http_thread threads[];
};

/* One request: what is asked for, and what it waits for. */
struct ask {
        struct request request;
        struct http *http;
        struct path path;
        struct object *object;
        enum cache_result cached;
        struct access_pass pass;
        bool is_list; /* what is asked for has a part for everybody and parts for who has a token */
        struct waiter waiter;
        bool was_held, part_is_first;
        bool spared; /* its address asks too often: nothing is looked at, and nothing of a body counts */
        uint64_t sent_bytes; /* of an answer that grows: handed on */
        uint64_t part_from, part_bytes; /* of a part: where it lies in the object */
        unsigned fault;      /* PATH_CMCD: why its reports are not taken (access.h) */
        bool hears;          /* they are */
        enum cmcd_result reported; /* other paths: what came with the request, */
        enum players_way way;      /* and how */
        union {
                struct cmcd_lines lines;   /* of PATH_CMCD */
                struct cmcd_report report; /* of others */
        };
        enum stats_result result;
};

static struct ask *ask_of(struct request *r)
{
        return (struct ask *)(void *)r;
}

static struct http_thread *thread_of(struct ask *a)
{
        return &a->http->threads[wire_thread_index(&a->request)];
}

static struct access_memory *tokens_of(struct ask *a)
{
        return thread_of(a)->tokens;
}

/* ---- one answer ----------------------------------------------------------------------------------------------- */

static void say(struct ask *a, struct answer *answer)
{
        wire_answer(&a->request, answer, NULL);
}

static void say_once(struct ask *a, struct answer *answer)
{
        say(a, answer);
        answer_unref(&answer);
}

static void say_error(struct ask *a, enum respond_error e)
{
        say(a, respond_error(e, a->result));
}

static const char *header(const struct ask *a, enum parse_field f)
{
        return a->request.head.fields[f];
}

static bool has_already(const struct ask *a, const char *etag)
{
        return etag_matches(header(a, FIELD_IF_NONE_MATCH), etag);
}

static bool is_changed(const struct ask *a, const char *etag)
{
        return !etag_is_wanted(header(a, FIELD_IF_MATCH), etag);
}

static const char *range_wanted(struct ask *a)
{
        const char *range = a->request.head.method == METHOD_GET ? header(a, FIELD_RANGE) : NULL;
        return range ? range_if(range, header(a, FIELD_IF_RANGE), a->object->etag) : NULL;
}

static void say_list(struct ask *a, struct buf *body)
{
        struct http_thread *t = thread_of(a);
        const struct listing_answer *l = listing_find(&t->listing, t->tokens, a->object, body, a->cached, &a->pass);
        if (is_changed(a, l ? l->etag : a->object->etag))
                say_error(a, RESPOND_CHANGED);
        else if (!l)
                say(a, respond_whole(a->object, body, a->cached, ACCESS_PUBLIC));
        else
                say(a, has_already(a, l->etag) ? l->same : l->response);
}

static bool asks_for_video(const struct ask *a)
{
        return a->path.kind == PATH_OBJECT && a->path.object.kind == KEY_SEGMENT && a->path.object.track[0] == 'v';
}

/* A player that reads a segment while it is made gets it at the pace at which it is made, whatever its connection could do: Shaka takes
 * that for all there is, and goes down to the lowest rung. It is told with segments that are complete too, for it believes what it was
 * told last. Not with sound, whose bursts are too small to measure anything. */
static void say_with_throughput(struct ask *a, struct answer *answer)
{
        char extra[OUTPUT_EXTRA_MAX];
        struct cmsd c = {.node = a->http->cfg.throughput_node};
        struct tcp_path path;
        if (!c.node || !asks_for_video(a)) {
                say(a, answer);
                return;
        }
        tcp_path(a->request.conn->fd, &path);
        c.etp_kbps = a->request.conn->measured ? path.kbps : 0;
        c.rtt_us = path.rtt_us;
        c.held_us = a->was_held ? clock_mono_us() - a->request.started_us : 0;
        cmsd_add_press(&c);
        wire_answer(&a->request, answer, cmsd_fields(extra, &c));
}

static size_t read_object(void *arg, uint64_t pos, void *dst, size_t max)
{
        ssize_t n = object_read(arg, pos, dst, max);
        return n > 0 ? (size_t)n : 0;
}

static enum part_state find_part(struct ask *a, uint64_t len, bool complete)
{
        struct parts_of p = {.read = read_object, .arg = a->object, .len_bytes = len, .complete = complete};
        return parts_find(&p, a->path.part, &a->part_from, &a->part_bytes);
}

/* A part of a segment that is all there: its bytes are the segment's. */
static void say_part(struct ask *a, struct buf *body)
{
        if (find_part(a, body->len, true) != PART_HERE) {
                say_error(a, RESPOND_MISSING);
                return;
        }
        struct answer *answer = respond_view(a->object, body, a->cached, a->pass.form, a->part_from, a->part_bytes);
        say_with_throughput(a, answer);
        answer_unref(&answer);
}

static void say_complete(struct ask *a, struct buf *body)
{
        struct object *o = a->object;
        enum access_form form = a->pass.form;
        uint64_t from, len;
        /* Since it was asked for, and not since it was whole: the tier above may have made it at any time between. */
        a->request.was_kept = a->cached == CACHE_HIT || a->cached == CACHE_STALE;
        a->request.age_us = a->request.started_us - o->made_us;
        if (a->is_list) {
                say_list(a, body);
                return;
        }
        if (a->path.is_part) {
                say_part(a, body);
                return;
        }
        if (is_changed(a, o->etag)) {
                say_error(a, RESPOND_CHANGED);
                return;
        }
        if (has_already(a, o->etag)) {
                say_once(a, respond_same(o, a->cached, form));
                return;
        }
        switch (range_parse(range_wanted(a), body->len, &from, &len)) {
        case RANGE_WHOLE:
                say_with_throughput(a, respond_whole(o, body, a->cached, form));
                break;
        case RANGE_PART:
                a->part_is_first = from == 0;
                say_once(a, respond_part(o, body, a->cached, form, from, len));
                break;
        case RANGE_UNSATISFIABLE:
                say_once(a, respond_unsatisfiable(o, body, a->cached));
                break;
        }
}

/* ---- waiting -------------------------------------------------------------------------------------------------- */

static struct ask *waits(struct waiter *w)
{
        return (struct ask *)(void *)((char *)w - offsetof(struct ask, waiter));
}

static void suspend(struct waiter *w)
{
        struct ask *a = waits(w);
        a->was_held = true;
        wire_hold(&a->request);
}

static void wake(struct waiter *w)
{
        wire_wake(&waits(w)->request);
}

static bool hold(struct ask *a, uint64_t have, int64_t deadline_us)
{
        a->waiter = (struct waiter){.have = have, .deadline_us = deadline_us, .suspend = suspend, .wake = wake};
        return object_wait(a->object, &a->waiter);
}

/* wire_ops.leave */
static bool leave(struct request *r)
{
        struct ask *a = ask_of(r);
        return object_leave(a->object, &a->waiter);
}

/* The next piece of a part, all of which was there when its answer began. */
static ssize_t take_of_part(struct ask *a, struct buf **piece, size_t *off, bool *last)
{
        uint64_t left = a->part_bytes - a->sent_bytes;
        ssize_t n = object_piece(a->object, a->part_from + a->sent_bytes, piece, off, last);
        if (n <= 0)
                return n ? n : ERR_IO;
        *last = (uint64_t)n >= left;
        n = *last ? (ssize_t)left : n;
        a->sent_bytes += (uint64_t)n;
        return n;
}

/* wire_ops.more: of an object that is FILLING when its answer begins. */
static ssize_t take_growth(struct request *r, struct buf **piece, size_t *off, bool *last)
{
        struct ask *a = ask_of(r);
        if (a->path.is_part)
                return take_of_part(a, piece, off, last);
        ssize_t n = object_piece(a->object, a->sent_bytes, piece, off, last);
        if (n == 0 && a->waiter.expired)
                return ERR_NOT_YET;
        if (n == 0 && hold(a, a->sent_bytes, clock_mono_us() + 2 * a->http->cfg.hold_us))
                return 0;
        if (n == 0) /* there was one meanwhile, or nobody waits any more */
                n = object_piece(a->object, a->sent_bytes, piece, off, last);
        a->sent_bytes += n > 0 ? (uint64_t)n : 0;
        return n != 0 ? n : ERR_NOT_YET;
}

static void say_growing(struct ask *a)
{
        struct answer *answer = respond_growing(a->object, a->cached, a->pass.form);
        a->waiter.expired = false;
        say_with_throughput(a, answer);
        answer_unref(&answer);
}

/* again_us: to ask sooner is in vain. */
static void say_failed(struct ask *a, int failure, int64_t again_us)
{
        enum respond_error e = failure == ERR_NOT_YET   ? RESPOND_NOT_YET
                               : failure == ERR_NOSPACE ? RESPOND_BUSY
                                                        : RESPOND_NO_ORIGIN;
        int64_t wait_us = again_us - clock_mono_us();
        if (wait_us <= US_PER_S)
                say_error(a, e);
        else
                say_once(a, respond_error_until(e, a->result, wait_us));
}

static void take_stale(struct ask *a, struct object *stale)
{
        object_unref(&a->object);
        a->object = stale;
        a->cached = CACHE_STALE;
        a->result = RESULT_STALE;
}

/* A playlist that is to have something that may not be there yet. */
static bool is_version(const struct ask *a)
{
        return a->path.object.kind == KEY_PLAYLIST && a->path.object.waits;
}

/* Called when the request is new, and again each time it goes on. */
static void say_object(struct ask *a)
{
        struct object_view v;
        object_look(a->object, a->was_held ? clock_mono_us() : a->request.started_us, &v);
        if (v.stale) {
                take_stale(a, v.stale);
                object_look(a->object, 0, &v);
        }
        switch (v.state) {
        case OBJECT_COMPLETE:
                say_complete(a, v.body);
                return;
        case OBJECT_MISSING:
                say_error(a, is_version(a) ? RESPOND_AHEAD : RESPOND_MISSING);
                return;
        case OBJECT_FAILED:
                say_failed(a, v.failure, v.again_us);
                return;
        case OBJECT_FILLING:
                break;
        }
        /* A HEAD is answered with the length, and what its tag is can be said when all of it is there. */
        bool needs_whole = a->request.head.method == METHOD_HEAD || a->is_list || header(a, FIELD_IF_MATCH) || range_needs_whole(range_wanted(a));
        int64_t hold_us = a->http->cfg.hold_us, until_us = a->request.started_us + hold_us;
        if (is_version(a) && hold_us > PLAYLIST_HOLD_US)
                until_us = a->request.started_us + PLAYLIST_HOLD_US;
        bool part_lacks = a->path.is_part && find_part(a, v.len, false) != PART_HERE;
        if (v.len > 0 && !needs_whole && !part_lacks)
                say_growing(a);
        else if (a->waiter.expired || v.again_us > until_us) /* nothing comes while it would be held */
                say_failed(a, ERR_NOT_YET, v.again_us);
        else if (!hold(a, needs_whole ? UINT64_MAX : part_lacks ? v.len : 0, until_us)) {
                a->waiter.expired = true; /* there is something now, or nobody waits any more */
                say_object(a);
        }
}

/* ---- who may have it ------------------------------------------------------------------------------------------ */

static struct access_token find_token(struct ask *a)
{
        if (a->path.token)
                return (struct access_token){a->path.token, a->path.token_len, ACCESS_IN_URL};
        struct access_token t = access_bearer(header(a, FIELD_AUTHORIZATION));
        return t.text ? t : access_cookie(header(a, FIELD_COOKIE));
}

/* 0, or why not. */
static unsigned ask_for_token(struct ask *a, const char *stream)
{
        struct access_token token = find_token(a);
        int64_t now_us = clock_wall_us();
        unsigned fault = access_check(tokens_of(a), &token, stream, now_us, &a->pass);
        if (fault != ACCESS_OK)
                return fault;
        if (a->pass.until_s - now_us / US_PER_S < ACCESS_SHARED_S)
                a->pass.form = ACCESS_IN_HEADER; /* a shared cache would keep it for longer than it may be seen */
        conn_admit(a->request.conn, &a->pass);
        return ACCESS_OK;
}

/* Everybody is told of public streams, whatever token he has. */
static unsigned may_have(struct ask *a)
{
        struct access_memory *tokens = tokens_of(a);
        if (a->path.object.kind == KEY_STREAMS || a->path.object.kind == KEY_RECORDINGS) {
                a->is_list = access_any_private(tokens);
                if (a->is_list)
                        ask_for_token(a, NULL);
                return ACCESS_OK;
        }
        const char *stream = a->path.object.stream;
        return access_is_private(tokens, stream) ? ask_for_token(a, stream) : ACCESS_OK;
}

/* ---- what is asked for above --------------------------------------------------------------------------------------- */

static void spare(struct ask *a, enum stats_spared why)
{
        static const enum respond_error answers[SPARED] = {[SPARED_UNKNOWN] = RESPOND_MISSING,
                                                           [SPARED_FAR] = RESPOND_MISSING,
                                                           [SPARED_RATE] = RESPOND_RATE,
                                                           [SPARED_ONE] = RESPOND_MISSES_OF_ONE,
                                                           [SPARED_ALL] = RESPOND_MISSES};
        stats_spare(why);
        say_error(a, why == SPARED_FAR && is_version(a) ? RESPOND_AHEAD : answers[why]);
}

static void say_found(struct ask *a)
{
        a->result = respond_result(a->cached);
        if (a->object)
                say_object(a);
        else
                say_error(a, RESPOND_BUSY);
}

/* Who came by a balancer is who it says, in the last such header if there are several; if it says nobody, nobody. */
static void who_asks(struct ask *a, struct address *out)
{
        *out = a->request.conn->address;
        if (a->request.conn->by_balancer)
                address_forwarded(out, header(a, FIELD_X_FORWARDED_FOR));
}

static void ask_charged(struct ask *a)
{
        struct http *h = a->http;
        struct charge charge = {.paid = true};
        who_asks(a, &charge.by);
        enum addresses_says says = addresses_pay(h->parts.addresses, &charge.by, a->request.started_us);
        if (says != ADDRESSES_YES) {
                spare(a, says == ADDRESSES_ONE_FULL ? SPARED_ONE : SPARED_ALL);
                return;
        }
        a->cached = cache_get_charged(h->parts.cache, a->path.key, a->path.key_len, &charge, a->request.started_us, &a->object);
        if (a->cached != CACHE_MISS) /* somebody was quicker */
                addresses_pay_back(h->parts.addresses, &charge.by);
        say_found(a);
}

/* The first page of recordings is one for all; of the others there are as many as there are times. */
static bool is_page(const struct key *key)
{
        return key->kind == KEY_RECORDINGS && key->before_ms != INT64_MAX;
}

/* A playlist that is to have a segment of long ago is any playlist of the track: not each of them is asked for. */
static void ask_for_newest(struct ask *a)
{
        a->path.object.waits = false;
        key_write_playlist(a->path.key, &a->path.object);
        a->path.key_len = strlen(a->path.key);
        a->cached = cache_get(a->http->parts.cache, a->path.key, a->path.key_len, 0, a->request.started_us, &a->object);
        say_found(a);
}

static void ask_above(struct ask *a)
{
        struct http *h = a->http;
        enum census_says says = h->parts.census ? census_ask(h->parts.census, &a->path.object, clock_wall_us()) : CENSUS_THERE;
        if (says == CENSUS_PAST) {
                ask_for_newest(a);
        } else if (says == CENSUS_UNKNOWN || says == CENSUS_FAR) {
                spare(a, says == CENSUS_FAR ? SPARED_FAR : SPARED_UNKNOWN);
        } else if (h->parts.census && (says == CENSUS_PERHAPS || is_page(&a->path.object))) {
                ask_charged(a);
        } else {
                a->cached = cache_get(h->parts.cache, a->path.key, a->path.key_len, 0, a->request.started_us, &a->object);
                say_found(a);
        }
}

static void say_named(struct ask *a)
{
        unsigned fault = may_have(a);
        if (fault != ACCESS_OK) {
                stats_refuse(fault);
                say(a, respond_refusal(fault));
                return;
        }
        a->cached = cache_find(a->http->parts.cache, a->path.key, a->path.key_len, a->request.started_us, &a->object);
        if (a->object)
                say_found(a);
        else
                ask_above(a);
}

/* ---- one request ---------------------------------------------------------------------------------------------- */

static void say_file(struct ask *a)
{
        const struct site_file *f = site_find(a->http->parts.site, a->path.file);
        if (!f) {
                say_error(a, RESPOND_NOT_FOUND);
                return;
        }
        const struct site_form *form = site_form(f, header(a, FIELD_ACCEPT_ENCODING));
        if (is_changed(a, form->etag))
                say_error(a, RESPOND_CHANGED);
        else
                say(a, has_already(a, form->etag) ? form->same : form->whole);
}

/* ---- what players report ------------------------------------------------------------------------------------------- */

static void take_report(void *arg, enum cmcd_result result, const struct cmcd_report *r)
{
        enum players_way way = *(const enum players_way *)arg;
        if (result == CMCD_REPORT)
                players_take(r, way);
        else if (result == CMCD_BROKEN)
                players_broken(way);
}

/* With a request: it counts if that is answered. */
static void read_report(struct ask *a)
{
        const char *const fields[CMCD_FIELDS] = {header(a, FIELD_CMCD_OBJECT), header(a, FIELD_CMCD_REQUEST), header(a, FIELD_CMCD_SESSION),
                                                 header(a, FIELD_CMCD_STATUS)};
        a->way = PLAYERS_QUERY;
        a->reported = cmcd_query(a->request.head.target, &a->report);
        if (a->reported != CMCD_NOTHING)
                return;
        a->way = PLAYERS_FIELDS;
        a->reported = cmcd_fields(fields, &a->report);
}

/* Of viewers of a private stream only those report who may watch it, and of one that there is not nobody does. */
static void judge_reporter(struct ask *a)
{
        struct census *census = a->http->parts.census;
        struct key entry = a->path.object;
        entry.kind = KEY_ENTRY;
        a->fault = may_have(a);
        a->hears = a->fault == ACCESS_OK && (!census || census_ask(census, &entry, clock_wall_us()) != CENSUS_UNKNOWN);
}

static void say_heard(struct ask *a)
{
        enum players_way way = PLAYERS_EVENT;
        if (a->request.head.method != METHOD_POST) {
                say_error(a, RESPOND_NOT_FOUND);
        } else if (a->fault != ACCESS_OK) {
                stats_refuse(a->fault);
                say(a, respond_refusal(a->fault));
        } else if (!a->hears) {
                say_error(a, RESPOND_MISSING);
        } else if (a->request.head.body_bytes == 0) {
                say_error(a, RESPOND_REPORT);
        } else {
                cmcd_lines_end(&a->lines, take_report, &way);
                say(a, respond_heard());
        }
}

/* ---- which site ----------------------------------------------------------------------------------------------- */

/* Which site this player is to load from. */
static void say_steering(struct ask *a)
{
        const struct http_config *cfg = &a->http->cfg;
        struct steering_site sites[STEERING_SITES_MAX];
        int64_t now[2] = {a->request.started_us, (intptr_t)a}; /* another one for each that asks */
        uint64_t chance = XXH3_64bits(now, sizeof(now));
        size_t own, count = site_loads_look(a->http->parts.site_loads, a->request.started_us, sites, &own);
        size_t from = steering_from(a->request.head.target, sites, count, own);
        size_t chosen = steering_choose(sites, count, own, from, cfg->site_full_permille, chance);
        /* Players that came together do not ask together for ever. */
        int64_t ttl_s = cfg->steering_ttl_s + (int64_t)(chance % (uint64_t)(cfg->steering_ttl_s / 5 + 1));
        stats_steer(chosen == own);
        say_once(a, respond_json(steering_text(sites, count, chosen, steering_is_hls(a->request.head.target), ttl_s)));
}

static void say_path(struct ask *a)
{
        switch (a->path.kind) {
        case PATH_OBJECT:
                say_named(a);
                break;
        case PATH_CMCD:
                say_heard(a);
                break;
        case PATH_TIME:
                say_once(a, respond_time(clock_wall_us()));
                break;
        case PATH_STEERING:
                if (a->http->parts.site_loads)
                        say_steering(a);
                else
                        say_error(a, RESPOND_NOT_FOUND);
                break;
        case PATH_LOAD:
                say_once(a, respond_json(mem_printf("{\"load_permille\": %u}\n", atomic_load(&a->http->load_permille))));
                break;
        case PATH_SITE:
                say_file(a);
                break;
        case PATH_BAD:
                say_once(a, respond_bad(a->path.why));
                break;
        case PATH_LONG:
                say_error(a, RESPOND_LONG);
                break;
        default:
                say_error(a, RESPOND_NOT_FOUND);
                break;
        }
        a->path.token = NULL; /* it lies in the head, which may move now */
}

/* With the first bytes of a body, or when there is none, with the answer: so what is not answered is not counted either. */
static struct ask *prepare_ask(struct request *r)
{
        struct ask *a = ask_of(r);
        if (a->http)
                return a;
        a->http = wire_arg(r);
        a->result = RESULT_LOCAL;
        a->pass = access_nothing;
        path_parse(r->head.target, &a->path);
        a->spared = !r->conn->turned_away && a->http->parts.addresses &&
                    !addresses_ask(a->http->parts.addresses, r->conn->of_address, r->started_us);
        if (a->path.kind == PATH_CMCD && r->head.method == METHOD_POST && !r->conn->turned_away && !a->spared)
                judge_reporter(a);
        else if (a->path.kind == PATH_OBJECT && r->head.method == METHOD_GET)
                read_report(a);
        return a;
}

/* wire_ops.body */
static void hear(struct request *r, const char *bytes, size_t len)
{
        enum players_way way = PLAYERS_EVENT;
        struct ask *a = prepare_ask(r);
        if (a->hears)
                cmcd_lines(&a->lines, bytes, len, take_report, &way);
}

static void begin_ask(struct request *r)
{
        struct ask *a = prepare_ask(r);
        if (r->conn->turned_away)
                say_error(a, r->conn->turned_why == TURNED_SHARE ? RESPOND_SHARE : RESPOND_FULL);
        else if (a->spared)
                spare(a, SPARED_RATE);
        else if (r->head.method == METHOD_OTHER || (r->head.method == METHOD_POST && a->path.kind != PATH_CMCD))
                say_error(a, RESPOND_METHOD);
        else if (r->head.method == METHOD_OPTIONS) /* whatever the path: browsers hide the status of a request whose preflight failed */
                say(a, respond_preflight());
        else
                say_path(a);
}

static void go_on(struct request *r)
{
        say_object(ask_of(r));
}

static void count_sent(struct ask *a)
{
        const struct request *r = &a->request;
        if (r->head.method == METHOD_HEAD || !r->out.answer)
                return;
        metric_add(&stats_sent, (int64_t)(r->out.answer->grows ? a->sent_bytes : r->whole ? r->out.answer->len_bytes : r->out.sent));
}

/* Who was answered with media has fetched it. A part that is not the first is of a segment that was counted with that. */
static void count_viewer(struct ask *a)
{
        const struct request *r = &a->request;
        const struct key *key = &a->path.object;
        if (a->reported != CMCD_NOTHING && (r->status == 200 || r->status == 206 || r->status == 304))
                take_report(&a->way, a->reported, &a->report);
        if (!a->http->parts.audience || !a->object || !r->whole || (a->path.is_part && a->path.part) || r->head.method != METHOD_GET || key->kind != KEY_SEGMENT ||
            (r->status != 200 && !(r->status == 206 && a->part_is_first)))
                return;
        struct audience_fetch f = {.stream = key->stream, .session = key->session, .segment = key->segment,
                                   .of = key->track[0] == 'v' ? AUDIENCE_PICTURE : AUDIENCE_SOUND,
                                   .wanted_us = a->object->made_us, .now_us = r->ended_us};
        audience_saw(a->http->parts.audience, wire_thread_index(r), &f);
}

static void end_ask(struct request *r)
{
        struct ask *a = ask_of(r);
        int64_t us = r->ended_us - r->started_us;
        bool is_known = !r->fault && path_is_known(&a->path);
        enum stats_result result = r->fault ? RESULT_LOCAL : a->result;
        if (r->status)
                stats_request(result, r->status, us);
        log_debug("client=%d method=%d path=%s status=%u result=%s us=%lld", r->conn->fd, (int)r->head.method,
                  is_known ? a->path.key : "-", r->status, stats_word(WORDS_RESULT, result), (long long)us);
        if (!r->fault && a->http) {
                count_sent(a);
                if (a->path.kind == PATH_OBJECT)
                        count_viewer(a);
        }
        r->conn->measured |= !r->fault && r->status == 200 && r->head.method == METHOD_GET && asks_for_video(a);
        object_unref(&a->object);
}

static bool reads_what_is_cut(struct request *r)
{
        struct ask *a = ask_of(r);
        return ledger_is_cut(r->out.piece) || (a->object && object_is_cut(a->object));
}

/* ---- the threads ------------------------------------------------------------------------------------------------- */

int http_open(struct http **out, const struct http_config *cfg, const struct http_parts *parts)
{
        static const struct wire_ops ops = {.request_bytes = sizeof(struct ask), .body = hear, .begin = begin_ask, .go_on = go_on,
                                            .more = take_growth, .leave = leave, .end = end_ask, .lost = reads_what_is_cut,
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

int http_tls_port(const struct http *h)
{
        return wire_tls_port(h->wire);
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
