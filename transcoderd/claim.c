#include "transcoderd/claim.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/err.h"
#include "common/log.h"
#include "common/mem.h"

#define CANDIDATES_MAX 3
#define CALL_MIN_MS 100

struct claiming {
        const struct origins *origins;
        struct claim message;
        struct origin candidates[CANDIDATES_MAX];
        size_t count, at; /* the one that is asked */
        int64_t until_us;
        bool again; /* by one that has the session and tells itself what is wrong */
        claim_done *done; /* NULL: canceled */
        void *arg;
};

static void on_answer(void *arg, int err, nng_msg *reply);

/* The time that is left is shared by those that are left. */
static unsigned timeout_ms(const struct claiming *c)
{
        int64_t ms = (c->until_us - clock_mono_us()) / US_PER_MS / (int64_t)(c->count - c->at);
        return ms > CALL_MIN_MS ? (unsigned)ms : CALL_MIN_MS;
}

/* Asks the next one that is up; false: there is none. */
static bool ask(struct claiming *c)
{
        for (; c->at < c->count; c->at++) {
                nng_msg *msg = message_new(MSG_CLAIM, claim_encode, &c->message);
                if (origins_call(c->origins, c->candidates[c->at].id, msg, timeout_ms(c), on_answer, c))
                        return true;
        }
        return false;
}

static int read_answer(struct claiming *c, nng_msg *reply, struct claim_reply *m)
{
        struct reader r;
        if (message_open(&r, reply) == MSG_CLAIM_REPLY && claim_reply_decode(&r, m) == 0)
                return m->status;
        origins_drop(c->origins, c->candidates[c->at].id, "malformed answer to CLAIM");
        return ERR_PROTO;
}

static void on_answer(void *arg, int err, nng_msg *reply)
{
        struct claiming *c = arg;
        struct claim_reply m;
        if (!err)
                err = read_answer(c, reply, &m);
        nng_msg_free(reply);
        if (err && c->done) {
                log_line(c->again ? LOG_DEBUG : LOG_WARN, "session=%s stream=%s origin=%s msg=\"claim failed\" error=\"%s\"",
                         c->message.session, c->message.stream, c->candidates[c->at].id, err_text(err));
                c->at++;
                if (clock_mono_us() < c->until_us && ask(c))
                        return;
        }
        if (c->done && !err)
                c->done(c->arg, 0, &c->candidates[c->at], &m);
        else if (c->done)
                c->done(c->arg, err, NULL, NULL);
        free(c);
}

struct claiming *claim_start(const struct origins *origins, const struct claim *message, const char *only,
                             claim_done *done, void *arg)
{
        struct claiming *c = mem_alloc(sizeof(*c));
        *c = (struct claiming){.origins = origins, .message = *message, .again = only != NULL, .done = done,
                                .arg = arg};
        c->until_us = clock_mono_us() + CLAIM_DEADLINE_MS * US_PER_MS;
        if (!only)
                c->count = origins->link->route(origins->arg, message->stream, c->candidates, CANDIDATES_MAX);
        else
                c->count = origins->link->find(origins->arg, only, &c->candidates[0]) ? 1 : 0;
        if (ask(c))
                return c;
        free(c);
        return NULL;
}

void claim_cancel(struct claiming **c)
{
        if (!c || !*c)
                return;
        (*c)->done = NULL;
        *c = NULL;
}
