/* Who may stay: connections_max in all, some of one address, and those few more that are told why they may not. */
#include <sys/socket.h>

#include "common/daemon/metrics.h"
#include "edged/wire/server.h"

static void leave_seat(struct conn *c)
{
        if (!atomic_exchange(&c->seated, false))
                return;
        atomic_fetch_sub(&c->thread->wire->seats, 1);
        metric_add(&stats_clients, -1);
}

static bool take_seat(struct conn *c)
{
        struct wire *w = c->thread->wire;
        if (atomic_fetch_add(&w->seats, 1) >= w->cfg.connections_max) {
                atomic_fetch_sub(&w->seats, 1);
                return false;
        }
        atomic_store(&c->seated, true);
        metric_add(&stats_clients, 1);
        return true;
}

/* Its descriptor is there until its own thread looks at it. */
static void leave_seat_first(struct conn *c)
{
        c->leaving = true;
        atomic_fetch_add(&c->thread->wire->leaving, 1);
        leave_seat(c);
}

/* Somebody who rests leaves his seat: one of this thread's, who is gone at once, rather than one of another's, for which that has to be
 * stopped for a moment, and then has a descriptor more than there are seats. Of those only so many may be. */
static bool displace(struct wire_thread *t, unsigned own, int64_t now_us)
{
        struct wire *w = t->wire;
        struct conn *mine = conn_displace(&t->conns, own, now_us, leave_seat);
        if (mine) {
                wire_end_conn(mine);
                return true;
        }
        for (unsigned i = 0; i < w->cfg.threads && atomic_load(&w->leaving) < WIRE_LEAVING_MAX; i++) {
                if (&w->threads[i] != t && conn_displace(&w->threads[i].conns, own, now_us, leave_seat_first))
                        return true;
        }
        return false;
}

/* It is told when it has asked, since an answer before the question may be lost when the socket is closed. When too many are to be told
 * it is so all the same. */
static void turn_away(struct conn *c, enum stats_turned why)
{
        static const char unasked[] = "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
                                      "Content-Length: 0\r\n\r\n";
        stats_turn_away(why);
        c->turned_why = why;
        c->turned_away = true;
        if (atomic_fetch_add(&c->thread->wire->turned, 1) < WIRE_TURNED_MAX)
                return;
        size_t len = c->step == STEP_SHAKE ? 0 : sizeof(unasked) - 1; /* it would be no TLS */
        ssize_t sent = send(c->fd, unasked, len, MSG_NOSIGNAL | MSG_DONTWAIT);
        (void)sent; /* there is nothing else to do for him */
        c->condemned = true;
        c->gone = true;
}

void seats_find(struct conn *c, struct wire_thread *t, int64_t now_us)
{
        struct addresses *as = t->wire->cfg.addresses;
        atomic_uint *count = NULL;
        if (as && !addresses_enter(as, &c->address, &count)) {
                turn_away(c, TURNED_SHARE);
                return;
        }
        c->entered = as != NULL;
        c->of_address = count; /* from here on other threads may look at it: it is in the list already */
        while (!take_seat(c)) {
                if (!displace(t, count ? atomic_load(count) : 1, now_us)) {
                        turn_away(c, TURNED_FULL);
                        return;
                }
        }
}

void seats_leave(struct conn *c)
{
        leave_seat(c);
        if (c->leaving)
                atomic_fetch_sub(&c->thread->wire->leaving, 1);
        if (c->turned_away)
                atomic_fetch_sub(&c->thread->wire->turned, 1);
        if (c->entered) /* nobody looks at of_address any more: it has left the list */
                addresses_leave(c->thread->wire->cfg.addresses, &c->address);
        c->entered = false;
}
