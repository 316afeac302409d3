/* object.c - what the tier above has: segments, parts of them, manifests, playlists, lists. Out of the cache at once; held until there is
 * something of it, and then piece by piece as it comes. */
#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/range.h"
#include "edged/cmsd.h"
#include "edged/etag.h"
#include "edged/gzip.h"
#include "edged/routes/lookup.h"
#include "edged/wire/tcp.h"
#include "proto/parts.h"

#define PLAYLIST_HOLD_US (3 * US_PER_S) /* three target durations (RFC 8216bis, 6.2.5.2) */

static const char *range_wanted(struct ask *a)
{
        char tag[ETAG_MAX];
        const char *range = a->request.head.method == METHOD_GET ? ask_field(a, FIELD_RANGE) : NULL;
        if (!range)
                return NULL;
        etag_write(tag, a->object->digest);
        return range_if(range, ask_field(a, FIELD_IF_RANGE), tag);
}

static void say_list(struct ask *a, struct buf *body)
{
        struct http_thread *t = ask_thread(a);
        const struct listing_answer *l = listing_find(&t->listing, t->tokens, a->object, body, a->of.cached, &a->pass);
        char whole[ETAG_MAX];
        etag_write(whole, a->object->digest);
        if (ask_is_changed(a, l ? l->etag : whole))
                ask_say_error(a, RESPOND_CHANGED);
        else if (!l)
                ask_say(a, respond_whole(a->object, body, RESPOND_PLAIN, a->of.cached, ACCESS_PUBLIC));
        else
                ask_say(a, ask_has_already(a, l->etag) ? l->same : l->response);
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
                ask_say(a, answer);
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
        struct parts_of p = {.read = read_object, .arg = a->object, .len_bytes = len, .complete = complete,
                             .chunks = a->path.part_chunks};
        return parts_find(&p, a->path.part, &a->of.part_from, &a->of.part_bytes);
}

/* A part of a segment that is all there: its bytes are the segment's. */
static void say_part(struct ask *a, struct buf *body)
{
        if (find_part(a, body->len, true) != PART_HERE) {
                ask_say_error(a, RESPOND_MISSING);
                return;
        }
        struct answer *answer = respond_view(a->object, body, a->of.cached, a->pass.form, a->of.part_from, a->of.part_bytes);
        say_with_throughput(a, answer);
        answer_unref(&answer);
}

/* A range is one of the plain bytes. */
static bool takes_gzip(struct ask *a)
{
        return respond_is_text(a->object) && !range_wanted(a) && gzip_is_accepted(ask_field(a, FIELD_ACCEPT_ENCODING));
}

static void say_complete(struct ask *a, struct buf *body)
{
        struct object *o = a->object;
        enum access_form form = a->pass.form;
        uint64_t from, len;
        /* Since it was asked for, and not since it was whole: the tier above may have made it at any time between. */
        a->request.was_kept = a->of.cached == CACHE_HIT || a->of.cached == CACHE_STALE;
        a->request.age_us = a->request.started_us - o->made_us;
        if (a->of.is_list) {
                say_list(a, body);
                return;
        }
        if (a->path.is_part) {
                say_part(a, body);
                return;
        }
        char plain[ETAG_MAX];
        etag_write(plain, o->digest);
        const char *gzip = takes_gzip(a) ? respond_gzip(o, body) : NULL, *tag = gzip ? gzip : plain;
        if (ask_is_changed(a, tag)) {
                ask_say_error(a, RESPOND_CHANGED);
                return;
        }
        if (ask_has_already(a, tag)) {
                ask_say_once(a, respond_same(o, tag, a->of.cached, form));
                return;
        }
        switch (range_parse(range_wanted(a), body->len, &from, &len)) {
        case RANGE_WHOLE:
                say_with_throughput(a, respond_whole(o, body, gzip ? RESPOND_GZIP : RESPOND_PLAIN, a->of.cached, form));
                break;
        case RANGE_PART:
                a->of.part_is_first = from == 0;
                ask_say_once(a, respond_part(o, body, a->of.cached, form, from, len));
                break;
        case RANGE_UNSATISFIABLE:
                ask_say_once(a, respond_unsatisfiable(o, body, a->of.cached));
                break;
        }
}

/* ---- as it grows ---------------------------------------------------------------------------------------------- */

/* Of an object that is FILLING when its answer begins: all of it, or a part, of which what is there comes at once. */
static ssize_t take_growth(struct ask *a, struct buf **piece, size_t *off, bool *last)
{
        uint64_t at = a->of.part_from + a->sent_bytes, left = a->of.part_bytes - a->sent_bytes;
        ssize_t n = ask_take(a, at, piece, off, last);
        if (n <= 0)
                return n;
        if ((uint64_t)n >= left) {
                *last = true;
                n = (ssize_t)left;
        }
        a->sent_bytes += (uint64_t)n;
        return n;
}

static void say_growing(struct ask *a)
{
        bool is_range = !a->path.is_part && range_has_ends(range_wanted(a), &a->of.part_from, &a->of.part_bytes);
        struct answer *answer = is_range ? respond_growing_part(a->object, a->of.cached, a->pass.form, a->of.part_from, a->of.part_bytes)
                                         : respond_growing(a->object, a->of.cached, a->pass.form);
        if (!is_range && !a->path.is_part)
                a->of.part_bytes = UINT64_MAX;
        a->of.part_is_first = is_range && a->of.part_from == 0;
        a->waiter.expired = false;
        say_with_throughput(a, answer);
        answer_unref(&answer);
}

static void take_stale(struct ask *a, struct object *stale)
{
        object_unref(&a->object);
        a->object = stale;
        a->of.cached = CACHE_STALE;
        a->result = RESULT_STALE;
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
                ask_say_error(a, ask_is_version(a) ? RESPOND_AHEAD : RESPOND_MISSING);
                return;
        case OBJECT_FAILED:
                ask_say_failed(a, v.failure, v.again_us);
                return;
        case OBJECT_FILLING:
                break;
        }
        /* A HEAD is answered with the length, and what its tag is can be said when all of it is there. */
        uint64_t from = 0, len;
        bool has_ends = !a->path.is_part && range_has_ends(range_wanted(a), &from, &len);
        bool needs_whole = a->request.head.method == METHOD_HEAD || a->of.is_list || ask_field(a, FIELD_IF_MATCH) ||
                           (range_needs_whole(range_wanted(a)) && !has_ends) || a->path.object.joined; /* old players want to know how long it is */
        int64_t hold_us = a->http->cfg.hold_us, until_us = a->request.started_us + hold_us;
        if (ask_is_version(a) && hold_us > PLAYLIST_HOLD_US)
                until_us = a->request.started_us + PLAYLIST_HOLD_US;
        bool part_lacks = a->path.is_part && find_part(a, v.len, false) != PART_HERE;
        if (v.len > from && !needs_whole && !part_lacks)
                say_growing(a);
        else if (a->waiter.expired || v.again_us > until_us) /* nothing comes while it would be held */
                ask_say_failed(a, ERR_NOT_YET, v.again_us);
        else if (!ask_hold(a, needs_whole ? UINT64_MAX : part_lacks ? v.len : from, until_us)) {
                a->waiter.expired = true; /* there is something now, or nobody waits any more */
                say_object(a);
        }
}

/* ---- the route ----------------------------------------------------------------------------------------------------- */

static void read_report(struct ask *a)
{
        const char *const fields[CMCD_FIELDS] = {ask_field(a, FIELD_CMCD_OBJECT), ask_field(a, FIELD_CMCD_REQUEST),
                                                 ask_field(a, FIELD_CMCD_SESSION), ask_field(a, FIELD_CMCD_STATUS)};
        if (a->request.head.method != METHOD_GET)
                return;
        a->of.way = PLAYERS_QUERY;
        a->of.reported = cmcd_query(a->request.head.target, &a->of.report);
        if (a->of.reported != CMCD_NOTHING)
                return;
        a->of.way = PLAYERS_FIELDS;
        a->of.reported = cmcd_fields(fields, &a->of.report);
}

/* Everybody is told of public streams, whatever token he has. */
static unsigned admit_to_object(struct ask *a)
{
        const struct key *key = &a->path.object;
        if (key->kind != KEY_STREAMS && key->kind != KEY_RECORDINGS)
                return ask_admit(a, key->stream);
        a->of.is_list = access_any_private(ask_thread(a)->tokens);
        if (a->of.is_list)
                ask_for_token(a, NULL);
        return ACCESS_OK;
}

static void begin_object(struct ask *a)
{
        unsigned fault = admit_to_object(a);
        if (fault != ACCESS_OK) {
                ask_refuse(a, fault);
                return;
        }
        if (!lookup(a, &a->object, &a->of.cached))
                return;
        a->result = respond_result(a->of.cached);
        if (a->object)
                say_object(a);
        else
                ask_say_error(a, RESPOND_BUSY);
}

/* A report counts if the request that it came with is answered. */
static void count_report(struct ask *a)
{
        unsigned status = a->request.status;
        if (status != 200 && status != 206 && status != 304)
                return;
        if (a->of.reported == CMCD_REPORT)
                players_take(&a->of.report, a->of.way);
        else if (a->of.reported == CMCD_BROKEN)
                players_broken(a->of.way);
}

/* Who was answered with media has fetched it. A part that is not the first is of a segment that was counted with that. */
static void count_viewer(struct ask *a)
{
        const struct request *r = &a->request;
        const struct key *key = &a->path.object;
        bool is_first = r->status == 200 ? !a->path.is_part || a->path.part == 0 : r->status == 206 && a->of.part_is_first;
        if (!a->http->parts.audience || !a->object || !r->whole || !is_first || r->head.method != METHOD_GET ||
            key->kind != KEY_SEGMENT)
                return;
        struct audience_fetch f = {.stream = key->stream, .session = key->session, .segment = key->segment,
                                   .of = key->track[0] == 'v' ? AUDIENCE_PICTURE : AUDIENCE_SOUND,
                                   .wanted_us = a->object->made_us, .now_us = r->ended_us};
        for (unsigned n = 0; n < key->joined || n == 0; n++, f.segment++) /* of joined seconds he has fetched each */
                audience_saw(a->http->parts.audience, wire_thread_index(r), &f);
}

static bool object_is_lost(struct ask *a)
{
        return a->object && object_is_cut(a->object);
}

static void end_object(struct ask *a)
{
        const struct request *r = &a->request;
        count_report(a);
        count_viewer(a);
        r->conn->measured |= r->status == 200 && r->head.method == METHOD_GET && asks_for_video(a);
        object_unref(&a->object);
}

const struct route route_object = {.prepare = read_report, .begin = begin_object, .go_on = say_object, .more = take_growth,
                                   .leave = ask_leave, .lost = object_is_lost, .end = end_object};
