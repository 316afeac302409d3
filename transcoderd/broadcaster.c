#include "transcoderd/broadcaster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/err.h"
#include "transcoderd/session.h"
#include "transcoderd/stats.h"

struct broadcaster *broadcaster_find(struct session *s, uint64_t handle)
{
        if (!handle)
                return NULL;
        return s->active.handle == handle ? &s->active : s->standby.handle == handle ? &s->standby : NULL;
}

void broadcaster_heard(struct broadcaster *f, bool fresh)
{
        f->heard_us = clock_mono_us();
        if (fresh)
                f->fresh_us = f->heard_us;
}

void broadcaster_configure(struct broadcaster *f, uint8_t track, uint8_t codec, struct buf *config)
{
        struct buf *old = f->config[track];
        f->codecs[track] = codec;
        f->config[track] = buf_ref(config);
        buf_unref(&old);
}

static void clear(struct broadcaster *f)
{
        for (int k = 0; k < TRACK_KINDS; k++)
                buf_unref(&f->config[k]);
        ahead_clear(&f->ahead);
        *f = (struct broadcaster){0};
}

void broadcaster_retire(struct session *s, struct broadcaster *f, int status)
{
        opens_retire(&s->all->opens, f->handle, status);
        clear(f);
}

void broadcaster_retire_all(struct session *s, int status)
{
        broadcaster_retire(s, &s->active, status);
        broadcaster_retire(s, &s->standby, status);
}

/* One that stands by has other frames at the same numbers when it goes on. */
static void swap(struct session *s)
{
        ahead_clear(&s->active.ahead);
        struct broadcaster f = s->active;
        s->active = s->standby;
        s->standby = f;
}

/* What its frames need comes before them. */
static void begin_anew(struct session *s)
{
        for (int k = 0; k < TRACK_KINDS; k++) {
                s->break_due[k] = true;
                if (!s->active.config[k])
                        continue;
                buf_unref(&s->config[k]);
                s->codecs[k] = s->active.codecs[k];
                s->config[k] = buf_ref(s->active.config[k]);
                s->config_due[k] = true;
        }
        memcpy(s->publisher, s->active.publisher, sizeof(s->publisher));
        s->lost = false;
}

/* Beginning -------------------------------------------------------------------------------------------------------- */

static bool is_backup(const struct open *m)
{
        return m->role == OPEN_BACKUP || m->role == OPEN_BACKUP_NOW;
}

bool broadcaster_place_taken(const struct session *s, const struct open *m)
{
        const struct broadcaster *f = s->active.handle && s->active.backup == is_backup(m) ? &s->active : &s->standby;
        return f->handle && f->backup == is_backup(m) && clock_mono_us() - f->heard_us < BROADCASTER_SILENT_US;
}

/* The one that is to be filled, empty; with now it is the active one. */
static struct broadcaster *make_place(struct session *s, bool backup, bool now)
{
        if (s->active.handle && s->active.backup == backup) {
                broadcaster_retire(s, &s->active, ERR_CONFLICT);
                return &s->active;
        }
        if (s->standby.handle && s->standby.backup == backup)
                broadcaster_retire(s, &s->standby, ERR_CONFLICT);
        if (s->active.handle && now) {
                swap(s);
                metric_add(&stats_switches, 1);
        }
        return s->active.handle ? &s->standby : &s->active;
}

struct broadcaster *broadcaster_admit(struct session *s, const struct open *m)
{
        struct broadcaster *f = make_place(s, is_backup(m), m->role == OPEN_NOW || m->role == OPEN_BACKUP_NOW);
        clear(f);
        f->handle = opens_handle(&s->all->opens);
        f->backup = is_backup(m);
        f->heard_us = f->fresh_us = clock_mono_us();
        memcpy(f->publisher, m->publisher, sizeof(f->publisher));
        for (uint8_t k = 0; k < TRACK_KINDS; k++) {
                if (m->codecs[k] == CODEC_NONE)
                        continue;
                f->codecs[k] = m->codecs[k];
                f->config[k] = buf_copy(m->config[k].data, m->config[k].len);
        }
        if (f == &s->active)
                begin_anew(s);
        return f; /* one that stands by is remembered with its configuration, and nothing of it reaches the pipeline yet */
}

int64_t broadcaster_skew_us(const struct open *m, int64_t session_ahead_us)
{
        int64_t skew_us = m->ahead_us + session_ahead_us;
        return llabs(skew_us) < PEER_CLOCK_NOISE_US ? 0 : skew_us - skew_us % US_PER_MS;
}

void broadcaster_accept(const struct session *s, const struct broadcaster *f, struct rpc_request *open, int64_t skew_us)
{
        struct open_reply m = {.handle = f->handle, .epoch_us = s->epoch_us, .generation = s->generation,
                               .skew_us = skew_us, .keeps_time = s->clock.own, .standby = f == &s->standby};
        if (skew_us)
                log_warn("session=%s stream=%s skew_ms=%lld msg=\"the proxy's clock is another than ours; the stream follows ours\"",
                         s->id, s->stream, (long long)(skew_us / US_PER_MS));
        memcpy(m.session, s->id, sizeof(m.session));
        memcpy(m.node, s->all->self->id, sizeof(m.node));
        rpc_reply(open, message_new(MSG_OPEN_REPLY, open_reply_encode, &m));
}

/* Switching -------------------------------------------------------------------------------------------------------- */

static bool can_go_on(const struct broadcaster *f, int64_t now_us)
{
        return f->handle && now_us - f->heard_us < BROADCASTER_SILENT_US && now_us - f->fresh_us < BROADCASTER_FRESH_US;
}

static void promote(struct session *s, const char *why)
{
        log_warn("session=%s stream=%s publisher=%s was=%s why=\"%s\" msg=\"switched to the %s broadcaster\"", s->id,
                 s->stream, *s->standby.publisher ? s->standby.publisher : "-",
                 *s->active.publisher ? s->active.publisher : "-", why, s->standby.backup ? "backup" : "primary");
        metric_add(&stats_switches, 1);
        swap(s);
        begin_anew(s);
}

bool broadcaster_look(struct session *s)
{
        int64_t now_us = clock_mono_us();
        const struct broadcaster *a = &s->active;
        if (!can_go_on(&s->standby, now_us))
                return false;
        const char *why = !a->handle                                ? "the active one is lost"
                          : now_us - a->heard_us > BROADCASTER_SILENT_US ? "nothing is heard of the active one's proxy"
                          : now_us - a->fresh_us > BROADCASTER_SILENT_US ? "the active one sends nothing"
                                                                    : NULL;
        if (why)
                promote(s, why);
        return why != NULL;
}

bool broadcaster_left(struct session *s, const char *why)
{
        if (!can_go_on(&s->standby, clock_mono_us()))
                return false;
        promote(s, why);
        broadcaster_retire(s, &s->standby, ERR_NOT_FOUND);
        return true;
}
