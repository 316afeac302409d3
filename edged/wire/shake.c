/* The step before the first request, at the port that speaks TLS: who may have a handshake, and what becomes of it. */
#include "common/clock.h"
#include "common/daemon/log.h"
#include "common/tls_server.h"
#include "edged/wire/server.h"

#define SHAKES_A_TURN 8 /* each may take a millisecond, and those who are being served wait meanwhile */

/* The signature costs more than a thousand hits do, and asking for one next to nothing. Who may not is closed unheard: to tell him in TLS
 * would be that signature. */
static bool may_begin(struct conn *c)
{
        static const enum stats_turned why[] = {[ADDRESSES_ONE_FULL] = TURNED_SHAKES_ONE, [ADDRESSES_ALL_FULL] = TURNED_SHAKES};
        struct addresses *as = c->thread->wire->cfg.addresses;
        enum addresses_says says = as ? addresses_shake(as, &c->address, clock_mono_us()) : ADDRESSES_YES;
        if (says != ADDRESSES_YES)
                stats_turn_away(why[says]);
        return says == ADDRESSES_YES;
}

static enum turn opened(struct conn *c)
{
        stats_shake(tls_is_resumed(c->tls) ? SHAKEN_RESUMED : SHAKEN_FULL);
        if (tls_by_kernel(c->tls))
                metric_add(&stats_by_kernel, 1);
        c->step = STEP_HEAD;
        return TURN_ON;
}

static enum turn give_up(struct conn *c, const char *why)
{
        stats_shake(SHAKEN_FAILED);
        log_debug("client=%d msg=\"no TLS with this viewer\" error=\"%s\"", c->fd, why);
        c->condemned = true;
        return wire_linger(c); /* OpenSSL has told him by an alert, which no reset is to overtake */
}

enum turn wire_shake(struct wire_thread *t, struct conn *c)
{
        const char *why = NULL;
        if (!c->tls && !c->readable)
                return TURN_WAIT; /* who says nothing costs no more than without TLS */
        if (t->shakes == SHAKES_A_TURN)
                return TURN_LATER;
        t->shakes++;
        if (!c->tls && !may_begin(c)) {
                c->condemned = true;
                return TURN_OVER;
        }
        if (!c->tls)
                c->tls = tls_begin(tls_server_accept(t->wire->cfg.tls), c);
        switch (tls_shake(c->tls, &why)) {
        case TLS_OPEN:
                return opened(c);
        case TLS_WAIT:
                return TURN_WAIT;
        case TLS_PLAIN:
                tls_free(&c->tls);
                wire_refuse(c, PARSE_PLAIN);
                return TURN_ON;
        case TLS_BROKEN:
                break;
        }
        return give_up(c, why);
}
