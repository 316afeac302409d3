#include "edged/respond.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cors.h"
#include "common/mem.h"
#include "edged/etag.h"
#include "edged/gzip.h"

#define GZIP_LEAST 1000 /* what is shorter goes in one packet anyway */

static struct answer *errors[RESPOND_ERROR_COUNT][RESULTS];
static struct answer *refusals[ACCESS_FAULTS];
static struct answer *faults[PARSE_FAULT_END];
static struct answer *preflight, *heard;

enum stats_result respond_result(enum cache_result result)
{
        static const enum stats_result map[] = {[CACHE_HIT] = RESULT_HIT,
                                                [CACHE_MISS] = RESULT_MISS,
                                                [CACHE_JOINED] = RESULT_JOINED,
                                                [CACHE_STALE] = RESULT_STALE,
                                                [CACHE_FULL] = RESULT_MISS};
        return map[result];
}

static void add_fields(struct answer *r, const struct cors_field *f)
{
        for (; f->name; f++)
                answer_add(r, f->name, f->value);
}

void respond_common(struct answer *r, enum stats_result result)
{
        add_fields(r, cors_all);
        if (result != RESULT_LOCAL)
                answer_add(r, "X-Cache", stats_word(WORDS_RESULT, result));
}

static struct answer *from_text(unsigned status, char *text) /* takes text */
{
        return answer_text(status, text, strlen(text));
}

static struct answer *json_error(unsigned status, const char *text, enum stats_result result)
{
        struct answer *r = from_text(status, mem_printf("{\"error\": \"%s\"}\n", text));
        answer_add(r, "Content-Type", "application/json");
        answer_add(r, "Cache-Control", "no-store");
        answer_add(r, "X-Content-Type-Options", "nosniff");
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
static void add_challenge(struct answer *r, unsigned fault)
{
        char *value = fault == ACCESS_MISSING
                              ? mem_strdup("Bearer realm=\"freshet\"")
                              : mem_printf("Bearer realm=\"freshet\", error=\"%s\", error_description=\"%s\"",
                                           access_status(fault) == 403 ? "insufficient_scope" : "invalid_token",
                                           access_text(fault));
        answer_add(r, "WWW-Authenticate", value);
        free(value);
}

static void make_refusals(void)
{
        for (unsigned fault = ACCESS_OK + 1; fault < ACCESS_FAULTS; fault++) {
                refusals[fault] = json_error(access_status(fault), access_text(fault), RESULT_LOCAL);
                if (access_status(fault) == 503)
                        answer_add(refusals[fault], "Retry-After", "1");
                else
                        add_challenge(refusals[fault], fault);
        }
}

static struct answer *make_error(enum respond_error e, enum stats_result result, unsigned retry_s)
{
        char text[12];
        unsigned status = error_rows[e].status;
        struct answer *r = json_error(status, error_rows[e].text, result);
        snprintf(text, sizeof(text), "%u", retry_s);
        if (status == 405)
                answer_add(r, "Allow", CORS_METHODS);
        if (status == 503 || status == 429)
                answer_add(r, "Retry-After", text);
        return r;
}

void respond_open(void)
{
        for (int e = 0; e < RESPOND_ERROR_COUNT; e++) {
                for (int result = 0; result < RESULTS; result++)
                        errors[e][result] = make_error((enum respond_error)e, (enum stats_result)result, 1);
        }
        make_refusals();
        for (int f = PARSE_OK + 1; f < PARSE_FAULT_END; f++)
                faults[f] = json_error(parse_status((enum parse_fault)f), parse_words((enum parse_fault)f), RESULT_LOCAL);
        preflight = answer_new(204, NULL, 0, 0);
        respond_common(preflight, RESULT_LOCAL);
        answer_add(preflight, "Allow", CORS_METHODS);
        add_fields(preflight, cors_preflight);
        heard = answer_new(204, NULL, 0, 0);
        respond_common(heard, RESULT_LOCAL);
        answer_add(heard, "Cache-Control", "no-store");
}

void respond_close(void)
{
        for (int e = 0; e < RESPOND_ERROR_COUNT; e++) {
                for (int result = 0; result < RESULTS; result++)
                        answer_unref(&errors[e][result]);
        }
        for (unsigned fault = ACCESS_OK + 1; fault < ACCESS_FAULTS; fault++)
                answer_unref(&refusals[fault]);
        for (int f = PARSE_OK + 1; f < PARSE_FAULT_END; f++)
                answer_unref(&faults[f]);
        answer_unref(&preflight);
        answer_unref(&heard);
}

struct answer *respond_error(enum respond_error e, enum stats_result result)
{
        return errors[e][result];
}

struct answer *respond_error_until(enum respond_error e, enum stats_result result, int64_t retry_us)
{
        int64_t s = (retry_us + US_PER_S - 1) / US_PER_S;
        return make_error(e, result, s < 1 ? 1 : s > 3600 ? 3600 : (unsigned)s);
}

struct answer *respond_fault(enum parse_fault f)
{
        return faults[f];
}

struct answer *respond_refusal(unsigned fault)
{
        return refusals[fault];
}

struct answer *respond_bad(const char *why)
{
        return json_error(400, why, RESULT_LOCAL);
}

struct answer *respond_preflight(void)
{
        return preflight;
}

struct answer *respond_heard(void)
{
        return heard;
}

struct answer *respond_time(int64_t wall_us)
{
        char iso[CLOCK_ISO_MAX];
        struct answer *r = from_text(200, mem_strdup(clock_iso(iso, sizeof(iso), wall_us)));
        answer_add(r, "Content-Type", "text/plain");
        answer_add(r, "Cache-Control", "no-store");
        respond_common(r, RESULT_LOCAL);
        return r;
}

struct answer *respond_json(char *text)
{
        struct answer *r = from_text(200, text);
        answer_add(r, "Content-Type", "application/json");
        answer_add(r, "Cache-Control", "no-store");
        answer_add(r, "X-Content-Type-Options", "nosniff");
        respond_common(r, RESULT_LOCAL);
        return r;
}

/* ---- objects -------------------------------------------------------------------------------------------------- */

#define TEXT_OF(number) TEXT_OF_(number)
#define TEXT_OF_(number) #number

bool respond_is_text(const struct object *o)
{
        static const char *const types[] = {"application/dash+xml", "application/vnd.apple.mpegurl", "application/json"};
        for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
                if (strcmp(o->type, types[i]) == 0)
                        return true;
        }
        return false;
}

static void object_headers(struct answer *r, struct object *o, enum cache_result result, enum access_form form)
{
        static const char *const lasting[ACCESS_FORMS] = {"max-age=31536000, immutable", "max-age=" TEXT_OF(ACCESS_SHARED_S),
                                                          "private, max-age=" TEXT_OF(ACCESS_SHARED_S)};
        static const char *const passing[ACCESS_FORMS] = {"max-age=1", "max-age=1", "private, max-age=1"};
        answer_add(r, "Cache-Control", (o->immutable ? lasting : passing)[form]);
        if (o->type[0])
                answer_add(r, "Content-Type", o->type);
        if (respond_is_text(o))
                answer_add(r, "Vary", "Accept-Encoding");
        respond_common(r, respond_result(result));
}

/* tag NULL: the plain form's */
static void whole_headers(struct answer *r, struct object *o, const char *tag, enum cache_result result, enum access_form form)
{
        char plain[ETAG_MAX];
        etag_write(plain, o->digest);
        object_headers(r, o, result, form);
        answer_add(r, "ETag", tag ? tag : plain);
        answer_add(r, "Accept-Ranges", "bytes");
}

/* The answers of one form of a whole object, made when each is first needed. */
struct wholes_of_form {
        _Atomic(struct answer *) at[ACCESS_FORMS][CACHE_STALE + 1];
};

struct gzipped {
        struct buf *body; /* NULL: it would not be shorter */
        char tag[ETAG_MAX + 3];
        struct wholes_of_form wholes;
};

struct wholes {
        struct wholes_of_form plain;
        atomic_flag is_gzipping;
        _Atomic(struct gzipped *) gzipped; /* NULL: nobody has asked for it */
};

static struct wholes *wholes_of(struct object *o)
{
        struct wholes *w = object_attached(o);
        if (w)
                return w;
        w = mem_alloc(sizeof(*w));
        atomic_flag_clear(&w->is_gzipping);
        if (object_attach(o, w, sizeof(*w)))
                return w;
        free(w); /* another thread was first */
        return object_attached(o);
}

static void free_answers(struct wholes_of_form *f)
{
        for (int form = 0; form < ACCESS_FORMS; form++) {
                for (int result = 0; result <= CACHE_STALE; result++) {
                        struct answer *a = atomic_load(&f->at[form][result]);
                        answer_unref(&a);
                }
        }
}

void respond_detach(void *attached)
{
        struct wholes *w = attached;
        struct gzipped *z = atomic_load(&w->gzipped);
        free_answers(&w->plain);
        if (z) {
                free_answers(&z->wholes);
                buf_unref(&z->body);
        }
        free(z);
        free(w);
}

static struct gzipped *gzip_object(struct object *o, struct buf *body)
{
        char tag[ETAG_MAX];
        size_t len = 0;
        struct gzipped *z = mem_alloc(sizeof(*z));
        void *bytes = body->len < GZIP_LEAST ? NULL : gzip_make(body->data, body->len, GZIP_QUICK, &len);
        z->body = bytes ? buf_wrap(bytes, len, free, bytes) : NULL;
        etag_write(tag, o->digest);
        snprintf(z->tag, sizeof(z->tag), "%.*s-gz\"", (int)strlen(tag) - 1, tag);
        object_charge(o, sizeof(*z) + len);
        return z;
}

/* One thread makes it; who comes meanwhile is not to wait for a millisecond's work, nor to do it again. */
static struct gzipped *gzipped_of(struct object *o, struct buf *body)
{
        struct wholes *w = wholes_of(o);
        struct gzipped *z = atomic_load_explicit(&w->gzipped, memory_order_acquire);
        if (z || atomic_flag_test_and_set(&w->is_gzipping))
                return z;
        z = gzip_object(o, body);
        atomic_store_explicit(&w->gzipped, z, memory_order_release);
        return z;
}

const char *respond_gzip(struct object *o, struct buf *body)
{
        struct gzipped *z = gzipped_of(o, body);
        return z && z->body ? z->tag : NULL;
}

static struct answer *make_whole(struct object *o, struct buf *body, const struct gzipped *z, enum cache_result result, enum access_form form)
{
        struct answer *r = answer_new(200, z ? z->body : body, 0, z ? z->body->len : body->len);
        whole_headers(r, o, z ? z->tag : NULL, result, form);
        if (z)
                answer_add(r, "Content-Encoding", "gzip");
        return r;
}

struct answer *respond_whole(struct object *o, struct buf *body, enum respond_coding coding, enum cache_result result, enum access_form form)
{
        struct wholes *w = wholes_of(o);
        struct gzipped *z = coding == RESPOND_GZIP ? atomic_load_explicit(&w->gzipped, memory_order_acquire) : NULL;
        _Atomic(struct answer *) *place = &(z ? &z->wholes : &w->plain)->at[form][result];
        struct answer *there = atomic_load_explicit(place, memory_order_acquire);
        if (there)
                return there;
        struct answer *r = make_whole(o, body, z, result, form);
        if (atomic_compare_exchange_strong(place, &there, r)) {
                object_charge(o, sizeof(*r) + r->head_cap);
                return r;
        }
        answer_unref(&r); /* another thread was first */
        return there;
}

struct answer *respond_part(struct object *o, struct buf *body, enum cache_result result, enum access_form form,
                                  uint64_t from, uint64_t len)
{
        char range[96];
        struct answer *r = answer_new(206, body, from, len);
        snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/%zu", from, from + len - 1, body->len);
        answer_add(r, "Content-Range", range);
        whole_headers(r, o, NULL, result, form);
        return r;
}

struct answer *respond_view(struct object *o, struct buf *body, enum cache_result result, enum access_form form, uint64_t from, uint64_t len)
{
        struct answer *r = answer_new(200, body, from, len);
        object_headers(r, o, result, form);
        return r;
}

struct answer *respond_unsatisfiable(struct object *o, struct buf *body, enum cache_result result)
{
        (void)o;
        char range[64];
        struct answer *r = json_error(416, "the range lies outside the object", respond_result(result));
        snprintf(range, sizeof(range), "bytes */%zu", body->len);
        answer_add(r, "Content-Range", range);
        return r;
}

struct answer *respond_same(struct object *o, const char *tag, enum cache_result result, enum access_form form)
{
        struct answer *r = answer_new(304, NULL, 0, 0);
        whole_headers(r, o, tag, result, form);
        return r;
}

struct answer *respond_list(struct object *o, char *text, size_t len, const char *etag, enum cache_result result,
                                  enum access_form form)
{
        struct answer *r = text ? answer_text(200, text, len) : answer_new(304, NULL, 0, 0);
        object_headers(r, o, result, form);
        answer_add(r, "ETag", etag);
        return r;
}

struct answer *respond_growing(struct object *o, enum cache_result result, enum access_form form)
{
        struct answer *r = answer_growing(200);
        object_headers(r, o, result, form);
        return r;
}

struct answer *respond_growing_part(struct object *o, enum cache_result result, enum access_form form, uint64_t from, uint64_t len)
{
        char range[96];
        struct answer *r = answer_growing(206);
        snprintf(range, sizeof(range), "bytes %" PRIu64 "-%" PRIu64 "/*", from, from + len - 1);
        answer_add(r, "Content-Range", range);
        object_headers(r, o, result, form);
        return r;
}

struct answer *respond_tail(struct object *init, enum access_form form)
{
        struct answer *r = answer_growing(200);
        answer_add(r, "Cache-Control", form == ACCESS_PUBLIC ? "no-store" : "private, no-store");
        answer_add(r, "X-Accel-Buffering", "no"); /* some proxies collect what they pass on, unless they are told */
        if (init->type[0])
                answer_add(r, "Content-Type", init->type);
        respond_common(r, RESULT_LOCAL);
        return r;
}
