#include "edged/respond.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cors.h"
#include "common/mem.h"

#define GROWING_BLOCK (64 << 10)

static struct MHD_Response *errors[RESPOND_ERROR_COUNT][RESULTS];
static struct MHD_Response *refusals[ACCESS_FAULTS];
static struct MHD_Response *preflight;

/* MHD gives NULL when it has no memory, which here is fatal as everywhere (mem.h). */
static struct MHD_Response *made(struct MHD_Response *r)
{
        if (!r)
                mem_out("a response");
        return r;
}

enum stats_result respond_result(enum cache_result result)
{
        static const enum stats_result map[] = {[CACHE_HIT] = RESULT_HIT,
                                                [CACHE_MISS] = RESULT_MISS,
                                                [CACHE_JOINED] = RESULT_JOINED,
                                                [CACHE_STALE] = RESULT_STALE,
                                                [CACHE_FULL] = RESULT_MISS};
        return map[result];
}

void respond_common(struct MHD_Response *r, enum stats_result result)
{
        cors_allow(r);
        if (result != RESULT_LOCAL)
                MHD_add_response_header(r, "X-Cache", stats_result_text(result));
}

static struct MHD_Response *from_text(char *text) /* takes text */
{
        return made(MHD_create_response_from_buffer(strlen(text), text, MHD_RESPMEM_MUST_FREE));
}

static struct MHD_Response *json_error(const char *text, enum stats_result result)
{
        struct MHD_Response *r = from_text(mem_printf("{\"error\": \"%s\"}\n", text));
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
        respond_common(r, result);
        return r;
}

static const struct {
        unsigned status;
        const char *text;
} error_rows[] = {
#define X(name, status, text) {status, text},
        RESPOND_ERRORS(X)
#undef X
};

/* RFC 6750, 3. The text has no quotes. */
static void add_challenge(struct MHD_Response *r, unsigned fault)
{
        char *value = fault == ACCESS_MISSING
                              ? mem_strdup("Bearer realm=\"freshet\"")
                              : mem_printf("Bearer realm=\"freshet\", error=\"%s\", error_description=\"%s\"",
                                           access_status(fault) == 403 ? "insufficient_scope" : "invalid_token",
                                           access_text(fault));
        MHD_add_response_header(r, MHD_HTTP_HEADER_WWW_AUTHENTICATE, value);
        free(value);
}

static void make_refusals(void)
{
        for (unsigned fault = ACCESS_OK + 1; fault < ACCESS_FAULTS; fault++) {
                refusals[fault] = json_error(access_text(fault), RESULT_LOCAL);
                if (access_status(fault) == 503)
                        MHD_add_response_header(refusals[fault], MHD_HTTP_HEADER_RETRY_AFTER, "1");
                else
                        add_challenge(refusals[fault], fault);
        }
}

void respond_open(void)
{
        for (int e = 0; e < RESPOND_ERROR_COUNT; e++) {
                for (int result = 0; result < RESULTS; result++) {
                        struct MHD_Response *r = json_error(error_rows[e].text, (enum stats_result)result);
                        if (error_rows[e].status == 405)
                                MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, CORS_METHODS);
                        if (error_rows[e].status == 503 || error_rows[e].status == 429)
                                MHD_add_response_header(r, MHD_HTTP_HEADER_RETRY_AFTER, "1");
                        errors[e][result] = r;
                }
        }
        make_refusals();
        preflight = made(MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
        respond_common(preflight, RESULT_LOCAL);
        MHD_add_response_header(preflight, MHD_HTTP_HEADER_ALLOW, CORS_METHODS);
        cors_preflight(preflight);
}

void respond_close(void)
{
        for (int e = 0; e < RESPOND_ERROR_COUNT; e++) {
                for (int result = 0; result < RESULTS; result++)
                        MHD_destroy_response(errors[e][result]);
        }
        for (unsigned fault = ACCESS_OK + 1; fault < ACCESS_FAULTS; fault++)
                MHD_destroy_response(refusals[fault]);
        MHD_destroy_response(preflight);
}

struct MHD_Response *respond_error(enum respond_error e, enum stats_result result, unsigned *status)
{
        *status = error_rows[e].status;
        return errors[e][result];
}

struct MHD_Response *respond_refusal(unsigned fault, unsigned *status)
{
        *status = access_status(fault);
        return refusals[fault];
}

struct MHD_Response *respond_bad(const char *why)
{
        return json_error(why, RESULT_LOCAL);
}

struct MHD_Response *respond_preflight(void)
{
        return preflight;
}

struct MHD_Response *respond_time(int64_t wall_us)
{
        char iso[CLOCK_ISO_MAX];
        struct MHD_Response *r = from_text(mem_strdup(clock_iso(iso, sizeof(iso), wall_us)));
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, "text/plain");
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
        respond_common(r, RESULT_LOCAL);
        return r;
}

/* ---- objects -------------------------------------------------------------------------------------------------- */

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

static void object_headers(struct MHD_Response *r, struct object *o, enum cache_result result, enum access_form form)
{
        static const char *const lasting[ACCESS_FORMS] = {"max-age=31536000, immutable", "max-age=" TEXT_OF(ACCESS_SHARED_S),
                                                          "private, max-age=" TEXT_OF(ACCESS_SHARED_S)};
        static const char *const passing[ACCESS_FORMS] = {"max-age=1", "max-age=1", "private, max-age=1"};
        MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, (o->immutable ? lasting : passing)[form]);
        if (o->content_type[0])
                MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, o->content_type);
        respond_common(r, respond_result(result));
}

static void whole_headers(struct MHD_Response *r, struct object *o, enum cache_result result, enum access_form form)
{
        object_headers(r, o, result, form);
        MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, o->etag);
        MHD_add_response_header(r, MHD_HTTP_HEADER_ACCEPT_RANGES, "bytes");
}

static void release_body(void *cls)
{
        struct buf *body = cls;
        buf_unref(&body);
}

static struct MHD_Response *from_body(struct buf *body, uint64_t off, uint64_t len)
{
        if (len == 0)
                return made(MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
        return made(MHD_create_response_from_buffer_with_free_callback_cls(len, body->data + off, release_body,
                                                                           buf_ref(body)));
}

struct MHD_Response *respond_whole_apart(struct object *o, struct buf *body, enum cache_result result, enum access_form form)
{
        struct MHD_Response *r = from_body(body, 0, body->len);
        whole_headers(r, o, result, form);
        return r;
}

struct MHD_Response *respond_whole(struct object *o, struct buf *body, enum cache_result result, enum access_form form)
{
        static_assert(ACCESS_FORMS * CACHE_ANSWERS == CACHE_RESPONSES, "one for each form and word");
        _Atomic(void *) *place = &o->responses[(size_t)form * CACHE_ANSWERS + (size_t)result];
        void *there = atomic_load_explicit(place, memory_order_acquire);
        if (there)
                return there;
        struct MHD_Response *r = respond_whole_apart(o, body, result, form);
        if (atomic_compare_exchange_strong(place, &there, r))
                return r;
        MHD_destroy_response(r); /* another thread was first */
        return there;
}

struct MHD_Response *respond_part(struct object *o, struct buf *body, enum cache_result result, enum access_form form,
                                  uint64_t from, uint64_t len)
{
        char range[96];
        struct MHD_Response *r = from_body(body, from, len);
        snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/%zu", from, from + len - 1, body->len);
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, range);
        whole_headers(r, o, result, form);
        return r;
}

struct MHD_Response *respond_unsatisfiable(struct object *o, struct buf *body, enum cache_result result)
{
        (void)o;
        char range[64];
        struct MHD_Response *r = json_error("the range lies outside the object", respond_result(result));
        snprintf(range, sizeof(range), "bytes */%zu", body->len);
        MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_RANGE, range);
        return r;
}

struct MHD_Response *respond_same(struct object *o, enum cache_result result, enum access_form form)
{
        struct MHD_Response *r = made(MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
        whole_headers(r, o, result, form);
        return r;
}

struct MHD_Response *respond_list(struct object *o, char *text, size_t len, const char *etag, enum cache_result result,
                                  enum access_form form)
{
        struct MHD_Response *r = made(text ? MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE)
                                           : MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT));
        object_headers(r, o, result, form);
        MHD_add_response_header(r, MHD_HTTP_HEADER_ETAG, etag);
        return r;
}

struct MHD_Response *respond_growing(struct object *o, enum cache_result result, enum access_form form,
                                     MHD_ContentReaderCallback reader, void *arg)
{
        struct MHD_Response *r =
                made(MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, GROWING_BLOCK, reader, arg, NULL));
        object_headers(r, o, result, form);
        return r;
}

void respond_throughput(struct MHD_Response *r, const char *node, uint64_t kbps)
{
        char value[128];
        snprintf(value, sizeof(value), "\"%s\";etp=%" PRIu64, node, kbps);
        MHD_add_response_header(r, "CMSD-Dynamic", value);
}
