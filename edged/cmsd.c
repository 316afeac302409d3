#include "edged/cmsd.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "common/clock.h"

#define PRESSED_AT 900u
#define EASED_AT 800u
#define RATE_LOOKS 4 /* the rate is that of so many looks */

static atomic_bool pressed;
static _Atomic uint64_t most_kbps;

const char *cmsd_fields(char dst[OUTPUT_EXTRA_MAX], const struct cmsd *c)
{
        int64_t held_ms = c->held_us / US_PER_MS;
        int n = 0;
        dst[0] = '\0';
        if (held_ms > 0)
                n += snprintf(dst, OUTPUT_EXTRA_MAX, "CMSD-Static: ht=%" PRId64 "\r\n", held_ms);
        if (!c->etp_kbps && !c->rtt_us && !c->pressed)
                return dst;
#define ADD(...) n += n < OUTPUT_EXTRA_MAX ? snprintf(dst + n, (size_t)(OUTPUT_EXTRA_MAX - n), __VA_ARGS__) : 0
        ADD("CMSD-Dynamic: \"%s\"", c->node);
        if (c->etp_kbps)
                ADD(";etp=%" PRIu64, c->etp_kbps);
        if (c->rtt_us)
                ADD(";rtt=%" PRIu32, (c->rtt_us + 999) / 1000);
        if (held_ms > 0)
                ADD(";rd=%" PRId64, held_ms);
        if (c->pressed && c->most_kbps)
                ADD(";mb=%" PRIu64, c->most_kbps);
        if (c->pressed)
                ADD(";du");
        ADD("\r\n");
#undef ADD
        if (n >= OUTPUT_EXTRA_MAX) /* half a field would spoil the head */
                dst[0] = '\0';
        return dst;
}

/* Bits a second since RATE_LOOKS looks ago. */
static int64_t rate_of(const struct cmsd_load *l)
{
        static struct {
                int64_t at_us, bytes;
        } looks[RATE_LOOKS]; /* loop thread only */
        static unsigned next;
        int64_t bits = 0, us = l->now_us - looks[next].at_us;
        if (looks[next].at_us && us > 0 && l->sent_bytes > looks[next].bytes)
                bits = (l->sent_bytes - looks[next].bytes) * 8 * US_PER_S / us;
        looks[next].at_us = l->now_us;
        looks[next].bytes = l->sent_bytes;
        next = (next + 1) % RATE_LOOKS;
        return bits;
}

unsigned cmsd_look(const struct cmsd_load *l)
{
        int64_t of_clients = l->clients_max > 0 ? l->clients * 1000 / l->clients_max : 0, rate = rate_of(l);
        int64_t of_uplink = l->uplink_bits_s > 0 ? rate / (l->uplink_bits_s / 1000 + 1) : 0;
        int64_t load = of_clients > of_uplink ? of_clients : of_uplink;
        bool was = atomic_load_explicit(&pressed, memory_order_relaxed);
        uint64_t each = l->clients > 0 ? (uint64_t)(l->uplink_bits_s / 1000 * PRESSED_AT / 1000 / l->clients) : 0;
        atomic_store_explicit(&most_kbps, each, memory_order_relaxed);
        atomic_store_explicit(&pressed, load >= (was ? EASED_AT : PRESSED_AT), memory_order_relaxed);
        return load > 1000 ? 1000 : (unsigned)load;
}

void cmsd_add_press(struct cmsd *c)
{
        c->pressed = atomic_load_explicit(&pressed, memory_order_relaxed);
        c->most_kbps = atomic_load_explicit(&most_kbps, memory_order_relaxed);
}
