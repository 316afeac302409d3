/* recording.c - a recording as one file, or a clip of it: far larger than what the cache holds as one object, so it is put together of pieces, each
 * of which is an object with a name of its own (proto/key.h), fetched once a site however many want it.
 *
 *   facts  how long the file is, and which one it is: held until they are there; then the answer begins, with its length and its tag
 *   piece  the one that is being sent, out of the cache or as it comes; the next one is asked for when this one is begun
 *
 * So a reader holds two pieces, whatever he downloads and however slowly. When the file becomes another one meanwhile its pieces are not
 * there any more, and the answer is cut off: its tag tells who goes on with a range. */
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/range.h"
#include "edged/etag.h"
#include "edged/routes/lookup.h"

#define WORDS_MAX 1024 /* names of all tracks of a recording */
#define AHEAD_S 10     /* who plays loads so much at once that he will watch */

/* ---- pieces -------------------------------------------------------------------------------------------------------- */

/* The piece that has this place of the file. NULL: there are too many objects under way. */
static struct object *find_piece(struct ask *a, uint64_t place)
{
        struct object *o;
        struct key *k = &a->path.object;
        k->kind = KEY_PIECE;
        k->identity = a->recording.identity;
        k->piece = (uint32_t)(place / RECORDING_PIECE_BYTES);
        key_write_recording(a->path.key, k);
        a->path.key_len = strlen(a->path.key);
        cache_get(a->http->parts.cache, a->path.key, a->path.key_len, 0, clock_mono_us(), &o);
        return o;
}

static bool take_next_piece(struct ask *a, uint64_t place, uint64_t end)
{
        struct recording_ask *r = &a->recording;
        uint64_t next = (place / RECORDING_PIECE_BYTES + 1) * RECORDING_PIECE_BYTES;
        a->object = r->ahead ? r->ahead : find_piece(a, place);
        r->ahead = a->object && next < end ? find_piece(a, next) : NULL;
        return a->object != NULL;
}

/* Whose player was sent a part of a track on demand has watched that, as who fetched segments: so many seconds, by the mean of its bytes. But
 * nobody watches faster than time passes, for long: who loads the whole file at once is no crowd. */
static void count_watched(struct ask *a)
{
        struct recording_ask *r = &a->recording;
        const struct key *key = &a->path.object;
        int64_t now_us = clock_mono_us();
        if (!a->http->parts.audience || !r->seconds)
                return;
        uint32_t watched_s = (uint32_t)((double)r->sent / (double)r->size * r->seconds + 0.5);
        int64_t most_s = (now_us - a->request.started_us) / US_PER_S + AHEAD_S;
        struct audience_fetch f = {.stream = key->stream, .session = key->session, .now_us = now_us,
                                   .of = key->track[0] == 'v' ? AUDIENCE_PICTURE : AUDIENCE_SOUND};
        for (; r->watched_s < watched_s && r->watched_s < most_s; r->watched_s++)
                audience_saw(a->http->parts.audience, wire_thread_index(&a->request), &f);
}

static ssize_t take_bytes(struct ask *a, struct buf **piece, size_t *off, bool *last)
{
        struct recording_ask *r = &a->recording;
        uint64_t place = r->from + r->sent, left = r->len - r->sent;
        if (!a->object && !take_next_piece(a, place, r->from + r->len))
                return ERR_NOSPACE;
        bool last_of_piece;
        ssize_t n = ask_take(a, place % RECORDING_PIECE_BYTES, piece, off, &last_of_piece);
        if (n == 0)
                return 0;
        a->waiter.expired = false;
        if (n < 0)
                return n == ERR_CLOSED ? ERR_IO : n; /* a piece that ends too soon is no end of the file */
        n = (uint64_t)n < left ? n : (ssize_t)left;
        r->sent += (uint64_t)n;
        metric_add(&stats_sent, n); /* as it goes: gigabytes at once would be in no rate */
        count_watched(a);
        *last = r->sent == r->len;
        if ((place + (uint64_t)n) % RECORDING_PIECE_BYTES == 0)
                object_unref(&a->object);
        return n;
}

/* ---- the answer ---------------------------------------------------------------------------------------------------- */

static void add_fields(struct ask *a, struct answer *answer, const char *type, const char *tag)
{
        char name[160];
        const struct key *k = &a->path.object;
        snprintf(name, sizeof(name), "inline; filename=\"%s-%s%s%s.mp4\"", k->stream, k->session, *k->track ? "-" : "", k->track);
        answer_add(answer, "Content-Type", type);
        answer_add(answer, "Content-Disposition", name); /* under which browsers keep it */
        answer_add(answer, "Cache-Control", a->pass.form == ACCESS_PUBLIC ? "max-age=1" : "private, max-age=1");
        answer_add(answer, "ETag", tag);
        answer_add(answer, "Accept-Ranges", "bytes");
        respond_common(answer, a->result);
}

static void say_range(struct ask *a, enum range_verdict verdict, uint64_t size, const char *type, const char *tag)
{
        struct recording_ask *r = &a->recording;
        char text[80];
        unsigned status = verdict == RANGE_PART ? 206 : verdict == RANGE_UNSATISFIABLE ? 416 : 200;
        bool is_head = a->request.head.method == METHOD_HEAD;
        if (verdict == RANGE_UNSATISFIABLE)
                r->len = 0;
        struct answer *answer = is_head || !r->len ? answer_lasting(status, NULL, r->len) : answer_sized(status, r->len);
        if (verdict == RANGE_PART)
                snprintf(text, sizeof(text), "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, r->from, r->from + r->len - 1, size);
        else
                snprintf(text, sizeof(text), "bytes */%" PRIu64, size);
        if (verdict != RANGE_WHOLE)
                answer_add(answer, "Content-Range", text);
        add_fields(a, answer, type, tag);
        ask_say_once(a, answer);
}

static void say_same(struct ask *a, const char *type, const char *tag)
{
        struct answer *answer = answer_lasting(304, NULL, 0);
        add_fields(a, answer, type, tag);
        ask_say_once(a, answer);
}

/* In words, why there is no such file: as text of a kind that can be passed on. */
static bool read_error(const struct buf *body, char words[WORDS_MAX])
{
        json_t *facts = json_loadb((const char *)body->data, body->len, 0, NULL);
        const char *text = json_string_value(json_object_get(facts, "error"));
        size_t len = text ? strlen(text) : 0, plain = 0;
        while (plain < len && text[plain] >= ' ' && text[plain] < 0x7f && text[plain] != '"' && text[plain] != '\\')
                plain++;
        bool well = len > 0 && len < WORDS_MAX && plain == len;
        if (well)
                strcpy(words, text);
        json_decref(facts);
        return well;
}

/* size, identity and type come from the tier above, and go into fields only as what they have to be. */
static bool read_facts(struct ask *a, const struct buf *body, uint64_t *size, const char **type)
{
        json_t *facts = json_loadb((const char *)body->data, body->len, 0, NULL);
        json_int_t bytes = json_integer_value(json_object_get(facts, "size"));
        json_int_t seconds = json_integer_value(json_object_get(facts, "seconds"));
        const char *identity = json_string_value(json_object_get(facts, "identity")), *is = json_string_value(json_object_get(facts, "type"));
        bool well = bytes > 0 && bytes / RECORDING_PIECE_BYTES < UINT32_MAX && identity && strlen(identity) == 16 &&
                    strspn(identity, "0123456789abcdef") == 16;
        *size = (uint64_t)bytes;
        *type = is && strcmp(is, "audio/mp4") == 0 ? "audio/mp4" : "video/mp4";
        a->recording.identity = well ? strtoull(identity, NULL, 16) : 0;
        a->recording.size = *size;
        a->recording.seconds = a->path.object.ondemand && seconds > 0 && seconds < UINT32_MAX ? (uint32_t)seconds : 0;
        json_decref(facts);
        return well;
}

static void begin_answer(struct ask *a, const struct buf *facts)
{
        struct recording_ask *r = &a->recording;
        char tag[ETAG_MAX];
        uint64_t size;
        const char *type;
        char words[WORDS_MAX];
        bool well = read_facts(a, facts, &size, &type), why = !well && read_error(facts, words);
        object_unref(&a->object);
        a->waiter.expired = false; /* that was the wait for the facts */
        if (why) {
                ask_say_once(a, respond_bad(words));
                return;
        }
        if (!well) {
                ask_say_error(a, RESPOND_NO_ORIGIN);
                return;
        }
        etag_write(tag, r->identity);
        if (ask_is_changed(a, tag)) {
                ask_say_error(a, RESPOND_CHANGED);
                return;
        }
        if (ask_has_already(a, tag)) {
                say_same(a, type, tag);
                return;
        }
        const char *range = a->request.head.method == METHOD_GET ? range_if(ask_field(a, FIELD_RANGE), ask_field(a, FIELD_IF_RANGE), tag) : NULL;
        enum range_verdict verdict = range_parse(range, size, &r->from, &r->len);
        say_range(a, verdict, size, type, tag);
}

/* Called when the request is new, and again when it goes on. */
static void say_recording(struct ask *a)
{
        struct object_view v;
        object_look(a->object, clock_mono_us(), &v);
        if (v.stale) {
                object_unref(&a->object);
                a->object = v.stale;
                object_look(a->object, 0, &v);
        }
        switch (v.state) {
        case OBJECT_COMPLETE:
                begin_answer(a, v.body);
                return;
        case OBJECT_MISSING:
                ask_say_error(a, RESPOND_MISSING);
                return;
        case OBJECT_FAILED:
                ask_say_failed(a, v.failure, v.again_us);
                return;
        case OBJECT_FILLING:
                break;
        }
        if (a->waiter.expired)
                ask_say_error(a, RESPOND_NOT_YET);
        else if (!ask_hold(a, UINT64_MAX, a->request.started_us + a->http->cfg.hold_us)) {
                a->waiter.expired = true;
                say_recording(a);
        }
}

/* ---- the route ----------------------------------------------------------------------------------------------------- */

static void begin_recording(struct ask *a)
{
        unsigned fault = ask_admit(a, a->path.object.stream);
        enum cache_result cached;
        if (fault != ACCESS_OK) {
                ask_refuse(a, fault);
                return;
        }
        a->path.object.kind = KEY_FACTS;
        key_write_recording(a->path.key, &a->path.object);
        a->path.key_len = strlen(a->path.key);
        if (!lookup(a, &a->object, &cached))
                return;
        a->result = respond_result(cached);
        if (a->object)
                say_recording(a);
        else
                ask_say_error(a, RESPOND_BUSY);
}

/* The next piece can be asked for again when its turn comes: for that nobody loses what he is being sent. */
static bool recording_is_lost(struct ask *a)
{
        struct recording_ask *r = &a->recording;
        if (r->ahead && object_is_cut(r->ahead))
                object_unref(&r->ahead);
        return a->object && object_is_cut(a->object);
}

static void end_recording(struct ask *a)
{
        object_unref(&a->object);
        object_unref(&a->recording.ahead);
}

const struct route route_recording = {.begin = begin_recording, .go_on = say_recording, .more = take_bytes, .leave = ask_leave,
                                      .lost = recording_is_lost, .end = end_recording};
