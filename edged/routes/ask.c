#include "edged/routes/ask.h"

#include "common/clock.h"
#include "common/err.h"
#include "common/range.h"

struct http_thread *ask_thread(struct ask *a)
{
        return &a->http->threads[wire_thread_index(&a->request)];
}

void ask_say(struct ask *a, struct answer *answer)
{
        wire_answer(&a->request, answer, NULL);
}

void ask_say_once(struct ask *a, struct answer *answer)
{
        ask_say(a, answer);
        answer_unref(&answer);
}

void ask_say_error(struct ask *a, enum respond_error e)
{
        ask_say(a, respond_error(e, a->result));
}

void ask_refuse(struct ask *a, unsigned fault)
{
        stats_refuse(fault);
        ask_say(a, respond_refusal(fault));
}

void ask_spare(struct ask *a, enum stats_spared why)
{
        static const enum respond_error answers[SPARED] = {[SPARED_UNKNOWN] = RESPOND_MISSING,
                                                           [SPARED_FAR] = RESPOND_MISSING,
                                                           [SPARED_RATE] = RESPOND_RATE,
                                                           [SPARED_ONE] = RESPOND_MISSES_OF_ONE,
                                                           [SPARED_ALL] = RESPOND_MISSES};
        stats_spare(why);
        ask_say_error(a, why == SPARED_FAR && ask_is_version(a) ? RESPOND_AHEAD : answers[why]);
}

bool ask_is_version(const struct ask *a)
{
        return a->path.object.kind == KEY_PLAYLIST && a->path.object.waits;
}

const char *ask_field(const struct ask *a, enum parse_field f)
{
        return a->request.head.fields[f];
}

bool ask_has_already(const struct ask *a, const char *etag)
{
        return etag_matches(ask_field(a, FIELD_IF_NONE_MATCH), etag);
}

bool ask_is_changed(const struct ask *a, const char *etag)
{
        return !etag_is_wanted(ask_field(a, FIELD_IF_MATCH), etag);
}

void ask_who(const struct ask *a, struct address *out)
{
        *out = a->request.conn->address;
        if (a->request.conn->by_balancer)
                address_forwarded(out, ask_field(a, FIELD_X_FORWARDED_FOR));
}

static struct access_token find_token(struct ask *a)
{
        if (a->path.token)
                return (struct access_token){a->path.token, a->path.token_len, ACCESS_IN_URL};
        struct access_token t = access_bearer(ask_field(a, FIELD_AUTHORIZATION));
        return t.text ? t : access_cookie(ask_field(a, FIELD_COOKIE));
}

unsigned ask_for_token(struct ask *a, const char *stream)
{
        struct access_token token = find_token(a);
        int64_t now_us = clock_wall_us();
        unsigned fault = access_check(ask_thread(a)->tokens, &token, stream, now_us, &a->pass);
        if (fault != ACCESS_OK)
                return fault;
        if (a->pass.until_s - now_us / US_PER_S < ACCESS_SHARED_S)
                a->pass.form = ACCESS_IN_HEADER; /* a shared cache would keep it for longer than it may be seen */
        conn_admit(a->request.conn, &a->pass);
        return ACCESS_OK;
}

unsigned ask_admit(struct ask *a, const char *stream)
{
        return access_is_private(ask_thread(a)->tokens, stream) ? ask_for_token(a, stream) : ACCESS_OK;
}

/* ---- waiting ---------------------------------------------------------------------------------------------------------- */

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

bool ask_hold(struct ask *a, uint64_t have, int64_t deadline_us)
{
        a->waiter = (struct waiter){.have = have, .deadline_us = deadline_us, .suspend = suspend, .wake = wake};
        return object_wait(a->object, &a->waiter);
}

ssize_t ask_take(struct ask *a, uint64_t at, struct buf **piece, size_t *off, bool *last)
{
        ssize_t n = object_piece(a->object, at, piece, off, last);
        if (n == 0 && a->waiter.expired)
                return ERR_NOT_YET;
        if (n == 0 && ask_hold(a, at, clock_mono_us() + 2 * a->http->cfg.hold_us))
                return 0;
        if (n == 0) /* there was one meanwhile, or nobody waits any more */
                n = object_piece(a->object, at, piece, off, last);
        return n ? n : ERR_NOT_YET;
}

bool ask_leave(struct ask *a)
{
        return object_leave(a->object, &a->waiter);
}

void ask_say_failed(struct ask *a, int failure, int64_t again_us)
{
        enum respond_error e = failure == ERR_NOT_YET   ? RESPOND_NOT_YET
                               : failure == ERR_NOSPACE ? RESPOND_BUSY
                                                        : RESPOND_NO_ORIGIN;
        int64_t wait_us = again_us - clock_mono_us();
        if (wait_us <= US_PER_S)
                ask_say_error(a, e);
        else
                ask_say_once(a, respond_error_until(e, a->result, wait_us));
}
